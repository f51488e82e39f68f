//! `attach` on real servers of every kind at once, under load: each is found by all that names it, and what is
//! counted of it is what the server and `/proc` say.

#[path = "support/attached.rs"]
mod attached;
#[path = "support/program.rs"]
mod program;
#[path = "support/servers.rs"]
mod servers;

use attached::Attached;
use program::*;
use servers::load::{pgbench, pgbench_tables, redis_benchmark, sysbench};
use servers::mysql::{Kind, Mysql};
use servers::pgbouncer::Pgbouncer;
use servers::postgresql::{Postgresql, Version};
use servers::redis::Redis;
use std::fs;

/// One of them, as the report is to show it.
#[derive(Clone, Debug)]
struct Expected {
    option: &'static str,
    name: &'static str,
    kind: &'static str,
    port: u16,
    pid: u32,
    data: String,
}

fn expected(
    (option, name, kind): (&'static str, &'static str, &'static str),
    port: u16,
    pid: u32,
    data: &std::path::Path,
) -> Expected {
    let data = data.display().to_string();
    Expected {
        option,
        name,
        kind,
        port,
        pid,
        data,
    }
}

/// Fails unless these, chosen so, are the targets, and each is seen at work.
#[track_caller]
fn assert_all_found(all: &[Expected], chosen_by: impl Fn(&Expected) -> String) {
    let words: Vec<_> = all.iter().map(&chosen_by).collect();
    let words = format!("attach {} --duration 1s --format json", words.join(" "));
    let ended = Ended::of(connscope(&words)).exits(0);
    assert_eq!(ended.stderr, "");
    let report = ended.report();
    let targets = report["targets"].as_array().expect("targets");
    assert_eq!(targets.len(), all.len());
    for (target, expected) in targets.iter().zip(all) {
        let name = format!("{}:{}", expected.name, expected.port);
        assert_eq!(target["name"], name, "{words}");
        assert_eq!(target["kind"], expected.kind, "{words}");
        assert_eq!(target["pids"], serde_json::json!([expected.pid]), "{words}");
        let measures = &target["measures"];
        let switches = &measures["context_switches"];
        let worked =
            number(&switches["voluntary"]) > 0.0 && number(&measures["cpu"]["seconds"]) > 0.0;
        assert!(worked, "{name} did nothing: {measures:#}");
    }
}

const POSTGRESQL: (&str, &str, &str) = ("--postgres", "PostgreSQL", "postgresql");
const MARIADB: (&str, &str, &str) = ("--mysql", "MariaDB", "mariadb");

#[test]
fn all_kinds_at_once_by_all_that_names_them() {
    let primary = Postgresql::start(Version::Installed, &[("cluster_name", "15/main")]);
    pgbench_tables(primary.port(), 1);
    let replica = primary.start_replica(&[("cluster_name", "replica")]);
    let workers = Postgresql::start(Version::Eighteen, &[("io_method", "worker")]);
    let ring = Postgresql::start(Version::Eighteen, &[("io_method", "io_uring")]);
    for server in [&workers, &ring] {
        pgbench_tables(server.port(), 1);
    }
    let pooler = Pgbouncer::start(primary.port(), &[]);
    let mysql = [Kind::Mysql, Kind::Mariadb, Kind::MariadbPool].map(|kind| {
        let server = Mysql::start(kind, &[]);
        server.query("create database sysbench");
        let tables = sysbench(server.port(), "oltp_point_select --table-size=100 prepare");
        tables.finish().exits(0);
        server
    });
    let redis = Redis::start(&[]);

    let of_postgresql = [&primary, &replica, &workers, &ring].map(|server| {
        expected(
            POSTGRESQL,
            server.port(),
            server.pid(),
            &server.data_directory(),
        )
    });
    let kinds = [("--mysql", "MySQL", "mysql"), MARIADB, MARIADB];
    let of_mysql = mysql.iter().zip(kinds).map(|(server, kind)| {
        expected(kind, server.port(), server.pid(), &server.data_directory())
    });
    let of_redis = expected(
        ("--redis", "Redis", "redis"),
        redis.port(),
        redis.pid(),
        &redis.data_directory(),
    );
    let of_pooler = expected(
        ("--pgbouncer", "PgBouncer", "pgbouncer"),
        pooler.port(),
        pooler.pid(),
        &pooler.folder(),
    );
    let all: Vec<_> = of_postgresql
        .into_iter()
        .chain(of_mysql)
        .chain([of_redis, of_pooler])
        .collect();

    let behind_pooler = pooler.port();
    let mut loads: Vec<_> = [behind_pooler, replica.port(), workers.port(), ring.port()]
        .map(|port| pgbench(port, "-n -S -c 2 -R 200 -T 600"))
        .into();
    loads.extend(mysql.iter().map(|server| {
        sysbench(
            server.port(),
            "oltp_point_select --table-size=100 --threads=2 --rate=200 --time=600 run",
        )
    }));
    loads.push(redis_benchmark(redis.port(), "-l -q -c 1 -t get"));
    wait_for_clients(&primary, &mysql, &redis);

    assert_all_found(&all, |it| format!("{} {}", it.option, it.port));
    assert_all_found(&all, |it| format!("{} {}", it.option, it.pid));
    assert_all_found(&all, |it| format!("{} {}", it.option, it.data));
    assert_all_found(&all, |it| format!("--port {}", it.port));
    for load in &mut loads {
        assert!(load.is_running(), "{}", load.said());
    }
}

/// Until the load has come to them.
fn wait_for_clients(primary: &Postgresql, mysql: &[Mysql], redis: &Redis) {
    let positive = |rows: servers::Rows| (servers::figure::<u64>(&rows) > 1).then_some(());
    wait_for("clients of PgBouncer", || {
        positive(primary.query("select count(*) from pg_stat_activity where datname = 'postgres'"))
    });
    for server in mysql {
        let sql = "select count(*) from information_schema.processlist where db = 'sysbench'";
        wait_for("clients of MySQL", || positive(server.query(sql)));
    }
    wait_for("clients of Redis", || {
        (redis.info("connected_clients") > 1).then_some(())
    });
}

/// How many connections the server says to have let in.
fn let_in(server: &mut Postgresql) -> u64 {
    let said = server.daemon().said();
    said.matches("connection authorized:").count() as u64
}

#[test]
fn a_process_is_created_for_each_connection() {
    let settings = [("log_connections", "on"), ("autovacuum", "off")];
    let mut server = Postgresql::start(Version::Installed, &settings);
    pgbench_tables(server.port(), 1);
    let before = let_in(&mut server);
    let attached = Attached::to(&format!("--postgres {}", server.port()));
    let ended = pgbench(server.port(), "-n -S -C -c 4 -t 50")
        .finish()
        .exits(0);
    let report = attached.report();
    let connections = let_in(&mut server) - before;
    // One more, by which it looks at its tables.
    assert!(
        ended.stdout.contains("actually processed: 200/200"),
        "{ended:#?}"
    );
    assert_eq!(connections, 201);
    let creations = &report["targets"][0]["measures"]["creations"];
    assert_eq!(creations["process"]["count"], connections, "{creations:#}");
    for other in ["vfork", "thread", "io_worker"] {
        assert_eq!(creations[other]["count"], 0, "{creations:#}");
    }
    assert_eq!(
        creations["latency"]["fork"]["count"], connections,
        "{creations:#}"
    );
    assert_eq!(creations["latency"]["not_seen"], 0, "{creations:#}");
    // Each had run before it answered.
    assert_eq!(
        creations["first_run"]["count"], connections,
        "{creations:#}"
    );
}

/// Voluntary and involuntary switches, as `/proc` has them.
fn switches_of(pid: u32) -> [u64; 2] {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"].map(|name| {
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        value.expect("a count").trim().parse().expect("a figure")
    })
}

