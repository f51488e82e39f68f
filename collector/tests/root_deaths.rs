//! Servers, generators and connscope itself die or hang in the middle: one clear line, what was
//! seen is kept, the rest goes on.

#[path = "support/leftovers.rs"]
mod leftovers;
#[path = "support/program.rs"]
mod program;

use leftovers::{Before, cgroups};
use libc::{SIGCONT, SIGINT, SIGKILL, SIGSTOP};
use program::*;
use serde_json::Value;
use std::{
    thread::{self, sleep},
    time::Duration,
};

/// Long enough after the load was started for the window to be open, and well before its end.
const INTO_WINDOW: Duration = Duration::from_millis(700);
/// Another model comes behind the one in trouble.
const OTHER: &str = "event-loop";

fn start(model: &str, connections: u32) -> Running {
    Running::start(connscope(&format!(
        "compare --models {model},{OTHER} --connections {connections} --duration 1200ms \
         --warm-up 100ms --format json"
    )))
}

/// Fails unless that trouble is named on stderr and in the report; returns the report.
#[track_caller]
fn incomplete(ended: Ended, trouble: &str) -> Value {
    let ended = ended
        .exits(1)
        .says(&format!("connscope: the report is incomplete: {trouble}"));
    let report = ended.report();
    assert_eq!(report["incomplete"], trouble, "{report:#}");
    report
}

fn target<'a>(report: &'a Value, name: &str) -> &'a Value {
    let targets = report["targets"].as_array().expect("a list");
    let target = targets.iter().find(|target| target["name"] == name);
    target.unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

/// Fails unless the target was measured, whole or in part.
#[track_caller]
fn measured(report: &Value, name: &str, whole: bool) {
    let target = target(report, name);
    assert_eq!(target["incomplete"].is_null(), whole, "{target:#}");
    let switches = &target["measures"]["context_switches"]["voluntary"];
    assert!(
        switches.as_u64().is_some_and(|count| count > 0),
        "{target:#}"
    );
    let throughput = &target["measures"]["client"]["throughput_per_second"];
    if whole {
        assert!(
            throughput.as_f64().is_some_and(|rate| rate > 0.0),
            "{target:#}"
        );
    }
}

#[test]
fn the_server_is_killed_in_the_window() {
    let before = Before::now();
    let kill_it = |model: &'static str| {
        let running = start(model, 5);
        running.load();
        sleep(INTO_WINDOW);
        kill(running.server(), SIGKILL);
        (model, running.finish())
    };
    let models = ["process-per-connection", "thread-per-connection"];
    let threads = models.map(|model| thread::spawn(move || kill_it(model)));
    for thread in threads {
        let (model, ended) = thread.join().expect("it finished");
        let trouble = format!("{model} at 5 connections: the server was killed by signal 9");
        let report = incomplete(ended, &trouble);
        measured(&report, model, false);
        measured(&report, OTHER, true);
        let window = target(&report, model)["window_seconds"].as_f64();
        assert!(window.is_some_and(|seconds| seconds < 1.2), "{report:#}");
    }
    before.assert_nothing_left();
}

#[test]
fn the_server_is_killed_in_the_ramp() {
    let before = Before::now();
    let model = "thread-per-connection";
    let running = start(model, 3000);
    running.load();
    kill(running.server(), SIGKILL);
    let trouble = format!("{model} at 3000 connections: the server was killed by signal 9");
    let report = incomplete(running.finish(), &trouble);
    assert_eq!(
        report["targets"].as_array().map(Vec::len),
        Some(1),
        "{report:#}"
    );
    measured(&report, OTHER, true);
    before.assert_nothing_left();
}

#[test]
fn the_server_hangs() {
    let before = Before::now();
    let model = "thread-per-connection";
    let in_window = thread::spawn(move || {
        let running = start(model, 5);
        running.load();
        sleep(INTO_WINDOW);
        kill(running.server(), SIGSTOP);
        running.finish()
    });
    let running = start(model, 3000);
    running.load();
    kill(running.server(), SIGSTOP);
    let in_ramp = running.finish().exits(1);

    let line = in_ramp.line();
    let start = format!(
        "connscope: the report is incomplete: {model} at 3000 connections: no connection was \
         answered for 5s after "
    );
    assert!(line.starts_with(&start), "{line}");
    measured(&in_ramp.report(), OTHER, true);

    let in_window = in_window.join().expect("it finished").exits(1);
    let line = in_window.line();
    let start = format!(
        "connscope: the report is incomplete: {model} at 5 connections: the server hangs: it did \
         nothing while "
    );
    assert!(line.starts_with(&start), "{line}");
    let report = in_window.report();
    measured(&report, model, false);
    measured(&report, OTHER, true);
    before.assert_nothing_left();
}

#[test]
fn an_interrupt_does_not_wait_for_a_server_that_hangs() {
    let before = Before::now();
    let running = start("process-per-connection", 5);
    running.load();
    sleep(INTO_WINDOW);
    kill(running.server(), SIGSTOP);
    let ended = running.end_by(SIGINT).exits(1);
    assert!(ended.took < Duration::from_secs(3), "{ended:#?}");
    before.assert_nothing_left();
}

#[test]
fn the_load_generator_is_killed() {
    let before = Before::now();
    let model = "thread-per-connection";
    let running = start(model, 5);
    let load = running.load();
    sleep(INTO_WINDOW);
    kill(load, SIGKILL);
    let trouble = format!("{model} at 5 connections: the load generator was killed by signal 9");
    let report = incomplete(running.finish(), &trouble);
    measured(&report, model, false);
    measured(&report, OTHER, true);
    before.assert_nothing_left();
}

#[test]
fn nothing_is_measured_at_all() {
    let before = Before::now();
    let running = Running::start(connscope(
        "compare --models event-loop --connections 1 --duration 300ms --warm-up 2s",
    ));
    running.load();
    kill(running.server(), SIGKILL);
    let ended = running.finish().exits(1);
    assert_eq!(ended.stdout, "");
    ended.says(
        "connscope: nothing was measured: event-loop at 1 connection: the server was killed by \
         signal 9",
    );
    before.assert_nothing_left();
}

#[test]
fn connscope_itself_is_killed() {
    let before = Before::now();
    let cgroups_before = cgroups();
    let mut running = Vec::new();
    for model in ["process-per-connection", "thread-per-connection"] {
        running.push(start(model, 20));
    }
    for running in &running {
        running.load();
    }
    sleep(INTO_WINDOW);
    // One that was stopped must not stay behind either.
    let stopped = running[1].server();
    kill(stopped, SIGSTOP);
    for running in running {
        assert!(running.end_by(SIGKILL).was_killed_by(SIGKILL));
    }
    kill(stopped, SIGCONT);

    // Its cgroups are left, empty. The next run removes them, and nothing else is to be seen.
    let left: Vec<_> = cgroups().difference(&cgroups_before).cloned().collect();
    if !leftovers::memory_hierarchies().is_empty() {
        assert!(left.len() >= 2, "{left:?}");
    }
    wait_for("end of the servers", || {
        let empty = |path: &std::path::PathBuf| {
            std::fs::read_to_string(path.join("cgroup.procs")).is_ok_and(|pids| pids.is_empty())
        };
        left.iter().all(empty).then_some(())
    });
    let next = "compare --models event-loop --connections 1 --duration 100ms --warm-up 0s";
    Ended::of(connscope(next)).exits(0);
    before.assert_nothing_left();
}
