//! `connscope claims` on real databases: anomalies, deadlocks and copies that are known to be there, or not to be,
//! and nothing left behind.

#[path = "support/program.rs"]
mod program;
#[path = "support/servers.rs"]
mod servers;

use program::*;
use serde_json::Value;
use servers::{
    Rows, figure,
    mysql::{Kind, Mysql},
    mysql_client::Client as MysqlClient,
    postgresql::{Postgresql, Version},
    postgresql_client::Client as PostgresqlClient,
};
use std::collections::BTreeMap;

#[track_caller]
fn claim<'a>(report: &'a Value, id: &str) -> &'a Value {
    let claims = report["claims"].as_array().expect("claims");
    let found = claims.iter().find(|it| it["id"] == id);
    found.unwrap_or_else(|| panic!("no {id} in {report:#}"))
}

#[track_caller]
fn median(report: &Value, id: &str, test: usize, at: &str) -> f64 {
    let results = claim(report, id)["tests"][test]["results"]
        .as_array()
        .expect("results");
    let found = results.iter().find(|it| it["at"] == at);
    let found = found.unwrap_or_else(|| panic!("no {at:?} of {id}: {results:#?}"));
    found["median"].as_f64().expect("a figure")
}

/// The anomalies that were seen, by level.
fn seen(report: &Value, database: &str) -> BTreeMap<String, Vec<String>> {
    let databases = report["isolation"].as_array().expect("databases");
    let found = databases.iter().find(|it| it["database"] == database);
    let levels = found.expect("a database")["levels"]
        .as_array()
        .expect("levels")
        .iter();
    levels
        .map(|level| {
            let anomalies = level["anomalies"].as_array().expect("anomalies").iter();
            let seen = anomalies.filter(|it| {
                let share = it["seen"].as_f64().expect("a share");
                assert!(
                    share == 0.0 || share == 1.0,
                    "the order of statements is fixed: {it}"
                );
                share == 1.0
            });
            let text = |it: &Value| it.as_str().expect("a name").to_owned();
            (
                text(&level["level"]),
                seen.map(|it| text(&it["anomaly"])).collect(),
            )
        })
        .collect()
}

#[track_caller]
fn costs_something(report: &Value, database: &str) {
    let databases = report["isolation"].as_array().expect("databases");
    let found = databases.iter().find(|it| it["database"] == database);
    for level in found.expect("a database")["levels"]
        .as_array()
        .expect("levels")
    {
        let number = |name: &str| {
            level[name]
                .as_f64()
                .unwrap_or_else(|| panic!("no {name}: {level:#}"))
        };
        assert!(number("transactions_per_second") > 10.0, "{level:#}");
        // Eight clients that meet on twenty rows: each commit has its session sleep at least once.
        assert!(number("switches_per_transaction") > 1.0, "{level:#}");
        assert!(number("lock_wait_seconds_per_transaction") >= 0.0);
        assert!(number("retries_per_transaction") >= 0.0);
    }
}

