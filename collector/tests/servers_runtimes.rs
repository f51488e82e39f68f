//! Servers whose runtime is not ours to look into, Go's and Java's, as targets of `attach`: threads that no
//! connection has for itself, against the kernel's own account of the process; connections by their sockets.

#[path = "support/attached.rs"]
mod attached;
#[path = "support/program.rs"]
mod program;
#[path = "support/servers.rs"]
mod servers;

use attached::Attached;
use connscope::{
    attach::{
        launched::{Server, TargetBinary},
        sockets::sockets,
    },
    interrupt::Interrupt,
};
use procfs::process::Process;
use program::*;
use serde_json::Value;
use servers::load::redis_benchmark;
use std::net::TcpStream;
use std::ops::Sub;

const CONNECTIONS: u32 = 50;

/// What the kernel's account says of a process.
#[derive(Clone, Copy, Debug)]
struct Account {
    switches: f64,
    cpu_seconds: f64,
    faults: f64,
}

impl Account {
    #[track_caller]
    fn of(pid: u32) -> Self {
        let process = Process::new(pid as i32).expect("it runs");
        let threads = process.tasks().expect("its threads").flatten();
        let switches = threads.filter_map(|thread| {
            let status = thread.status().ok()?;
            Some(status.voluntary_ctxt_switches? + status.nonvoluntary_ctxt_switches?)
        });
        let switches: u64 = switches.sum();
        let stat = process.stat().expect("it runs");
        Self {
            switches: switches as f64,
            cpu_seconds: (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64,
            faults: stat.minflt as f64,
        }
    }
}

impl Sub for Account {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            switches: self.switches - before.switches,
            cpu_seconds: self.cpu_seconds - before.cpu_seconds,
            faults: self.faults - before.faults,
        }
    }
}

/// The names of a process's threads, but of the first.
#[track_caller]
fn names(pid: u32) -> Vec<String> {
    let process = Process::new(pid as i32).expect("it runs");
    let threads = process.tasks().expect("its threads").flatten();
    let others = threads.filter(|thread| thread.tid != thread.pid);
    let names = others.filter_map(|thread| Some(thread.stat().ok()?.comm));
    names.collect()
}

/// Java's threads have roles by their names, which Go gives to none. Some are made, and end, at any time.
#[track_caller]
fn assert_roles(target: &Value, names: &[String], model: &str) {
    let roles = target["roles"].as_array().expect("roles");
    let tasks = |name: &str| {
        let role = roles.iter().find(|role| role["role"] == name);
        role.and_then(|role| role["tasks"].as_u64()).unwrap_or(0)
    };
    let called = |starts: &[&str]| {
        let is_one = |name: &&String| starts.iter().any(|start| name.starts_with(start));
        names.iter().filter(is_one).count() as u64
    };
    assert_eq!(tasks("main"), 1, "{model}");
    if model == "goroutines" {
        assert!(tasks("thread") > 2, "{roles:#?}");
        assert_eq!(roles.len(), ["main", "thread", "child"].len(), "{roles:#?}");
        return;
    }
    for (role, starts) in [
        ("carrier", &["ForkJoinPool-"][..]),
        ("compiler", &["C1 CompilerThre", "C2 CompilerThre"]),
        ("vm", &["VM ", "Signal Dispatch", "Finalizer"]),
    ] {
        let (told, called) = (tasks(role), called(starts));
        assert!(
            called > 0 && told.abs_diff(called) <= 2 || role == "vm" && told >= called,
            "{role}: {told} of {called} in {names:?}"
        );
    }
    // It is started with the collector that has no threads of its own.
    assert_eq!(tasks("gc"), called(&["GC Thread#", "G1 "]), "{names:?}");
}

#[test]
fn go_and_java() {
    for (model, tasks) in [
        ("goroutines", "goroutines"),
        ("virtual-threads", "virtual threads"),
    ] {
        let binary = TargetBinary::find(Some(&target())).expect("it was built");
        let server = Server::start(&binary, model, &[], None, &Interrupt::default());
        let server = server.expect("it starts");
        let (pid, port) = (server.pid(), server.address.port());
        let load = |requests| {
            let words = format!("-q -t get -c {CONNECTIONS} -n {requests}");
            redis_benchmark(port, &words).finish().exits(0);
        };
        // Its threads are there, and most of what its compiler does is done.
        load(100_000);
        let before_all = Account::of(pid);
        let attached = Attached::to(&format!("--port {port}"));
        let before = Account::of(pid);
        load(50_000);
        let least = Account::of(pid) - before;
        let connect = |_| TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        let held: Vec<_> = (0..CONNECTIONS).map(connect).collect();
        wait_for("its sockets", || {
            let sockets = sockets(&[pid]).expect("it runs");
            (sockets.clients.len() == held.len()).then_some(())
        });
        let names = names(pid);
        let report = attached.report();
        let most = Account::of(pid) - before_all;

        let target = &report["targets"][0];
        assert_eq!(target["pids"], serde_json::json!([pid]), "{model}");
        assert_eq!(target["kind"], "process", "{model}");
        let threads = number(&target["tasks"]);
        assert!(
            (4.0..f64::from(CONNECTIONS)).contains(&threads),
            "{model}: {threads} threads"
        );
        assert_roles(target, &names, model);
        let connected = ["open", "named", "unnamed"].map(|it| target["connected"][it].as_u64());
        let all = u64::from(CONNECTIONS);
        assert_eq!(connected, [all, 0, all].map(Some), "{model}");
        let unavailable = report["unavailable"].as_array().expect("a list");
        let hidden = unavailable
            .iter()
            .find(|it| it["measure"] == "user_space_switches");
        let why = hidden.expect("it is said")["reason"].as_str();
        let said = format!("switches between {tasks} in user space");
        assert!(why.is_some_and(|why| why.contains(&said)), "{why:?}");
        let measures = &target["measures"];
        let switches = &measures["context_switches"];
        let switches = number(&switches["voluntary"]) + number(&switches["involuntary"]);
        let faults = number(&measures["faults"]["minor"]);
        let cpu_seconds = number(&measures["cpu"]["seconds"]);
        // Its account of time has ticks of 10 ms, of user and of system time.
        for (what, seen, least, most) in [
            ("switches", switches, least.switches, most.switches),
            ("minor faults", faults, least.faults, most.faults),
            (
                "CPU time",
                cpu_seconds,
                least.cpu_seconds - 0.02,
                most.cpu_seconds + 0.02,
            ),
        ] {
            println!("{model}: {what} {seen}, {least} to {most}");
            assert!(
                (least..=most).contains(&seen),
                "{model}: {what}: {seen} is not within {least} and {most}"
            );
        }
        assert!(switches > 500.0 && cpu_seconds > 0.1, "{model}: {report:#}");
    }
}
