//! The roles of threads by the names that Seastar gives them, which ScyllaDB is built on. ScyllaDB cannot be had
//! here: a process whose threads are called so stands in for it.

#[path = "support/attached.rs"]
mod attached;
#[path = "support/program.rs"]
mod program;

use attached::Attached;
use program::*;
use std::{
    collections::BTreeMap,
    env,
    process::Command,
    thread::{Builder, sleep},
    time::Duration,
};

/// Tells this program that it is the one that is watched.
const STAND_IN: &str = "CONNSCOPE_STAND_IN";
/// A thread for each core but the first, those that help them, and one of the application.
const NAMES: [&str; 6] = [
    "reactor-1",
    "reactor-2",
    "reactor-3",
    "syscall-0",
    "syscall-1",
    "jaeger",
];

#[test]
fn threads_of_seastar_have_roles_by_their_names() {
    if env::var_os(STAND_IN).is_some() {
        return stand_in();
    }
    let mut command = Command::new(env::current_exe().expect("a program"));
    command
        .args(["--exact", "threads_of_seastar_have_roles_by_their_names"])
        .args(["--nocapture", "--test-threads=1"])
        .env(STAND_IN, "1");
    let stand_in = Running::start(command);
    let pid = stand_in.pid();
    let all = wait_for("its threads", || {
        let threads = procfs::process::Process::new(pid as i32).ok()?;
        let threads = threads.tasks().ok()?.flatten();
        let names = threads.filter_map(|thread| Some(thread.stat().ok()?.comm));
        let names: Vec<_> = names.collect();
        let is_there = |name: &str| names.iter().any(|it| it == name);
        let are_there = NAMES.iter().all(|name| is_there(name));
        are_there.then_some(names.len() as u64)
    });
    let attached = Attached::to(&format!("--pid {pid}"));
    // Whoever has no name of Seastar's is asked again.
    sleep(Duration::from_secs(2));
    let report = attached.report();
    let roles = report["targets"][0]["roles"].as_array().expect("roles");
    let roles = roles.iter().map(|role| {
        let name = role["role"].as_str().expect("a name");
        (name, role["tasks"].as_u64().expect("a figure"))
    });
    let roles: BTreeMap<_, _> = roles.filter(|(_, tasks)| *tasks > 0).collect();
    // The main thread is a reactor too; the framework of tests may have a thread besides.
    let expected = [("reactor", 4), ("syscall", 2), ("thread", all - 6)];
    assert_eq!(roles, BTreeMap::from(expected));
    let unavailable = report["unavailable"].as_array().expect("a list");
    let hidden = unavailable
        .iter()
        .find(|it| it["measure"] == "user_space_switches");
    let why = hidden.expect("it is said")["reason"].as_str();
    assert!(
        why.is_some_and(|why| why.contains("Seastar's runtime switches between tasks and fibers")),
        "{why:?}"
    );
}

/// Until it is killed, or nobody asks for it any more.
fn stand_in() {
    let threads = NAMES.map(|name| {
        let body = || sleep(Duration::from_secs(60));
        let thread = Builder::new().name(name.to_owned()).spawn(body);
        thread.expect("a thread")
    });
    for thread in threads {
        thread.join().expect("it ends");
    }
}
