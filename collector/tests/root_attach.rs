//! Processes that can be attached to, and those that cannot, or not to the end.

#[path = "support/leftovers.rs"]
mod leftovers;
#[path = "support/program.rs"]
mod program;

use leftovers::{Before, programs_and_maps};
use libc::{SIGKILL, SIGTERM};
use program::*;
use std::{
    fs,
    process::{Child, Command},
    thread::sleep,
    time::{Duration, Instant},
};

#[track_caller]
fn refuses(pids: &str, why: &str) {
    let words = format!("attach --pid {pids} --duration 10s");
    let ended = Ended::of(connscope(&words)).exits(1);
    assert!(ended.took < Duration::from_secs(3), "{ended:#?}");
    assert_eq!(ended.stdout, "");
    ended.says(&format!("connscope: cannot attach to pid {why}"));
}

#[track_caller]
fn watches(pids: &str) -> serde_json::Value {
    let words = format!("attach --pid {pids} --duration 300ms --format json");
    let ended = Ended::of(connscope(&words)).exits(0);
    assert_eq!(ended.stderr, "");
    ended.report()
}

/// A process that only waits; killed when dropped.
struct Sleeper(Child);

impl Sleeper {
    fn new() -> Self {
        Self(Command::new("sleep").arg("60").spawn().expect("sleep"))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn not_a_process() {
    let before = Before::now();
    let mut gone = Sleeper::new();
    let pid = gone.pid();
    gone.0.kill().expect("it runs");
    // Ended, and not yet waited for.
    wait_for("zombie", || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.contains(") Z ").then_some(())
    });
    refuses(
        &pid.to_string(),
        &format!("{pid}: it has ended and waits for its parent"),
    );
    gone.0.wait().expect("it is ours");
    refuses(&pid.to_string(), &format!("{pid}: no such process"));
    refuses("4194304", "4194304: no such process");

    let (sender, receiver) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        // SAFETY: no arguments.
        let _ = sender.send(unsafe { libc::gettid() });
        let _ = ended.recv();
    });
    let (tid, own) = (
        receiver.recv().expect("the thread says"),
        std::process::id(),
    );
    refuses(
        &tid.to_string(),
        &format!("{tid}: it is a thread of process {own}; use --pid {own}"),
    );
    drop(end);
    thread.join().expect("it ends");
    before.assert_nothing_left();
}

#[test]
fn one_includes_the_other() {
    let before = Before::now();
    let child = Sleeper::new();
    let (child, parent) = (child.pid(), std::process::id());
    let why = format!(
        "{child} (sleep): it descends from pid {parent}, which includes it; leave out one of the two"
    );
    refuses(&format!("{parent},{child}"), &why);
    refuses(&format!("{child},{parent}"), &why);
    before.assert_nothing_left();
}

#[test]
fn unusual_processes() {
    let before = Before::now();
    // The first process, with the whole host below it; a kernel thread, with others below it.
    let first = watches("1");
    assert!(first["targets"][0]["tasks"].as_u64() > Some(1), "{first:#}");
    if fs::read_to_string("/proc/2/comm").is_ok_and(|name| name.trim() == "kthreadd") {
        let kernel = watches("2");
        assert_eq!(kernel["targets"][0]["name"], "kthreadd");
        watches("1,2");
    }
    // Itself.
    let itself = "exec $CONNSCOPE attach --pid $$ --duration 300ms --format json";
    let ended = Ended::of(shell(itself)).exits(0);
    assert_eq!(ended.report()["targets"][0]["name"], "connscope");
    // One that does nothing.
    let sleeper = Sleeper::new();
    let report = watches(&sleeper.pid().to_string());
    let switches = &report["targets"][0]["measures"]["context_switches"];
    assert_eq!(switches["voluntary"], 0, "{report:#}");
    drop(sleeper);
    before.assert_nothing_left();
}

