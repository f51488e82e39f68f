//! Which thread of a busy MySQL or MariaDB server serves which connection, without a login, where that is asked for;
//! against what its own tables say.

#[path = "support/leftovers.rs"]
mod leftovers;
#[path = "support/program.rs"]
mod program;
#[path = "support/servers.rs"]
mod servers;

use connscope::attach::mysql;
use connscope::sample::Sampler;
use connscope::snapshot::connections::Connections;
use leftovers::Before;
use probe_ebpf::Options;
use program::*;
use serde_json::Value;
use servers::figure;
use servers::load::sysbench;
use servers::mysql::{Kind, Mysql};
use servers::mysql_client::Client;
use std::{thread, time::Duration};

/// Connections under load.
const MANY: usize = 500;
const FEW: usize = 4;
/// A short watch.
const WATCH: Duration = Duration::from_secs(5);
/// Long enough for a thread that has answered to wait for what comes next.
const REST: Duration = Duration::from_millis(300);
const TABLES: &str = "--tables=1 --table-size=1000";

#[track_caller]
fn started(kind: Kind) -> Mysql {
    let most = (MANY + 100).to_string();
    let server = Mysql::start(kind, &[("max-connections", most.as_str())]);
    server.query("create database sysbench");
    let prepare = format!("oltp_read_only {TABLES} prepare");
    sysbench(server.port(), &prepare).finish().exits(0);
    server
}

/// So many clients at work as hard as they can.
#[track_caller]
fn under_load(server: &Mysql, asks: &mut Client, clients: usize) -> Running {
    let run = format!("oltp_read_only {TABLES} --threads={clients} --time=300 run");
    let load = sysbench(server.port(), &run);
    let sql = "select count(*) from information_schema.processlist where db = 'sysbench'";
    wait_for("its clients", || {
        (figure::<usize>(&asks.query(sql)) == clients).then_some(())
    });
    load
}

/// Notes who waits at the sockets of the server from now on.
#[track_caller]
fn noting(server: &Mysql) -> Sampler {
    let roles = [&mysql::telling::OF_MYSQL];
    let mut sampler = Sampler::load(&roles, &Options::NO_WINDOWS).expect("root may load probes");
    sampler.note_socket_waiters();
    sampler.add(0, server.pid()).expect("it runs");
    let missing = sampler.unavailable();
    assert!(
        missing.iter().all(|it| it.measure != "busy_connections"),
        "{missing:?}"
    );
    sampler
}

#[track_caller]
fn told(server: &Mysql, sampler: &mut Sampler) -> Connections {
    let waiters = sampler.socket_waiters();
    mysql::connections(server.target_kind(), server.pid(), waiters.as_ref()).expect("it runs")
}

/// Each is served by the thread that the server says.
#[track_caller]
fn assert_none_wrong(server: &Mysql, asks: &mut Client, told: &Connections) {
    let truth = server.ports_by_thread(asks);
    for connection in &told.named {
        let peer = connection.peer.as_deref().expect("an address");
        let port = peer.rsplit_once(':').map(|(_, port)| port);
        let of_thread = truth.get(&connection.tid).map(String::as_str);
        assert_eq!(of_thread, port, "{connection:?}");
    }
    assert_eq!(told.unnamed, told.open - told.named.len() as u64);
}

#[test]
fn of_busy_connections_at_least_95_percent_are_named_and_none_wrong() {
    for kind in [Kind::Mysql, Kind::Mariadb] {
        let server = started(kind);
        let mut asks = server.connect();
        let mut load = under_load(&server, &mut asks, MANY);
        let mut sampler = noting(&server);
        thread::sleep(WATCH);
        let told = told(&server, &mut sampler);
        let at_rest =
            mysql::connections(server.target_kind(), server.pid(), None).expect("it runs");
        assert_none_wrong(&server, &mut asks, &told);
        let named = told.named.len();
        println!(
            "{kind:?}: {named} of {} named, {} of them by what they wait at now",
            told.open,
            at_rest.named.len()
        );
        assert_eq!(told.open, MANY as u64 + 1, "{kind:?}");
        assert!(named * 100 >= (MANY + 1) * 95, "{kind:?}: {named} named");
        // They are at work.
        assert!(at_rest.named.len() < named, "{kind:?}: {at_rest:?}");
        assert!(load.is_running(), "{}", load.said());
    }
}

