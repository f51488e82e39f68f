//! Ctrl-C and SIGTERM at any moment: connscope ends soon, reports what it has, and leaves nothing.

#[path = "support/leftovers.rs"]
mod leftovers;
#[path = "support/program.rs"]
mod program;

use leftovers::Before;
use libc::{SIGHUP, SIGINT, SIGTERM};
use program::*;
use std::{
    fs,
    path::Path,
    sync::Mutex,
    thread::{self, sleep},
    time::Duration,
};

/// From the signal to the end.
const LIMIT: Duration = Duration::from_secs(3);
const STEP: Duration = Duration::from_millis(150);
const STEPS: u32 = 21;

/// Calls `each` with every delay from 0 to 3 s and a signal, some at a time.
fn at_many_moments(at_a_time: usize, each: impl Fn(Duration, i32) + Sync) {
    let left = Mutex::new((0..STEPS).rev().collect::<Vec<_>>());
    let next = || left.lock().expect("no thread panicked").pop();
    thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                while let Some(step) = next() {
                    each(STEP * step, [SIGINT, SIGTERM][step as usize % 2]);
                }
            });
        }
    });
}

/// Before connscope had the time to say what it does with signals, they end it.
fn before_it_began(ended: &Ended, delay: Duration, signal: i32) -> bool {
    delay < STEP && ended.was_killed_by(signal)
}

fn name(signal: i32) -> &'static str {
    match signal {
        SIGINT => "SIGINT",
        SIGHUP => "SIGHUP",
        _ => "SIGTERM",
    }
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("it is ours").flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn compare() {
    let before = Before::now();
    let folder = tempfile::tempdir().expect("a temporary folder");
    at_many_moments(4, |delay, signal| {
        let out = folder.path().join(format!("{}.json", delay.as_millis()));
        let running = Running::start(connscope(&format!(
            "compare --models event-loop,thread-per-connection,process-per-connection --connections 1,50 --duration 400ms --warm-up 100ms --format json --out {}",
            out.display()
        )));
        sleep(delay);
        let ended = running.end_by(signal);
        assert!(ended.took < LIMIT, "after {delay:?}: {ended:#?}");
        if before_it_began(&ended, delay, signal) {
            return;
        }
        let ended = ended.exits(1);
        let (line, by) = (ended.line(), format!("interrupted by {}", name(signal)));
        assert!(line.contains(&by), "after {delay:?}: {line}");
        if line.starts_with("connscope: nothing was measured: ") {
            assert!(!out.exists(), "{}", out.display());
            return;
        }
        let report = fs::read_to_string(&out).expect("a report");
        let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
        let incomplete = report["incomplete"].as_str().expect("it is marked");
        assert!(incomplete.contains(&by), "{incomplete}");
        assert!(
            report["targets"]
                .as_array()
                .is_some_and(|list| !list.is_empty())
        );
    });
    assert!(
        files(folder.path())
            .iter()
            .all(|name| name.ends_with(".json"))
    );
    before.assert_nothing_left();
}

#[test]
fn attach() {
    let before = Before::now();
    let served = Served::start("thread-per-connection");
    let load = served.under_load("--connections 10 --duration 60s");
    at_many_moments(4, |delay, signal| {
        let words = format!("attach --pid {} --duration 60s --format json", served.pid());
        let running = Running::start(connscope(&words));
        sleep(delay);
        let ended = running.end_by(signal);
        assert!(ended.took < LIMIT, "after {delay:?}: {ended:#?}");
        if before_it_began(&ended, delay, signal) {
            return;
        }
        let ended = ended.exits(1);
        let by = format!("interrupted by {} after ", name(signal));
        let report = ended.report();
        let incomplete = report["incomplete"].as_str().expect("it is marked");
        assert!(
            incomplete.starts_with(&by) && incomplete.ends_with(" of 60s"),
            "{incomplete}"
        );
        let expected = format!("connscope: the report is incomplete: {incomplete}");
        assert!(
            ended.stderr.ends_with(&format!("{expected}\n")),
            "{ended:#?}"
        );
        assert_eq!(report["targets"].as_array().map(Vec::len), Some(1));
    });
    load.end_by(SIGTERM);
    served.running.end_by(SIGTERM).exits(0);
    before.assert_nothing_left();
}

#[test]
fn attach_without_an_end_is_complete_when_it_is_ended() {
    let before = Before::now();
    let served = Served::start("event-loop");
    for (signal, quiet) in [(SIGINT, ""), (SIGTERM, "--quiet"), (SIGHUP, "")] {
        let words = format!("attach --pid {} --format json {quiet}", served.pid());
        let running = Running::start(connscope(&words));
        sleep(Duration::from_millis(700));
        let ended = running.end_by(signal).exits(0);
        let report = ended.report();
        assert!(report["incomplete"].is_null(), "{report:#}");
        if quiet.is_empty() {
            let (cost, remark) = ended.stderr.split_once('\n').expect("two lines");
            assert!(cost.starts_with("connscope: expected cost: "), "{cost}");
            assert_eq!(remark, "connscope: watching until Ctrl-C\n");
        } else {
            assert_eq!(ended.stderr, "");
        }
    }
    served.running.end_by(SIGTERM).exits(0);
    before.assert_nothing_left();
}

#[test]
fn compare_before_anything_was_measured() {
    let before = Before::now();
    let running = Running::start(connscope(
        "compare --models event-loop,thread-pool --connections 1 --warm-up 5s",
    ));
    running.load();
    let ended = running.end_by(SIGINT).exits(1);
    assert!(ended.took < LIMIT, "{ended:#?}");
    assert_eq!(ended.stdout, "");
    ended.says(
        "connscope: nothing was measured: interrupted by SIGINT, 2 of 2 measurements not made",
    );
    before.assert_nothing_left();
}

#[test]
fn impatience() {
    let before = Before::now();
    let running = Running::start(connscope(
        "compare --connections 10 --duration 20s --format json",
    ));
    running.load();
    sleep(Duration::from_millis(1500));
    for signal in [SIGINT, SIGINT, SIGTERM] {
        kill(running.pid(), signal);
        sleep(Duration::from_millis(20));
    }
    let ended = running.end_by(SIGINT).exits(1);
    assert!(ended.took < LIMIT, "{ended:#?}");
    assert_eq!(ended.report()["targets"].as_array().map(Vec::len), Some(1));
    before.assert_nothing_left();
}

#[test]
fn nohup() {
    let before = Before::now();
    let itself = "trap '' HUP; exec $CONNSCOPE attach --pid $$ --format json --quiet";
    let mut running = Running::start(shell(itself));
    sleep(Duration::from_millis(700));
    kill(running.pid(), SIGHUP);
    sleep(Duration::from_millis(200));
    assert!(running.is_running());
    running.end_by(SIGINT).exits(0);
    before.assert_nothing_left();
}

#[test]
fn many_connections_do_not_hold_it_up() {
    let before = Before::now();
    for model in ["process-per-connection", "thread-per-connection"] {
        let running = Running::start(connscope(&format!(
            "compare --models {model} --connections 1000 --duration 20s --warm-up 0s --quiet"
        )));
        running.load();
        sleep(Duration::from_millis(1500));
        let ended = running.end_by(SIGTERM).exits(1);
        assert!(ended.took < LIMIT, "{ended:#?}");
        before.assert_nothing_left();
    }
}
