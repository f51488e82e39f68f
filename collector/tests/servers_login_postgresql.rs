//! Logins to PostgreSQL: names and waits that it knows itself, joined to what is measured; without a login, or with
//! one that fails, the watch goes on.

#[path = "support/attached.rs"]
mod attached;
#[path = "support/logins.rs"]
mod logins;
#[path = "support/program.rs"]
mod program;
#[path = "support/servers.rs"]
mod servers;

use logins::*;
use program::*;
use serde_json::Value;
use servers::postgresql::{Postgresql, Version};
use servers::postgresql_client::Client;
use std::fs;

/// A server that asks `watch` for a password, and in which five clients do five things.
struct Watched {
    server: Postgresql,
    clients: Vec<Client>,
}

impl Watched {
    #[track_caller]
    fn start() -> Self {
        let server = Postgresql::start(
            Version::Installed,
            &[("max_connections", "20"), ("cluster_name", "15/main")],
        );
        server.query(&format!(
            "create role watch login password '{PASSWORD}' in role pg_monitor"
        ));
        server.query("create table t as select 1 as n; create role \"my app\" login");
        server.query("create database shop");
        let rules = server.data_directory().join("pg_hba.conf");
        let others = fs::read_to_string(&rules).expect("rules");
        let ours = "host all watch 127.0.0.1/32 scram-sha-256\nlocal all watch peer\n";
        fs::write(&rules, format!("{ours}{others}")).expect("rules");
        server.query("select pg_reload_conf()");
        let connect = |(user, database, name)| {
            let parameters = [
                ("user", user),
                ("database", database),
                ("application_name", name),
            ];
            Client::connect_as(server.port(), &parameters).expect("a connection")
        };
        let mut clients = [
            ("postgres", "postgres", "locks"),
            ("postgres", "postgres", "waits"),
            ("my app", "shop", "sleeps"),
            ("postgres", "shop", "rests"),
            ("postgres", "shop", "thinks"),
        ]
        .map(connect);
        clients[0].query("begin; lock table t");
        clients[1].send("select * from t");
        clients[2].send("select pg_sleep(600)");
        clients[4].query("begin");
        let waits =
            "select count(*) from pg_stat_activity where wait_event in ('relation', 'PgSleep')";
        wait_for("waits", || (server.query(waits) == [["2"]]).then_some(()));
        Self {
            server,
            clients: clients.into(),
        }
    }

    /// What is told agrees with the server's own view, which five different things are in.
    #[track_caller]
    fn assert_told(&self, words: &[&str], environment: &[(&str, &str)]) {
        let port = format!("--postgres {}", self.server.port());
        let (target, missing) = watched(attach(&port, words, environment));
        assert_eq!(missing, Vec::<String>::new());
        assert_all_named(&target);
        let told = told(&target);
        let expected = [
            [
                "postgres",
                "postgres",
                "locks",
                "idle in transaction",
                "Client",
                "ClientRead",
            ],
            [
                "postgres", "postgres", "waits", "active", "Lock", "relation",
            ],
            ["my app", "shop", "sleeps", "active", "Timeout", "PgSleep"],
            ["postgres", "shop", "rests", "idle", "Client", "ClientRead"],
            [
                "postgres",
                "shop",
                "thinks",
                "idle in transaction",
                "Client",
                "ClientRead",
            ],
        ];
        for (client, expected) in self.clients.iter().zip(expected) {
            assert_eq!(told[&u64::from(client.pid)], expected.map(Value::from));
        }
        let ours: Vec<_> = told.values().filter(|it| it[2] == "connscope").collect();
        assert_eq!(ours.len(), 1, "{told:#?}");
        assert_eq!(
            (&ours[0][0], &ours[0][3]),
            (&"watch".into(), &"active".into())
        );
    }

    /// The watch goes on without, and says why.
    #[track_caller]
    fn assert_refused(&self, dsn: &str, why: &str) {
        let port = format!("--postgres {}", self.server.port());
        let (target, missing) = watched(attach(&port, &["--postgres-dsn", dsn], &[]));
        let [reason] = &missing[..] else {
            panic!("{missing:?}")
        };
        let begin = format!(
            "cannot log in to PostgreSQL:{} as watch: ",
            self.server.port()
        );
        assert!(
            reason.starts_with(&begin) && reason.contains(why),
            "{reason}"
        );
        let open = target["connected"]["open"].as_u64().expect("a number");
        assert!(open >= self.clients.len() as u64, "{target:#}");
        let named = target["connected"]["named"].as_u64().expect("a number");
        assert!(
            named >= self.clients.len() as u64 - 1,
            "titles still tell: {target:#}"
        );
    }
}