#[test]
fn those_at_work_since_before_the_watch_are_counted_and_not_named() {
    for kind in [Kind::Mysql, Kind::Mariadb] {
        let server = Mysql::start(kind, &[]);
        let mut asks = server.connect();
        let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
        let (before, within) = clients.split_at_mut(10);
        let sleeping = |asks: &mut Client, count: usize| {
            let sql = "select count(*) from information_schema.processlist where info = 'select sleep(600)'";
            wait_for("busy connections", || {
                (figure::<usize>(&asks.query(sql)) == count).then_some(())
            });
        };
        before
            .iter_mut()
            .for_each(|it| it.send("select sleep(600)"));
        sleeping(&mut asks, 10);
        let mut sampler = noting(&server);
        // They wait for the next request after this, and are seen to.
        within.iter_mut().for_each(|it| drop(it.query("select 1")));
        thread::sleep(REST);
        within
            .iter_mut()
            .for_each(|it| it.send("select sleep(600)"));
        sleeping(&mut asks, 20);
        let told = told(&server, &mut sampler);
        assert_none_wrong(&server, &mut asks, &told);
        assert_eq!((told.open, told.unnamed), (21, 10), "{kind:?}: {told:?}");
        let waiting = told.named.iter().filter(|it| it.wait.is_some()).count();
        assert_eq!(waiting, 1, "{kind:?}: {told:?}");
    }
}

/// Its threads wait at clients' sockets too, while these log in.
#[test]
fn of_a_pool_none_is_named_wrong() {
    let server = started(Kind::MariadbPool);
    let mut asks = server.connect();
    let mut sampler = noting(&server);
    let mut clients: Vec<_> = (0..50).map(|_| server.connect()).collect();
    let load = under_load(&server, &mut asks, MANY);
    for _ in 0..3 {
        thread::sleep(WATCH / 3);
        clients.iter_mut().for_each(|it| drop(it.query("select 1")));
        let told = told(&server, &mut sampler);
        println!("{} of {} named", told.named.len(), told.open);
        assert_eq!((told.open, told.named.len()), (MANY as u64 + 51, 0));
    }
    drop(load);
}

/// By the program itself: it is said what it costs, before and after, and nothing stays.
#[test]
fn attach_names_them_and_says_what_that_costs() {
    let server = started(Kind::Mysql);
    let mut asks = server.connect();
    // Few enough to leave it CPU time to load.
    let load = under_load(&server, &mut asks, FEW);
    let left = Before::now();
    let words = format!(
        "attach --mysql {} --duration 5s --format json",
        server.port()
    );
    let report = |options: &str| {
        let ended = Ended::of(connscope(&format!("{words} {options}"))).exits(0);
        (ended.report(), ended.stderr)
    };
    let (report, said) = report("--busy-connections");
    assert!(said.contains("by --busy-connections"), "{said}");
    let connected = &report["targets"][0]["connected"];
    let named = connected["named"].as_u64().expect("a figure");
    assert_eq!(named, FEW as u64 + 1, "{connected:#}");
    let method = connected["method"].as_str().expect("a method");
    assert!(method.contains("has waited at"), "{method}");
    let programs = report["observer"]["programs"].as_array().expect("a list");
    let noting = programs.iter().find(|it| it["name"] == "on_socket_wait");
    let figure = |name: &str| {
        noting
            .and_then(|it: &Value| it[name].as_f64())
            .expect("it ran")
    };
    let each_ns = figure("run_seconds") / figure("runs") * 1e9;
    println!("on_socket_wait: {each_ns:.0} ns a run");
    // As was said before.
    assert!(
        each_ns < 200.0 && said.contains("200 ns for each sleep"),
        "{each_ns} {said}"
    );
    drop(load);
    left.assert_nothing_left();
}

#[test]
fn without_a_server_of_that_kind_it_is_bad_usage() {
    let words = format!("attach --pid {} --busy-connections", std::process::id());
    Ended::of(connscope(&words)).exits(2).says(
        "connscope: --busy-connections: no server is watched that has a thread for each connection; choose one by \
         --mysql",
    );
}