/// What is known of the two: PostgreSQL has snapshots from repeatable read on, and detects dangerous cycles in
/// serializable; InnoDB of MariaDB 10.11 overwrites what a snapshot did not see, and locks what it reads in
/// serializable.
#[test]
fn anomalies_deadlocks_and_copies_are_those_that_are_known() {
    let postgresql = Postgresql::start(Version::Installed, &[]);
    let mariadb = Mysql::start(Kind::Mariadb, &[("thread-cache-size", "8")]);
    postgresql.query("create table accounts (id integer)");
    let report = |only: &str| {
        let words = format!(
            "claims --quick --quiet --format json --only {only} --postgres {} --mysql mysql://root@127.0.0.1:{}/",
            postgresql.port(),
            mariadb.port()
        );
        Ended::of(connscope(&words)).exits(0).report()
    };

    let everything = [
        "dirty read",
        "non-repeatable read",
        "phantom",
        "lost update",
        "read skew",
        "write skew",
    ];
    let levels = |all: [(&str, &[&str]); 4]| {
        let owned = all.map(|(level, seen)| {
            (
                level.to_owned(),
                seen.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>(),
            )
        });
        BTreeMap::from(owned)
    };
    let isolation = report("isolation-anomalies,isolation-cost");
    let of_postgresql = levels([
        ("read uncommitted", &everything[1..]),
        ("read committed", &everything[1..]),
        ("repeatable read", &["write skew"]),
        ("serializable", &[]),
    ]);
    assert_eq!(seen(&isolation, "PostgreSQL"), of_postgresql);
    let of_mariadb = levels([
        ("read uncommitted", &everything),
        ("read committed", &everything[1..]),
        ("repeatable read", &["lost update", "write skew"]),
        ("serializable", &[]),
    ]);
    assert_eq!(seen(&isolation, "MySQL"), of_mariadb);
    assert_eq!(claim(&isolation, "isolation-anomalies")["verdict"], "holds");

    let report = report("deadlock,lock-cost,pg-connection,cow-shared-buffers,thread-cache");
    for database in ["PostgreSQL", "MySQL"] {
        costs_something(&isolation, database);
        assert_eq!(
            median(&report, "deadlock", 0, &format!("{database}: opposite")),
            1.0
        );
        assert_eq!(
            median(&report, "deadlock", 1, &format!("{database}: one order")),
            0.0
        );
        // Of 64 clients after one row all wait but the one that has it, and those on their way to ask for it again: InnoDB
        // hands a row on to one of them. In PostgreSQL all wait for the end of the transaction that has the row, wake at
        // once, and ask anew one after the other: on two CPUs up to half of them are awake. Of those with a row each
        // nobody waits.
        let waits = |at: &str| median(&report, "lock-cost", 0, &format!("{database}: {at}"));
        let least = if database == "MySQL" { 0.9 } else { 0.4 };
        assert!(waits("64 on one row") > least, "{report:#}");
        assert!(waits("64 on a row each") < 0.1, "{report:#}");
    }
    // deadlock_timeout is a second; InnoDB looks at once.
    let found = median(&report, "deadlock", 2, "PostgreSQL");
    assert!((0.9..3.0).contains(&found), "{found}");
    assert!(median(&report, "deadlock", 2, "MySQL") < 0.5);

    assert_eq!(median(&report, "cow-shared-buffers", 0, "PostgreSQL"), 0.0);
    let connection = median(&report, "pg-connection", 0, "PostgreSQL");
    assert!((0.3e6..8e6).contains(&connection), "{connection}");
    // The first visits are before the cache has any.
    assert!(median(&report, "thread-cache", 0, "MySQL") <= 0.1);

    let left: u32 = figure(
        &postgresql.query("select count(*) from pg_database where datname like 'connscope%'"),
    );
    assert_eq!(left, 0);
    let left: u32 = figure(&mariadb.query(
        "select count(*) from information_schema.schemata where schema_name like 'connscope%'",
    ));
    assert_eq!(left, 0);
    let rows: u32 = figure(&postgresql.query("select count(*) from accounts"));
    assert_eq!(rows, 0, "a table of ours that is called as one of theirs");
}

