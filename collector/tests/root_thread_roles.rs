//! The roles of threads by the names that Seastar gives them, which ScyllaDB is built on. ScyllaDB cannot be had
//! here: a process whose threads are called so stands in for it.

#[path = "support/attached.rs"]
mod attached;
#[path = "support/exporter.rs"]
mod exporter;
#[path = "support/program.rs"]
mod program;

use attached::Attached;
use connscope::attach::cgroup::Hierarchy;
use exporter::{Exporter, Metrics};
use program::*;
use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    fs::{self, File},
    path::Path,
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

/// The arguments that make this program the one that is watched.
const ARGUMENTS: &str =
    "--exact threads_of_seastar_have_roles_by_their_names --nocapture --test-threads=1";

#[test]
fn threads_of_seastar_have_roles_by_their_names() {
    if env::var_os(STAND_IN).is_some() {
        return stand_in();
    }
    let mut command = Command::new(env::current_exe().expect("a program"));
    command.args(ARGUMENTS.split(' ')).env(STAND_IN, "1");
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

/// A script that becomes the stand-in as soon as a file is there.
fn script(file: &Path) -> Running {
    let wait = "until [ -e \"$FILE\" ]; do sleep 0.1; done";
    let mut command = shell(&format!("{wait}; exec \"$PROGRAM\" {ARGUMENTS}"));
    command
        .env("FILE", file)
        .env("PROGRAM", env::current_exe().expect("a program"))
        .env(STAND_IN, "1");
    Running::start(command)
}

/// Waits until as many tasks have the roles of reactors and of their helpers as the stand-in has.
#[track_caller]
fn told(exporter: &Exporter) -> Metrics {
    let tasks = |metrics: &Metrics, role: &str| {
        metrics.sum(
            "connscope_tasks",
            &["target=\"ours\"", &format!("role=\"{role}\"")],
        )
    };
    wait_for("its roles", || {
        let metrics = exporter.scrape();
        let seen = ["reactor", "syscall", "child"].map(|role| tasks(&metrics, role));
        (seen == [4.0, 2.0, 0.0]).then_some(metrics)
    })
}

/// Loaded anew for the roles, there is a gap; the roles stay when it is started again.
#[test]
fn an_exporter_gives_a_script_the_roles_of_what_it_becomes() {
    let hierarchy = Hierarchy::find().expect("a hierarchy");
    let cgroup = hierarchy.create("script.service").expect("a cgroup");
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let started = |file: &Path| {
        let script = script(file);
        fs::write(cgroup.processes_file(), script.pid().to_string()).expect("it moves");
        script
    };
    let up = |exporter: &Exporter, expected: f64| {
        wait_for("the target, or its end", || {
            let metrics = exporter.scrape();
            (metrics.sum("connscope_target_up", &[]) == expected).then_some(metrics)
        })
    };
    let gaps = |metrics: &Metrics| metrics.sum("connscope_watch_gap_seconds_total", &[]);
    let script = started(&first);
    let by_pid = format!("[[target]]\nname = \"ours\"\npid = {}\n", script.pid());
    let processes = cgroup.processes_file();
    let unit = processes.parent().and_then(Path::file_name);
    let unit = unit.and_then(OsStr::to_str).expect("a name");
    let by_unit = format!("[[target]]\nname = \"ours\"\nunit = \"{unit}\"\n");
    let [by_pid, by_unit] = [by_pid, by_unit].map(|it| Exporter::start(&it));
    for exporter in [&by_pid, &by_unit] {
        let metrics = up(exporter, 1.0);
        assert_eq!(gaps(&metrics), 0.0);
        assert!(!metrics.has("connscope_tasks", "role=\"reactor\""));
        let lives_in = format!("lives_in=\"{unit}\"");
        assert!(metrics.has("connscope_target_info", &lives_in));
    }
    File::create(&first).expect("a file of ours");
    let mut seen = Metrics::default();
    let gap = [&by_pid, &by_unit].map(|exporter| gaps(&told(exporter)))[1];
    assert!(gap > 0.0);
    told(&by_unit).assert_none_went_back(&mut seen);
    drop(script);
    up(&by_unit, 0.0);
    let _script = started(&second);
    up(&by_unit, 1.0);
    File::create(&second).expect("a file of ours");
    let metrics = told(&by_unit);
    metrics.assert_none_went_back(&mut seen);
    assert_eq!(gaps(&metrics), gap);
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
