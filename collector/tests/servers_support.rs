//! The real servers that other tests attach to: each starts as it is told, answers hundreds of connections,
//! and is gone without a trace.

#[path = "support/program.rs"]
mod program;
#[path = "support/servers.rs"]
mod servers;

use program::{kill, wait_for};
use servers::mysql::{Kind, Mysql};
use servers::postgresql::{Postgresql, Version};
use servers::{Rows, figure};
use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// How many connections a test holds; others of these servers hold more.
const MANY: usize = 100;
/// Of them, how many wait for an answer.
const BUSY: usize = 20;

/// What a server has, and may not leave behind.
struct Traces {
    processes: Vec<u32>,
    data: PathBuf,
    /// Files of shared memory.
    shared: BTreeSet<PathBuf>,
}

impl Traces {
    fn of(pid: u32, data: PathBuf) -> Self {
        assert!(data.is_dir());
        let mut processes = vec![pid];
        let mut next = 0;
        while let Some(pid) = processes.get(next) {
            processes.extend(program::children(*pid));
            next += 1;
        }
        let shared = processes.iter().flat_map(|pid| shared_files(*pid));
        let shared = shared.collect();
        Self {
            processes,
            data,
            shared,
        }
    }

    /// Fails if anything of it is there. Orphans of a server may take a while to see that they are.
    #[track_caller]
    fn assert_gone(&self) {
        wait_for("end of all processes", || {
            let mut there = self.processes.iter();
            let none = !there.any(|pid| Path::new(&format!("/proc/{pid}")).exists());
            none.then_some(())
        });
        let folder = self.data.parent().expect("a folder");
        assert!(!folder.exists(), "{} is left", folder.display());
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("proc");
        assert!(!mounts.contains("connscope-server-"), "{mounts}");
        let memory = fs::read_to_string("/proc/sysvipc/shm").expect("proc");
        let makers = memory
            .lines()
            .filter_map(|line| line.split_whitespace().nth(4)?.parse().ok());
        let left: Vec<u32> = makers.filter(|pid| self.processes.contains(pid)).collect();
        assert!(left.is_empty(), "shared memory of {left:?} is left");
        let mut shared = self.shared.iter();
        assert!(!shared.any(|file| file.exists()), "{:?}", self.shared);
    }
}

/// What a server has mapped of its kind; with mounts of its own, it has the folder before it elsewhere.
fn shared_files(pid: u32) -> Vec<PathBuf> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let names = maps.lines().filter_map(|line| line.rsplit('/').next());
    let names = names.filter(|name| name.starts_with("PostgreSQL."));
    names.map(|name| Path::new("/dev/shm").join(name)).collect()
}

fn assert_postgresql_serves(version: Version, settings: &[(&str, &str)]) {
    let most = (MANY + 100).to_string();
    let mut all = vec![
        ("max_connections", most.as_str()),
        ("cluster_name", "a name"),
    ];
    all.extend(settings);
    let server = Postgresql::start(version, &all);
    for (name, value) in &all {
        assert_eq!(server.query(&format!("show {name}")), [[*value]]);
    }
    let mut clients: Vec<_> = (0..MANY).map(|_| server.connect()).collect();
    for busy in &mut clients[..BUSY] {
        busy.send("select pg_sleep(600)");
    }
    let backends = "from pg_stat_activity where backend_type = 'client backend'";
    let busy = format!("select count(*) {backends} and wait_event = 'PgSleep'");
    wait_for("busy backends", || {
        (figure::<usize>(&server.query(&busy)) == BUSY).then_some(())
    });
    let mut pids: Vec<u32> = clients.iter().map(|client| client.pid).collect();
    let asks = server.connect();
    pids.push(asks.pid);
    pids.sort_unstable();
    let mut asks = asks;
    let seen = asks.query(&format!("select pid {backends} order by pid"));
    let seen: Vec<u32> = seen
        .iter()
        .map(|row| row[0].parse().expect("a pid"))
        .collect();
    assert_eq!(seen, pids);
    let traces = Traces::of(server.pid(), server.data_directory());
    assert!(traces.processes.len() > MANY);
    drop(server);
    traces.assert_gone();
}