fn assert_switches_agree(version: Version, settings: &[(&str, &str)]) {
    const TRANSACTIONS: usize = 1000;
    let server = Postgresql::start(version, settings);
    let mut clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
    clients
        .iter_mut()
        .for_each(|client| drop(client.query("select 1")));
    let attached = Attached::to(&format!("--postgres {}", server.port()));
    // Backends that wait for a query switch no more, so nothing happens between these and the window.
    let before: Vec<_> = clients
        .iter()
        .map(|client| switches_of(client.pid))
        .collect();
    for _ in 0..TRANSACTIONS {
        clients
            .iter_mut()
            .for_each(|client| client.send("select 1"));
        clients.iter_mut().for_each(|client| drop(client.rows()));
    }
    let rested = |pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        stat.contains(") S ").then_some(())
    };
    clients
        .iter()
        .for_each(|client| wait_for("rest", || rested(client.pid)));
    let after: Vec<_> = clients
        .iter()
        .map(|client| switches_of(client.pid))
        .collect();
    let report = attached.report();
    let detail = report["targets"][0]["connections_detail"]
        .as_array()
        .expect("a list");
    for ((client, before), after) in clients.iter().zip(before).zip(after) {
        let task = detail.iter().find(|task| task["pid"] == client.pid);
        let task = task.unwrap_or_else(|| panic!("no {} in {detail:#?}", client.pid));
        let switches = &task["measures"]["context_switches"];
        let seen = ["voluntary", "involuntary"].map(|name| switches[name].as_u64());
        let truth = [after[0] - before[0], after[1] - before[1]];
        assert_eq!(seen, truth.map(Some), "{task:#}");
        // It waits for the next query, but where that has come before it looks.
        assert!(truth[0] > TRANSACTIONS as u64 / 2, "{truth:?}");
    }
}

#[test]
fn switches_of_each_backend_are_those_in_proc() {
    assert_switches_agree(Version::Installed, &[]);
}

#[test]
fn so_they_are_with_io_uring() {
    assert_switches_agree(Version::Eighteen, &[("io_method", "io_uring")]);
}

#[test]
fn a_database_that_is_asked_for_as_any_process_says_what_would_tell_more() {
    let server = Postgresql::start(Version::Installed, &[]);
    let clients = [server.connect(), server.connect()];
    let pid = server.pid();
    let words = format!("attach --pid {pid} --duration 300ms --format json");
    let ended = Ended::of(connscope(&words)).exits(0);
    let said = format!(
        "postgres: PostgreSQL is watched as any process; its roles and who its connections are need --postgres {pid}"
    );
    assert_eq!(ended.stderr, format!("connscope: {said}\n"));
    let report = ended.report();
    let unavailable = report["unavailable"].as_array().expect("a list");
    let roles = unavailable.iter().find(|it| it["measure"] == "roles");
    assert_eq!(roles.expect("it is said")["reason"], said);
    let connected = ["open", "named"].map(|it| report["targets"][0]["connected"][it].as_u64());
    assert_eq!(connected, [Some(clients.len() as u64), Some(0)]);
    // Of one without roles nothing is lost.
    let redis = Redis::start(&[]);
    let words = format!("attach --pid {} --duration 300ms", redis.pid());
    assert_eq!(Ended::of(connscope(&words)).exits(0).stderr, "");
}
