//! PostgreSQL of the major versions between those that other tests run: what its processes are, who its connections
//! are and what they wait for, without a login, against what its own view says of them.

#[path = "support/program.rs"]
mod program;
#[path = "support/servers.rs"]
mod servers;

use program::*;
use serde_json::Value;
use servers::postgresql::{Postgresql, Version};
use servers::postgresql_client::Client;
use std::collections::BTreeMap;

/// How many clients rest, and sleep. Besides: one in a transaction, one that holds a lock and one that wants it.
const IDLE: usize = 3;
const SLEEPERS: usize = 2;
/// With the one that asks and the sender of changes as many as the report tells one by one.
const CLIENTS: usize = IDLE + SLEEPERS + 3;

/// A version.
struct Row {
    version: Version,
    /// The setting by which every query has a parallel worker.
    parallel: &'static str,
    /// How many processes are `other`: the view does not show these. Of 14 that is the statistics collector.
    other: u64,
    /// How many senders of changes are named: a title that has the database too could be that of another user.
    senders: usize,
}

const VERSIONS: [Row; 3] = [
    Row {
        version: Version::Fourteen,
        parallel: "force_parallel_mode",
        other: 1,
        senders: 1,
    },
    Row {
        version: Version::Sixteen,
        parallel: "debug_parallel_query",
        other: 0,
        senders: 0,
    },
    Row {
        version: Version::Seventeen,
        parallel: "debug_parallel_query",
        other: 0,
        senders: 0,
    },
];

/// The role that a process of that kind is to have.
fn role_of(backend_type: &str) -> &'static str {
    match backend_type {
        "client backend" => "client",
        "parallel worker" => "parallel_worker",
        "autovacuum launcher" | "autovacuum worker" => "autovacuum",
        "checkpointer" => "checkpointer",
        "background writer" => "background_writer",
        "walwriter" => "wal_writer",
        "walsender" => "wal_sender",
        kind if kind.starts_with("logical replication") => "logical_replication",
        kind => panic!("no role is expected for {kind}"),
    }
}

/// What its view says of a process, in the words of the report.
struct Process {
    role: String,
    /// User, database, peer and class of the wait.
    told: [Value; 4],
    /// What it waits for more closely.
    event: String,
}

/// All processes that a server's view shows, by pid.
fn view(asks: &mut Client) -> BTreeMap<u64, Process> {
    let rows = asks.query(
        "select pid, backend_type, wait_event, usename, datname, host(client_addr) || '(' || client_port || ')',
         wait_event_type from pg_stat_activity",
    );
    let process = |row: Vec<String>| {
        let told: Vec<_> = row[3..].iter().map(|it| Value::from(it.as_str())).collect();
        let process = Process {
            role: role_of(&row[1]).to_owned(),
            told: told.try_into().expect("four columns"),
            event: row[2].clone(),
        };
        (row[0].parse().expect("a pid"), process)
    };
    rows.into_iter().map(process).collect()
}

/// Starts one that sends the changes of one of its databases to another of its own, so that all is in one view.
#[track_caller]
fn started(version: Version) -> Postgresql {
    let settings = [("cluster_name", "15/main"), ("wal_level", "logical")];
    let server = Postgresql::start(version, &settings);
    server.query("create role app login");
    server.query("create database shop");
    let mut shop = Client::connect(server.port(), "shop");
    shop.query("create table t as select 1 as n; grant all on t to app");
    shop.query("create publication p for table t");
    shop.query("select pg_create_logical_replication_slot('s', 'pgoutput')");
    shop.close();
    let from = format!(
        "port={} host=127.0.0.1 user=postgres dbname=shop",
        server.port()
    );
    server.query("create table t (n int)");
    server.query(&format!(
        "create subscription s connection '{from}' publication p with (create_slot = false, copy_data = false)"
    ));
    server
}

/// Clients at all that is compared; a parallel worker sleeps for the first of the sleepers.
#[track_caller]
fn at_work(server: &Postgresql, parallel: &str) -> Vec<Client> {
    let connect = |_| {
        let parameters = [("user", "app"), ("database", "shop")];
        Client::connect_as(server.port(), &parameters).expect("a connection")
    };
    let mut clients: Vec<_> = (0..CLIENTS).map(connect).collect();
    let [thinks, holds, wants, helped, sleeps, ..] = &mut clients[..] else {
        panic!("too few clients");
    };
    thinks.query("begin");
    holds.query("begin; lock table t");
    wants.send("select * from t");
    helped.query(&format!("set {parallel} = on"));
    for sleeper in [helped, sleeps] {
        sleeper.send("select pg_sleep(600)");
    }
    clients
}

#[test]
fn roles_names_and_waits_of_versions_14_16_and_17() {
    for row in VERSIONS {
        let Row {
            version,
            parallel,
            other,
            senders,
        } = row;
        let server = started(version);
        let _clients = at_work(&server, parallel);
        let mut asks = server.connect();
        let settled = [
            ("PgSleep", SLEEPERS),
            ("relation", 1),
            ("LogicalApplyMain", 1),
        ];
        wait_for("all to be at it", || {
            let view = view(&mut asks);
            let count = |event| view.values().filter(|it| it.event == event).count();
            settled
                .iter()
                .all(|(event, expected)| count(*event) == *expected)
                .then_some(())
        });
        let words = format!(
            "attach --postgres {} --duration 300ms --format json",
            server.port()
        );
        let report = Ended::of(connscope(&words)).exits(0).report();
        let target = &report["targets"][0];
        let view = view(&mut asks);

        let mut expected = BTreeMap::from([("postmaster", 1), ("other", other)]);
        for process in view.values() {
            *expected.entry(&process.role).or_default() += 1;
        }
        for role in target["roles"].as_array().expect("roles") {
            let name = role["role"].as_str().expect("a name");
            let expected = expected.remove(name).unwrap_or(0);
            assert_eq!(role["tasks"], expected, "{version:?}: {name}");
        }
        assert!(expected.is_empty(), "{version:?}: {expected:?}");

        // The sender of changes is a connection too.
        let connected = &target["connected"];
        assert_eq!(connected["open"], CLIENTS + 2, "{version:?}: {target:#}");
        let named = CLIENTS + 1 + senders;
        assert_eq!(connected["named"], named, "{version:?}: {target:#}");
        let all = target["connections_detail"].as_array().expect("a list");
        let mut classes = Vec::new();
        for told in all.iter().filter(|it| it["pid"] != asks.pid) {
            let process = &view[&told["pid"].as_u64().expect("a pid")];
            assert_eq!(told["role"], process.role, "{version:?}: {told:#}");
            let mut names = ["user", "database", "peer", "wait"].map(|name| told[name].clone());
            if process.role == "wal_sender" {
                // Its title has none.
                assert_eq!(names[1].take(), Value::Null);
                names[1].clone_from(&process.told[1]);
            }
            assert_eq!(names, process.told, "{version:?}: {told:#}");
            classes.push(told["wait"].as_str().expect("a class"));
        }
        assert_eq!(classes.len(), CLIENTS + senders, "{version:?}");
        for class in ["Client", "IPC", "Lock", "Timeout"] {
            assert!(
                classes.contains(&class),
                "{version:?}: no {class} in {classes:?}"
            );
        }
    }
}