#[test]
fn processes_that_end_during_the_watch() {
    let before = Before::now();
    let (one, two, staying) = (Sleeper::new(), Sleeper::new(), Sleeper::new());
    let (pid, pids) = (one.pid(), format!("{},{}", one.pid(), two.pid()));
    let ended_at = |pids: &str, end: &str| {
        Running::start(connscope(&format!(
            "attach --pid {pids} --format json {end}"
        )))
    };
    let alone = ended_at(&pid.to_string(), "--duration 30s");
    let alone_without_end = ended_at(&pid.to_string(), "--quiet");
    let both = ended_at(&pids, "--duration 30s");
    let one_stays = ended_at(&format!("{pid},{}", staying.pid()), "--duration 6s");
    // Four load their probes at once.
    sleep(Duration::from_secs(5));
    kill(one.pid(), SIGKILL);
    kill(two.pid(), SIGKILL);
    let killed = Instant::now();
    for (running, who) in [
        (alone, format!("process {pid}")),
        (alone_without_end, format!("process {pid}")),
        (both, "all processes".to_owned()),
    ] {
        let ended = running.finish().exits(1);
        assert!(killed.elapsed() < Duration::from_secs(3), "{ended:#?}");
        let report = ended.report();
        let incomplete = report["incomplete"].as_str().expect("it is marked");
        assert!(
            incomplete.starts_with(&format!("{who} ended after ")),
            "{incomplete}"
        );
        let told = format!("connscope: the report is incomplete: {incomplete}");
        assert_eq!(ended.stderr.lines().last(), Some(told.as_str()));
        assert_eq!(report["targets"][0]["tasks"], 0, "{report:#}");
    }
    // The watch goes on as long as there is somebody to watch.
    let report = one_stays.finish().exits(0).report();
    assert_eq!(
        report["targets"].as_array().map(Vec::len),
        Some(2),
        "{report:#}"
    );
    before.assert_nothing_left();
}

/// Watching costs a busy server none of its clients, and nothing piles up.
#[test]
fn again_and_again() {
    let before = Before::now();
    let served = Served::start("thread-per-connection");
    let load = served.under_load("--connections 20 --rate 2000 --duration 600s");
    wait_for("connections", || {
        let tasks = fs::read_dir(format!("/proc/{}/task", served.pid())).ok()?;
        (tasks.count() > 20).then_some(())
    });
    let descriptors = || {
        let files = fs::read_dir(format!("/proc/{}/fd", served.pid())).expect("it runs");
        files.count()
    };
    let (files, objects) = (descriptors(), programs_and_maps());
    for _ in 0..50 {
        let words = format!("attach --pid {} --duration 100ms --quiet", served.pid());
        let ended = Ended::of(connscope(&words)).exits(0);
        assert_eq!(ended.stderr, "");
    }
    assert_eq!(descriptors(), files);
    let nothing_piled_up = || {
        let now = programs_and_maps();
        // Others may begin to watch at the same time, but not fifty of them.
        (now.0 < objects.0 + 10 && now.1 < objects.1 + 10).then_some(())
    };
    wait_for("release of programs and maps", nothing_piled_up);
    let result = load.end_by(SIGTERM).report();
    for (kind, count) in result["errors"].as_object().expect("errors by kind") {
        assert_eq!(count, 0, "{kind}: {result:#}");
    }
    assert!(result["requests"].as_u64() > Some(5_000), "{result:#}");
    served.running.end_by(SIGTERM).exits(0);
    before.assert_nothing_left();
}

/// One run of many cells holds no more descriptors in its last than in its first.
#[test]
fn descriptors_do_not_grow() {
    let before = Before::now();
    for _ in 0..2 {
        let words = "compare --models process-per-connection,thread-per-connection,event-loop \
                     --connections 1 --repeat 3 --duration 100ms --warm-up 0s --quiet";
        let mut running = Running::start(connscope(words));
        // The fewest while each pair of a server and a generator ran: some come and go.
        let mut held: Vec<(Vec<u32>, usize)> = Vec::new();
        while running.is_running() {
            let cell = children(running.pid());
            let files = fs::read_dir(format!("/proc/{}/fd", running.pid()));
            let files = files.map_or(0, |files| files.count());
            if cell.len() == 2 && cell == children(running.pid()) {
                match held.last_mut() {
                    Some((last, fewest)) if *last == cell => *fewest = files.min(*fewest),
                    _ => held.push((cell, files)),
                }
            }
            sleep(Duration::from_millis(1));
        }
        running.finish().exits(0);
        let cells = held.len();
        assert!(cells > 6, "only {cells} of 9 cells were seen");
        let (fewest, most) = (
            held.iter().map(|(_, files)| files).min(),
            held.iter().map(|(_, files)| files).max(),
        );
        // A pipe may have closed before its process was gone; a leak would add up.
        assert!(most <= fewest.map(|files| files + 2).as_ref(), "{held:?}");
        before.assert_nothing_left();
    }
}
