//! Timelines of live runs: what Perfetto is given sums to what the report says, and what can go wrong is said.

#[path = "support/leftovers.rs"]
mod leftovers;
#[path = "support/pftrace.rs"]
mod pftrace;
#[path = "support/program.rs"]
mod program;

use leftovers::Before;
use pftrace::{ASLEEP, DESTROYED, NOT_RECORDED, RUNNABLE, RUNNING, Trace, UNINTERRUPTIBLE};
use program::*;
use serde_json::Value;
use std::{fs, path::Path, process::Command, thread, time::Duration};

/// Draws the timeline of a record.
#[track_caller]
fn drawn(record: &Path, status: i32) -> (Trace, String) {
    let out = record.with_extension("pftrace");
    let words = format!("report {} --timeline {}", record.display(), out.display());
    let ended = Ended::of(connscope(&words)).exits(status);
    let trace = pftrace::read(&fs::read(&out).expect("a trace"));
    (trace, ended.line().to_owned())
}

/// What a report says of all tasks of all targets, in nanoseconds.
fn reported(report: &Value, figure: impl Fn(&Value) -> &Value) -> u64 {
    let targets = report["targets"].as_array().expect("targets").iter();
    let seconds = targets.map(|it| figure(&it["measures"]["time_in_state"]).as_f64());
    (seconds.map(|it| it.expect("a figure")).sum::<f64>() * 1e9) as u64
}

/// Within 0.1 % of it, or of what the window has for one task.
#[track_caller]
fn assert_sums(what: &str, drawn: u64, reported: u64, window: u64) {
    let off = drawn.abs_diff(reported);
    eprintln!("{what}: {drawn} drawn, {reported} reported");
    assert!(
        off * 1000 <= reported.max(window / 10),
        "{what}: {drawn}, not {reported}"
    );
}

/// A crowd: of forks that end, of sleepers, of two that crowd one CPU.
fn crowd() -> Running {
    let script = "taskset -c 0 sh -c 'while :; do :; done' & taskset -c 0 sh -c 'while :; do :; done' & \
                  while :; do sleep 0.01; done";
    let mut command = Command::new("setsid");
    command.args(["sh", "-c", script]);
    Running::start(command)
}

/// Ends all of them.
struct Crowd(Running);

impl Drop for Crowd {
    fn drop(&mut self) {
        // SAFETY: a group of processes that the test started.
        unsafe { libc::kill(-(self.0.pid() as i32), libc::SIGKILL) };
    }
}

#[test]
fn what_perfetto_is_given_sums_to_the_report() {
    let before = Before::now();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("run.connscope");
    let server = Served::start("process-per-connection");
    let load = server.under_load("--connections 30 --rate 3000 --workload churn --duration 30s");
    let crowd = Crowd(crowd());
    let words = format!(
        "record {} --pid {} --pid {} --duration 2s --timeline 10s",
        file.display(),
        server.pid(),
        crowd.0.pid()
    );
    let said = Ended::of(connscope(&words)).exits(0).stderr;
    assert!(
        said.contains("see the timeline by: connscope report"),
        "{said}"
    );
    let (trace, line) = drawn(&file, 0);
    let report = format!("report {} --format json", file.display());
    let report = Ended::of(connscope(&report)).exits(0).report();
    assert!(line.contains("none lost"), "{line}");
    let (from, to) = trace.window();
    let window = to - from;
    assert!(window >= 2_000_000_000, "{window}");
    let mut sums = [0; DESTROYED as usize + 1];
    for tid in trace.states.keys() {
        for (state, ns) in trace.time_in_state(*tid, to) {
            sums[state as usize] += ns;
        }
    }
    let sum = |state: u64| sums[state as usize];
    let told = |name: &'static str| reported(&report, |it| &it[name]);
    assert_sums("running", sum(RUNNING), told("running_seconds"), window);
    assert_sums("runnable", sum(RUNNABLE), told("runnable_seconds"), window);
    let asleep = sum(ASLEEP) + sum(UNINTERRUPTIBLE);
    assert_sums("asleep", asleep, told("blocked_seconds"), window);
    assert!(trace.named("not recorded").is_empty());
    // Only what is after a task was read for the last time.
    assert!(sum(NOT_RECORDED) < window, "{} ns", sum(NOT_RECORDED));
    assert!(told("runnable_seconds") > window / 2, "one CPU was crowded");
    let reasons = &report["targets"][0]["measures"]["time_in_state"]["blocked_by_reason_seconds"];
    let mut some = 0;
    for reason in reasons.as_object().expect("reasons").keys() {
        let slices = trace.named(reason);
        let drawn = slices.iter().map(|it| it.to_ns - it.from_ns).sum::<u64>();
        let told = reported(&report, |it| {
            &it["blocked_by_reason_seconds"][reason.as_str()]
        });
        assert_sums(reason, drawn, told, window);
        some += usize::from(told > window / 100);
    }
    assert!(some >= 3, "{reasons}");
    // One task leaves a CPU before the next one comes; but one that is preempted on its way to sleep, of which the kernel
    // counts no arrival: the books have it on its CPU until it sleeps.
    for (cpu, runs) in trace.on_cpus(to) {
        let overlaps = runs
            .windows(2)
            .filter(|pair| pair[0].1 > pair[1].0 + 1_000)
            .count();
        eprintln!("CPU {cpu}: {overlaps} of {} runs overlap", runs.len());
        assert!(
            overlaps * 100 <= runs.len(),
            "CPU {cpu}: {overlaps} of {}",
            runs.len()
        );
    }
    // What was made in the last moments may not have run by the end.
    let mut forks = trace.named("fork");
    forks.retain(|it| it.from_ns + 200_000_000 < to);
    let first = trace.named("first run");
    let ended = |flow: u64| first.iter().any(|it| it.ending_flows == [flow]);
    let met = forks.iter().filter(|it| ended(it.flows[0])).count();
    assert!(
        forks.len() > 50 && met + 1 >= forks.len(),
        "{met} of {} forks",
        forks.len()
    );
    drop((load, crowd));
    drop(server);
    before.assert_nothing_left();
}