#[test]
fn what_was_left_by_one_that_was_killed_is_removed_by_the_next() {
    let postgresql = Postgresql::start(Version::Installed, &[]);
    let words = format!(
        "claims --quick --quiet --only pg-connection --postgres {}",
        postgresql.port()
    );
    let named = |name: &str| -> u32 {
        figure(&postgresql.query(&format!(
            "select count(*) from pg_database where datname like '{name}'"
        )))
    };
    let scratch = |running: &Running| {
        let name = format!("connscope_claims_{}_%", running.pid());
        wait_for("scratch database", || (named(&name) == 1).then_some(()));
    };
    let running = Running::start(connscope(&words));
    scratch(&running);
    assert!(running.end_by(libc::SIGKILL).was_killed_by(libc::SIGKILL));
    assert_eq!(named("connscope_claims_%"), 1);
    wait_for("end of its sessions", || {
        let sessions =
            "select count(*) from pg_stat_activity where datname like 'connscope_claims_%'";
        (figure::<u32>(&postgresql.query(sessions)) == 0).then_some(())
    });
    // As if that had been long ago: what is new may be of one that is about to connect.
    let name: String = figure(
        &postgresql.query("select datname from pg_database where datname like 'connscope%'"),
    );
    postgresql.query(&format!(
        "alter database {name} rename to connscope_claims_1_1"
    ));
    let running = Running::start(connscope(&words));
    scratch(&running);
    assert_eq!(named("connscope_claims_%"), 1, "that of the other is gone");
    running.end_by(libc::SIGINT).exits(1);
    assert_eq!(named("connscope_claims_%"), 0);
}

/// Of one that has somebody in it, however old, and of one that is new: neither is left over. And somebody is in ours all
/// the time, the same one.
#[test]
fn one_leaves_the_scratch_databases_of_others_alone() {
    let postgresql = Postgresql::start(Version::Installed, &[]);
    let mariadb = Mysql::start(Kind::Mariadb, &[]);
    let on_postgresql = |sql: &str| postgresql.query(sql);
    let on_mariadb = |sql: &str| mariadb.query(sql);
    let _in_postgresql = {
        postgresql.query("create database connscope_claims_1_1");
        PostgresqlClient::connect(postgresql.port(), "connscope_claims_1_1")
    };
    let _in_mariadb = {
        mariadb.query("create database connscope_claims_1_1");
        MysqlClient::connect(mariadb.port(), "connscope_claims_1_1")
    };
    stands_beside_others(
        &format!("pg-connection --postgres {}", postgresql.port()),
        "select count(*) from pg_database where datname like",
        "select min(backend_start) from pg_stat_activity where datname like",
        on_postgresql,
    );
    stands_beside_others(
        &format!(
            "deadlock --mysql mysql://root@127.0.0.1:{}/",
            mariadb.port()
        ),
        "select count(*) from information_schema.schemata where schema_name like",
        "select min(id) from information_schema.processlist where db like",
        on_mariadb,
    );
}

/// Beside a database `connscope_claims_1_1` with a session in it. `eldest`: who is in those of such a name the longest.
#[track_caller]
fn stands_beside_others(words: &str, count: &str, eldest: &str, query: impl Fn(&str) -> Rows) {
    let words = format!("claims --quick --quiet --only {words}");
    let named = |name: &str| figure::<u32>(&query(&format!("{count} '{name}'")));
    let start = || {
        let running = Running::start(connscope(&words));
        let name = format!("connscope_claims_{}_%", running.pid());
        wait_for("scratch database", || (named(&name) == 1).then_some(()));
        (running, name)
    };
    query("create database connscope_claims_2_1");
    let (first, name) = start();
    assert_eq!(named("connscope_claims_2_1"), 0, "nobody was in that one");
    assert_eq!(named("connscope_claims_1_1"), 1, "somebody was in that one");
    let eldest = || figure::<String>(&query(&format!("{eldest} '{name}'")));
    let somebody = wait_for("session", || {
        let eldest = eldest();
        (!eldest.is_empty() && eldest != "NULL").then_some(eldest)
    });
    let (second, _) = start();
    assert_eq!(
        named("connscope_claims_%"),
        3,
        "the first's, the second's and the old one"
    );
    for _ in 0..20 {
        assert_eq!(eldest(), somebody);
    }
    second.end_by(libc::SIGINT).exits(1);
    assert_eq!(named(&name), 1, "the first's stays");
    first.end_by(libc::SIGINT).exits(1);
    assert_eq!(named("connscope_claims_%"), 1, "the old one");
}
