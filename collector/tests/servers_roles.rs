//! The roles of real servers' tasks and their connections, as `attach` reports them.

#[path = "support/attached.rs"]
mod attached;
#[path = "support/program.rs"]
mod program;
#[path = "support/servers.rs"]
mod servers;

use attached::Attached;
use program::*;
use serde_json::Value;
use servers::mysql::{Kind, Mysql};
use servers::postgresql::{Postgresql, Version};

/// The first target of a watch.
#[track_caller]
fn watched(words: &str) -> Value {
    let words = format!("attach {words} --duration 2s --format json --quiet");
    Ended::of(connscope(&words)).exits(0).report()["targets"][0].clone()
}

/// How many tasks of a role live in the end.
#[track_caller]
fn tasks(target: &Value, role: &str) -> u64 {
    let roles = target["roles"].as_array().expect("roles");
    let role = roles
        .iter()
        .find(|it| it["role"] == role)
        .expect("the role");
    role["tasks"].as_u64().expect("a number")
}

#[track_caller]
fn connected(target: &Value) -> (u64, u64) {
    let number = |name: &str| target["connected"][name].as_u64().expect("a number");
    (number("open"), number("unnamed"))
}

/// How many connections there are, and of these at work.
const MANY: u64 = 500;
const BUSY: usize = 20;
/// Room for them.
const MOST: &str = "600";

#[test]
fn postgresql_15_and_18() {
    for version in [Version::Installed, Version::Eighteen] {
        let settings = [("cluster_name", "15/main"), ("max_connections", MOST)];
        let server = Postgresql::start(version, &settings);
        let mut clients: Vec<_> = (0..MANY).map(|_| server.connect()).collect();
        let at_work = clients[..BUSY].iter_mut();
        at_work.for_each(|it| it.send("select pg_sleep(600)"));
        let target = watched(&format!("--postgres {}", server.port()));
        for (role, expected) in [
            ("postmaster", 1),
            ("starting", 0),
            ("client", MANY),
            ("autovacuum", 1),
            ("checkpointer", 1),
            ("background_writer", 1),
            ("wal_writer", 1),
            ("logical_replication", 1),
            (
                "io_worker",
                if version == Version::Eighteen { 3 } else { 0 },
            ),
            ("other", 0),
        ] {
            assert_eq!(tasks(&target, role), expected, "{version:?}: {role}");
        }
        assert_eq!(connected(&target), (MANY, 0));
        let named = target["connections_detail"]
            .as_array()
            .expect("connections");
        for connection in named.iter().filter(|it| it["role"] == "client") {
            assert_eq!(connection["user"], "postgres");
            let wait = match connection["state"].as_str() {
                Some("SELECT") => "Timeout",
                _ => "Client",
            };
            assert_eq!(connection["wait"], wait, "{connection:#}");
        }
    }
}

#[test]
fn mysql_and_mariadb() {
    for kind in [Kind::Mysql, Kind::Mariadb, Kind::MariadbPool] {
        let server = Mysql::start(kind, &[("max-connections", MOST)]);
        let clients: Vec<_> = (0..MANY).map(|_| server.connect()).collect();
        let target = watched(&format!("--mysql {}", server.port()));
        let open: u64 =
            servers::figure(&server.query(
                "select count(*) - 1 from information_schema.processlist where user = 'root'",
            ));
        assert_eq!(open, clients.len() as u64, "{kind:?}");
        let (counted, unnamed) = connected(&target);
        assert_eq!(counted, open, "{kind:?}");
        assert_eq!(tasks(&target, "main"), 1, "{kind:?}");
        match kind {
            // Threads of a pool serve whoever asks.
            Kind::MariadbPool => assert_eq!((unnamed, tasks(&target, "connection")), (MANY, 0)),
            _ => {
                assert_eq!(unnamed, 0, "{kind:?}");
                // One is kept for the connection by which the test looked whether the server was there.
                assert!(
                    (MANY..=MANY + 2).contains(&tasks(&target, "connection")),
                    "{kind:?}: {target:#}"
                );
            }
        }
        let of_innodb: u64 = [
            "innodb_io",
            "innodb_flush",
            "innodb_log",
            "innodb_purge",
            "innodb_other",
        ]
        .iter()
        .map(|role| tasks(&target, role))
        .sum();
        assert_eq!(of_innodb > 5, kind == Kind::Mysql, "{kind:?}: {of_innodb}");
    }
}

/// A server that fails is said to be gone; the replica that takes over has the roles of a primary from then on.
#[test]
fn a_replica_takes_over() {
    let primary = Postgresql::start(Version::Installed, &[]);
    let replica = primary.start_replica(&[]);
    let words = format!(
        "--postgres {} --postgres {}",
        primary.port(),
        replica.port()
    );
    let attached = Attached::to(&words);
    drop(primary);
    replica.query("select pg_promote()");
    wait_for("the promotion", || {
        let recovers = replica.query("select pg_is_in_recovery()");
        (recovers == [["f"]]).then_some(())
    });
    let _clients: Vec<_> = (0..3).map(|_| replica.connect()).collect();
    // New processes are asked what they are every second.
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    let report = attached.report();
    let gone = report["targets"][0]["incomplete"]
        .as_str()
        .expect("a reason");
    assert!(gone.contains("was not there again"), "{gone}");
    assert_eq!(tasks(&report["targets"][0], "postmaster"), 0);
    let after = &report["targets"][1];
    for (role, expected) in [
        ("postmaster", 1),
        ("client", 3),
        ("startup", 0),
        ("wal_receiver", 0),
        ("wal_writer", 1),
        ("autovacuum", 1),
        ("logical_replication", 1),
        ("starting", 0),
        ("other", 0),
    ] {
        assert_eq!(tasks(after, role), expected, "{role}: {after:#}");
    }
    assert_eq!(connected(after), (3, 0));
}