#[test]
fn a_timeline_ends_by_itself_and_the_record_goes_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("run.connscope");
    let server = Served::start("thread-per-connection");
    let load = server.under_load("--connections 20 --rate 2000 --duration 20s");
    let pid = server.pid();
    let words = format!(
        "record {} --pid {pid} --duration 1s --timeline 300ms",
        file.display()
    );
    let said = Ended::of(connscope(&words)).exits(0).stderr;
    let line = "connscope: the timeline of 300ms is complete; the watch goes on";
    assert!(said.lines().any(|it| it == line), "{said}");
    let (trace, _) = drawn(&file, 0);
    let (from, to) = trace.window();
    assert!(
        (250_000_000..500_000_000).contains(&(to - from)),
        "{}",
        to - from
    );
    assert_eq!(trace.threads.len(), 21);

    // Killed: as far as it goes.
    let mut running = Running::start(connscope(&format!(
        "record {} --pid {pid} --interval 100ms --timeline",
        file.display()
    )));
    let begun = || {
        let size = fs::metadata(&file).ok()?.len();
        let said = running.said();
        (size > 1_000 && said.contains("watching")).then_some(())
    };
    wait_for("record", begun);
    thread::sleep(Duration::from_millis(700));
    running.end_by(libc::SIGKILL);
    let (trace, line) = drawn(&file, 1);
    assert!(
        line.contains("it ended early: the record ends early"),
        "{line}"
    );
    let (from, to) = trace.window();
    assert!(to - from > 300_000_000, "{}", to - from);
    drop(load);
    drop(server);
}

#[test]
fn what_cannot_be_drawn_is_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let server = Served::start("event-loop");
    let record = |name: &str, more: &str| {
        let words = format!(
            "record {} --pid {} --duration 300ms --quiet {more}",
            path(name).display(),
            server.pid()
        );
        assert_eq!(Ended::of(connscope(&words)).exits(0).stderr, "");
    };
    record("plain", "");
    record("with", "--timeline");
    let out = path("out.pftrace");
    let draw = |name: &str, out: &Path| {
        let words = format!(
            "report {} --timeline {}",
            path(name).display(),
            out.display()
        );
        Ended::of(connscope(&words))
    };
    let plain = path("plain").display().to_string();
    draw("plain", &out).exits(1).says(&format!(
        "connscope: there is no timeline in {plain}; keep one by: connscope record {plain} --timeline, with the \
         targets"
    ));
    // A byte is another.
    let mut bytes = fs::read(path("with")).expect("a record");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path("altered"), bytes).expect("room");
    let altered = draw("altered", &out).exits(1);
    assert!(altered.line().contains("it is damaged"), "{altered:#?}");
    assert!(!out.exists());
    // A disk that is full.
    let full = draw("with", Path::new("/dev/full")).exits(1);
    full.says("connscope: cannot write /dev/full: no space left on device");
    draw("with", &out).exits(0);
    pftrace::read(&fs::read(out).expect("a trace"));
    drop(server);
}

/// `attach` keeps one and draws it at once, beside its report.
#[test]
fn attach_draws_the_timeline_of_its_own_window() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("run.pftrace");
    let server = Served::start("thread-per-connection");
    let load = server.under_load("--connections 20 --rate 2000 --duration 20s");
    let words = format!(
        "attach --pid {} --duration 1s --format json --timeline {}",
        server.pid(),
        out.display()
    );
    let ended = Ended::of(connscope(&words)).exits(0);
    let trace = pftrace::read(&fs::read(&out).expect("a trace"));
    let (from, to) = trace.window();
    let window = (to - from) as f64 / 1e9;
    assert!((0.9..1.5).contains(&window), "{window} s");
    assert_eq!(trace.threads.len(), 21);
    let drawn: u64 = trace
        .states
        .keys()
        .flat_map(|tid| trace.time_in_state(*tid, to))
        .filter(|(state, _)| *state == RUNNING)
        .map(|(_, ns)| ns)
        .sum();
    let told = reported(&ended.report(), |it| &it["running_seconds"]);
    assert_sums("running", drawn, told, to - from);
    let last = ended.stderr.lines().last().expect("a line");
    assert!(
        last.contains("none lost; open ") && last.ends_with("at https://ui.perfetto.dev"),
        "{last}"
    );
    let both = format!(
        "{words} --flamegraph {}",
        folder.path().join("a.svg").display()
    );
    Ended::of(connscope(&both)).exits(2);
    drop(load);
}
