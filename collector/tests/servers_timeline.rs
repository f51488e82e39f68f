//! A timeline of a real server by the schema that Perfetto publishes: it knows each field, and what its trace processor
//! would make of them sums to what we read. (The trace processor itself is in no package registry.)

#[path = "support/pftrace.rs"]
mod pftrace;
#[path = "support/program.rs"]
mod program;

use pftrace::{DESTROYED, RUNNING};
use program::*;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/perfetto");

/// Python with the packages of the list, installed once below the target directory.
fn python() -> PathBuf {
    let target = Path::new(CONNSCOPE).ancestors().nth(2);
    let here = target.expect("a target directory").join("perfetto");
    let list = Path::new(SOURCE).join("requirements.txt");
    let wanted = fs::read(&list).expect("a list");
    let (installed, python) = (here.join("installed-by"), here.join("bin/python"));
    if fs::read(&installed).is_ok_and(|it| it == wanted) {
        return python;
    }
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&here);
    Ended::of(venv).exits(0);
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
    ]);
    pip.arg(list);
    Ended::of(pip).exits(0);
    fs::write(installed, wanted).expect("a file");
    python
}

#[test]
fn perfetto_knows_all_that_it_is_given() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (record, out) = (folder.path().join("run"), folder.path().join("out"));
    let server = Served::start("process-per-connection");
    let load = server.under_load("--connections 20 --rate 2000 --workload churn --duration 20s");
    let words = format!(
        "record {} --pid {} --duration 1s --timeline --quiet",
        record.display(),
        server.pid()
    );
    Ended::of(connscope(&words)).exits(0);
    drop((load, server));
    let words = format!("report {} --timeline {}", record.display(), out.display());
    Ended::of(connscope(&words)).exits(0);
    let mut check = Command::new(python());
    check.arg(Path::new(SOURCE).join("check.py")).arg(&out);
    let seen: Value = Ended::of(check).exits(0).report();
    assert_eq!(seen["errors"], serde_json::json!([]), "{seen}");
    let trace = pftrace::read(&fs::read(&out).expect("a trace"));
    let (_, end) = trace.window();
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    // The kernel counts no arrival of a task that was preempted on its way to sleep: the books have it on its CPU until
    // it sleeps.
    let overlaps = number(&seen["overlaps"]);
    assert!(overlaps * 200 < number(&seen["packets"]), "{overlaps}");
    for tid in trace.states.keys() {
        let tid_text = tid.to_string();
        for (state, ns) in trace.time_in_state(*tid, end) {
            // What has ended is not at anything.
            if state != DESTROYED {
                let theirs = number(&seen["in_state"][&tid_text][state.to_string()]);
                assert_eq!(theirs, ns, "thread {tid}, state {state}");
            }
            if state == RUNNING && overlaps == 0 {
                assert_eq!(
                    number(&seen["on_cpu"][&tid_text]),
                    ns,
                    "thread {tid} on CPUs"
                );
            }
        }
    }
    assert!(number(&seen["packets"]) > 10_000, "{}", seen["packets"]);
    assert!(number(&seen["arrows"]) > 50, "{}", seen["arrows"]);
}