#[test]
fn postgresql_tells_by_every_way_to_log_in() {
    let watched = Watched::start();
    let port = watched.server.port().to_string();
    let (url_password, quoted) = ("ca%3At%5Cch%20me", r"'ca:t\\ch me'");
    watched.assert_told(
        &["--postgres-dsn", &format!("user=watch password={quoted}")],
        &[],
    );
    let url = format!("postgres://watch:{url_password}@127.0.0.1:{port}/postgres?sslmode=disable");
    watched.assert_told(&["--postgres-dsn", &url], &[]);
    watched.assert_told(&[], &[("PGUSER", "watch"), ("PGPASSWORD", PASSWORD)]);

    let folder = tempfile::tempdir().expect("a folder");
    let line = format!("127.0.0.1:{port}:postgres:watch:{}\n", r"ca\:t\\ch me");
    let passwords = secret(folder.path(), "passwords", &line);
    watched.assert_told(
        &["--postgres-dsn", "user=watch"],
        &[("PGPASSFILE", &passwords)],
    );
    let text = format!("[ours]\nhost=127.0.0.1\nport={port}\nuser=watch\npassword={PASSWORD}\n");
    let services = secret(folder.path(), "services", &text);
    watched.assert_told(&[], &[("PGSERVICE", "ours"), ("PGSERVICEFILE", &services)]);
    let asked = ["--postgres-dsn", "service=ours dbname=shop"];
    watched.assert_told(&asked, &[("PGSERVICEFILE", &services)]);
}

#[test]
fn without_a_login_that_works_the_watch_goes_on() {
    let mut watched = Watched::start();
    let right = format!("user=watch password='{}'", PASSWORD.replace('\\', "\\\\"));
    watched.assert_refused(
        "user=watch password=wrong",
        "password authentication failed",
    );
    watched.assert_refused("user=watch host=127.0.0.1 port=1", "connection refused");
    watched
        .server
        .query("alter role watch valid until '2001-01-01'");
    watched.assert_refused(&right, "password authentication failed");
    watched
        .server
        .query("alter role watch valid until 'infinity'");
    watched.server.query("revoke pg_monitor from watch");
    let port = format!("--postgres {}", watched.server.port());
    let (target, missing) = logins::watched(attach(&port, &["--postgres-dsn", &right], &[]));
    assert_eq!(missing, Vec::<String>::new());
    let method = target["connected"]["method"].as_str().expect("a method");
    assert!(method.contains("not in pg_read_all_stats"), "{method}");
    let rests = &told(&target)[&u64::from(watched.clients[3].pid)];
    let expected = ["postgres", "shop", "rests", "idle"].map(Value::from);
    assert_eq!(rests[..4], expected);

    let other = Postgresql::start(Version::Installed, &[]);
    let elsewhere = format!("user=postgres host=127.0.0.1 port={}", other.port());
    let (_, missing) = logins::watched(attach(&port, &["--postgres-dsn", &elsewhere], &[]));
    assert!(
        missing[0].contains("leads to a server that is not watched"),
        "{missing:?}"
    );

    // As many as it takes.
    while let Ok(client) = Client::try_connect(watched.server.port(), "postgres") {
        watched.clients.push(client);
    }
    watched.assert_refused(&right, "too many clients");
}

#[test]
fn what_cannot_be_a_dsn_is_refused_without_a_word_of_it() {
    let server = Postgresql::start(Version::Installed, &[]);
    let port = format!("--postgres {}", server.port());
    for (option, dsn, why) in [
        (
            "--postgres-dsn",
            "user=watch password=sec ret",
            "its 3. parameter is no NAME=VALUE",
        ),
        (
            "--postgres-dsn",
            "mysql://watch:sec@ret/",
            "its scheme is none of postgres, postgresql",
        ),
        ("--postgres-dsn", "service=none", "no service none in "),
        (
            "--mysql-dsn",
            "mysql://watch:sec@ret/",
            "no such server is watched",
        ),
    ] {
        let ended = Ended::of(attach(&port, &[option, dsn], &[])).exits(2);
        assert!(
            ended.stderr.starts_with(&format!("connscope: {option}: ")),
            "{}",
            ended.stderr
        );
        assert!(
            ended.stderr.contains(why) && !ended.stderr.contains("sec"),
            "{}",
            ended.stderr
        );
    }
    // Nor does anybody see it who looks at the processes.
    let dsn = "user=postgres password=secret";
    let mut command = connscope(&format!("attach {port} --format json"));
    command.args(["--postgres-dsn", dsn]);
    let mut running = Running::start(command);
    wait_for("the watch", || {
        running.said().contains("watching").then_some(())
    });
    let seen = fs::read_to_string(format!("/proc/{}/cmdline", running.pid())).expect("it runs");
    assert!(
        seen.contains("--postgres-dsn") && !seen.contains("secret"),
        "{seen}"
    );
    let report = running.end_by(libc::SIGINT).exits(0).report();
    assert_all_named(&report["targets"][0]);
}

/// Of a server that is restarted, all is told again.
#[test]
fn a_login_outlives_a_restart() {
    let mut server = Postgresql::start(Version::Installed, &[]);
    let words = format!("--postgres {} --postgres-dsn user=postgres", server.port());
    let attached = attached::Attached::to(&words);
    server.restart();
    let client = server.connect();
    // It is looked for every second.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let report = attached.report();
    let target = &report["targets"][0];
    assert_eq!(
        target["restarts"].as_array().map(Vec::len),
        Some(1),
        "{target:#}"
    );
    assert_all_named(target);
    assert_eq!(told(target)[&u64::from(client.pid)][5], "ClientRead");
}