#[test]
fn the_installed_postgresql() {
    assert_postgresql_serves(Version::Installed, &[("update_process_title", "off")]);
}

#[test]
fn postgresql_18_with_io_workers() {
    assert_postgresql_serves(
        Version::Eighteen,
        &[("io_method", "worker"), ("io_workers", "2")],
    );
}

#[test]
fn postgresql_18_with_io_uring() {
    assert_postgresql_serves(Version::Eighteen, &[("io_method", "io_uring")]);
}

fn assert_mysql_serves(kind: Kind, named: &str, handling: &str) {
    let most = (MANY + 100).to_string();
    let server = Mysql::start(kind, &[("max-connections", most.as_str())]);
    let version: Rows = server.query("select version()");
    assert_eq!(
        version[0][0].contains("MariaDB"),
        named == "mariadbd",
        "{version:?}"
    );
    let said = server.query("show variables like 'thread_handling'");
    assert_eq!(said, [["thread_handling", handling]]);
    let comm = fs::read_to_string(format!("/proc/{}/comm", server.pid()));
    assert_eq!(comm.expect("it runs").trim(), named);
    let mut clients: Vec<_> = (0..MANY).map(|_| server.connect()).collect();
    for busy in &mut clients[..BUSY] {
        busy.send("select sleep(600)");
    }
    let mut asks = server.connect();
    let connections = "from information_schema.processlist where user = 'root'";
    let busy = format!("select count(*) {connections} and info = 'select sleep(600)'");
    wait_for("busy connections", || {
        (figure::<usize>(&asks.query(&busy)) == BUSY).then_some(())
    });
    let seen = asks.query(&format!("select id {connections} order by id"));
    let seen: Vec<u32> = seen
        .iter()
        .map(|row| row[0].parse().expect("an id"))
        .collect();
    let mut ids: Vec<u32> = clients
        .iter()
        .chain([&asks])
        .map(|client| client.id)
        .collect();
    ids.sort_unstable();
    assert_eq!(seen, ids);
    let traces = Traces::of(server.pid(), server.data_directory());
    drop(server);
    traces.assert_gone();
}

#[test]
fn mysql() {
    assert_mysql_serves(Kind::Mysql, "mysqld", "one-thread-per-connection");
}

#[test]
fn mariadb() {
    assert_mysql_serves(Kind::Mariadb, "mariadbd", "one-thread-per-connection");
}

#[test]
fn mariadb_with_its_thread_pool() {
    assert_mysql_serves(Kind::MariadbPool, "mariadbd", "pool-of-threads");
}

#[test]
fn a_replica_follows() {
    let primary = Postgresql::start(Version::Installed, &[]);
    let replica = primary.start_replica(&[]);
    primary.query("create table t as select generate_series(1, 1000) as n");
    wait_for("the table in the replica", || {
        let there = replica.query("select to_regclass('t') is not null");
        (there == [["t"]]).then_some(())
    });
    assert_eq!(replica.query("select sum(n) from t"), [["500500"]]);
    let followers = primary.query("select count(*) from pg_stat_replication");
    assert_eq!(figure::<u32>(&followers), 1);
    assert_eq!(replica.query("select pg_is_in_recovery()"), [["t"]]);
}

#[test]
fn nothing_is_left_by_a_test_that_fails_or_a_server_that_was_killed() {
    let mut traces = Vec::new();
    let failed = catch_unwind(AssertUnwindSafe(|| {
        let server = Postgresql::start(Version::Eighteen, &[]);
        traces.push(Traces::of(server.pid(), server.data_directory()));
        panic!("on purpose");
    }));
    assert!(failed.is_err());
    let server = Postgresql::start(Version::Installed, &[]);
    traces.push(Traces::of(server.pid(), server.data_directory()));
    let shared = &traces[1].shared;
    assert!(!shared.is_empty() && shared.iter().all(|file| file.exists()));
    kill(server.pid(), libc::SIGKILL);
    drop(server);
    traces.iter().for_each(Traces::assert_gone);
}
