//! Targets whose processes come and go while they are watched: restarts, crashes, and what joins later.

#[path = "support/program.rs"]
mod program;
#[path = "support/redis.rs"]
mod redis;
#[path = "support/servers.rs"]
mod servers;

use connscope::attach::cgroup::Hierarchy;
use program::*;
use redis::Redis;
use serde_json::Value;
use servers::postgresql::{Postgresql, Version};
use servers::postgresql_client::Client;
use std::{fs, process::Command, thread, time::Duration};

const SECOND: Duration = Duration::from_secs(1);

/// Its one target.
fn target(ended: &Ended) -> Value {
    ended.report()["targets"][0].clone()
}

/// What it said on stderr, after what it expected to cost.
fn after_cost(ended: &Ended) -> &str {
    let (first, rest) = ended.stderr.split_once('\n').expect("a line");
    assert!(first.starts_with("connscope: expected cost: "), "{first}");
    rest
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_server_that_is_restarted_is_found_again() {
    let mut server = Redis::start();
    let first = server.pid();
    let watch = format!(
        "attach --redis {} --duration 12s --format json",
        server.port
    );
    let watch = Running::start(connscope(&watch));
    thread::sleep(3 * SECOND);
    server.kill();
    thread::sleep(2 * SECOND);
    server.start_again();
    let second = server.pid();
    thread::sleep(2 * SECOND);
    let port = server.port.to_string();
    let asked = Command::new("redis-benchmark")
        .args(["-q", "-p", &port, "-c", "5", "-n", "2000", "-t", "get"])
        .output()
        .expect("redis-benchmark");
    assert!(asked.status.success());
    let ended = watch.finish().exits(0);
    let name = format!("Redis:{}", server.port);
    let said = format!(
        "connscope: {name} has ended; looking for it every second\n\
         connscope: {name} is there again, as process {second}\n"
    );
    assert_eq!(after_cost(&ended), said);
    let target = target(&ended);
    assert_eq!(target["pids"], serde_json::json!([first, second]));
    assert_eq!(target["incomplete"], Value::Null);
    let [restart] = &target["restarts"].as_array().expect("restarts")[..] else {
        panic!("{}", target["restarts"]);
    };
    assert_eq!(restart["pid"], second);
    let after = number(&restart["after_seconds"]);
    assert!((2.0..11.0).contains(&after), "after {after} s");
    // It is watched: 2,000 requests are some hundred switches at least.
    let main = &target["roles"][0];
    assert_eq!((&main["role"], &main["tasks"]), (&"main".into(), &1.into()));
    let switches = &main["measures"]["context_switches"];
    let switches = number(&switches["voluntary"]) + number(&switches["involuntary"]);
    assert!(switches > 100.0, "{switches} switches");
}

#[test]
fn one_that_does_not_come_back_is_said_to_be_gone() {
    let mut server = Redis::start();
    let watch = format!("attach --redis {} --duration 5s --format json", server.port);
    let watch = Running::start(connscope(&watch));
    thread::sleep(2 * SECOND);
    server.kill();
    let ended = watch.finish().exits(0);
    let target = target(&ended);
    let why = target["incomplete"].as_str().expect("a reason");
    assert!(
        why.starts_with("it ended ") && why.ends_with("and was not there again"),
        "{why}"
    );
    assert_eq!(target["tasks"], 0);
}

#[test]
fn what_joins_a_cgroup_later_is_watched_too() {
    let hierarchy = Hierarchy::find().expect("a hierarchy");
    let cgroup = hierarchy.create("joined.service").expect("a cgroup");
    let join = |redis: &Redis| {
        fs::write(cgroup.processes_file(), redis.pid().to_string()).expect("it moves");
    };
    let (first, second) = (Redis::start(), Redis::start());
    join(&first);
    let cgroups = fs::read_to_string(format!("/proc/{}/cgroup", first.pid())).expect("it runs");
    let paths = cgroups.lines().filter_map(|line| line.rsplit(':').next());
    let path = paths
        .into_iter()
        .find(|path| path.ends_with("joined.service"));
    let watch = format!(
        "attach --cgroup {} --duration 9s --format json",
        path.expect("it has")
    );
    let watch = Running::start(connscope(&watch));
    thread::sleep(2 * SECOND);
    join(&second);
    let ended = watch.finish().exits(0);
    assert_eq!(after_cost(&ended), "");
    let target = target(&ended);
    assert_eq!(
        target["pids"],
        serde_json::json!([first.pid(), second.pid()])
    );
    assert_eq!(target["roles"][0]["tasks"], 2);
    assert_eq!(target["restarts"], serde_json::json!([]));
}

fn checkpointer(postmaster: u32) -> Option<u32> {
    let is_one = |pid: &u32| {
        let title = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        title
            .trim_end_matches(['\0', ' '])
            .ends_with(": checkpointer")
    };
    children(postmaster).into_iter().find(is_one)
}

/// The postmaster ends all its children when one crashes, and starts others.
#[test]
fn a_crash_of_a_backend() {
    let server = Postgresql::start(Version::Installed, &[("cluster_name", "15/main")]);
    let mut clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
    let watch = format!(
        "attach --postgres {} --duration 8s --format json",
        server.port()
    );
    let watch = Running::start(connscope(&watch));
    thread::sleep(2 * SECOND);
    let before = checkpointer(server.pid()).expect("it runs");
    let victim: u32 = servers::figure(&clients[0].query("select pg_backend_pid()"));
    kill(victim, libc::SIGKILL);
    clients.clear();
    wait_for("another checkpointer", || {
        let now = checkpointer(server.pid())?;
        (now != before).then_some(())
    });
    wait_for("the server again", || {
        Client::try_connect(server.port(), "postgres").ok()
    });
    let _later: Vec<_> = (0..3).map(|_| server.connect()).collect();
    let ended = watch.finish().exits(0);
    let target = target(&ended);
    let tasks = |name: &str| {
        let roles = target["roles"].as_array().expect("roles");
        let role = roles
            .iter()
            .find(|role| role["role"] == name)
            .expect("the role");
        role["tasks"].as_u64().expect("a number")
    };
    assert_eq!(target["restarts"], serde_json::json!([]));
    assert_eq!(
        (tasks("postmaster"), tasks("client"), tasks("starting")),
        (1, 3, 0)
    );
    assert_eq!(
        (
            tasks("checkpointer"),
            tasks("wal_writer"),
            tasks("background_writer")
        ),
        (1, 1, 1)
    );
}
