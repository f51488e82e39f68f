//! What schedulers in user space do, beside what the kernel sees of it, against work of known size.

#[path = "support/program.rs"]
mod program;

use connscope::{
    attach::launched::{Server, TargetBinary},
    interrupt::Interrupt,
    report::{self, Report},
    sample::Sampler,
    snapshot::{Recording, Run, Snapshot, TargetKind},
    user_space,
};
use libc::{SIGCONT, SIGSTOP};
use probe_ebpf::Options;
use program::*;
use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};

/// Models that schedule connections themselves, and count it.
const COUNTING: [&str; 2] = ["async-tasks", "green-threads"];
/// Those that do and do not count it, and a word of why.
const UNCOUNTED: [(&str, &str); 2] = [
    ("goroutines", "goroutines"),
    ("virtual-threads", "virtual threads"),
];
/// Of so many switches the time of one is taken.
const SAMPLED_ONE_IN: u64 = 256;

/// A server of ours, watched, and its clients.
struct Watched {
    server: Server,
    sampler: Sampler,
    clients: Vec<TcpStream>,
}

impl Watched {
    fn start(model: &str, workers: &str) -> Self {
        let binary = TargetBinary::find(Some(&target())).expect("it was built");
        let options = ["--workers", workers];
        let interrupt = Interrupt::default();
        let mut server =
            Server::start(&binary, model, &options, None, &interrupt).expect("it starts");
        let mut sampler = Sampler::load(&[&connscope::roles::OF_ANY], &Options::NO_WINDOWS)
            .expect("root may load probes");
        sampler.add(0, server.pid()).expect("it runs");
        sampler.add_user_space(0, server.user_space.take());
        Self {
            server,
            sampler,
            clients: Vec::new(),
        }
    }

    fn read(&mut self) -> Snapshot {
        let mut snapshots = self.sampler.read().expect("a snapshot");
        snapshots.pop().expect("of one target")
    }

    fn connect(&mut self, number: usize) {
        let address = self.server.address;
        let connect = |_| TcpStream::connect(address).expect("it listens");
        self.clients.extend((0..number).map(connect));
        self.ask_all();
    }

    /// A request on each connection at once, and all their answers: the server runs only when all are
    /// there, and so finds every one of them, each with its task at rest: what it answers before it has
    /// looked for more is no sign of that.
    fn ask_all(&mut self) {
        wait_for("rest", || {
            (self.all_are('S') && self.all_are('S')).then_some(())
        });
        kill(self.server.pid(), SIGSTOP);
        wait_for("stop", || self.all_are('T').then_some(()));
        for client in &mut self.clients {
            client.write_all(b"PING\r\n").expect("it takes requests");
        }
        kill(self.server.pid(), SIGCONT);
        for client in &mut self.clients {
            let mut answer = [0; 7];
            client.read_exact(&mut answer).expect("an answer");
            assert_eq!(&answer, b"+PONG\r\n");
        }
    }

    /// Whether each of its threads is in that state.
    fn all_are(&self, state: char) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.server.pid())).expect("it runs");
        threads.flatten().all(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit(") ")
                .next()
                .is_some_and(|rest| rest.starts_with(state))
        })
    }
}

/// The report of such a window.
fn reported(before: Snapshot, start: Snapshot, end: Snapshot) -> Report {
    let run = Run {
        name: "server".into(),
        kind: TargetKind::Process,
        pids: vec![1],
        lives_in: None,
        restarts: Vec::new(),
        repeat: 1,
        connections: None,
        before,
        start,
        end,
        memory_points: Vec::new(),
        reserved_points: Vec::new(),
        own: None,
        connected: None,
        client: None,
        incomplete: None,
    };
    report::build(&Recording {
        command: "compare".into(),
        host: connscope::host::describe(None),
        runs: vec![run],
        methods: vec![user_space::method()],
        unavailable: Vec::new(),
        incomplete: None,
    })
    .expect("figures")
}

/// Each request is one switch to its task, however many threads there are, and hardly any of them one
/// of the kernel's: a thread that finds fifty requests serves them without a wait.
#[test]
fn each_request_is_a_switch_in_user_space() {
    const CLIENTS: usize = 50;
    const ROUNDS: u64 = 12;
    for (model, workers) in COUNTING.iter().flat_map(|model| [(model, 1), (model, 2)]) {
        let mut watched = Watched::start(model, &workers.to_string());
        let before = watched.read();
        watched.connect(CLIENTS);
        let start = watched.read();
        (0..ROUNDS).for_each(|_| watched.ask_all());
        let end = watched.read();
        let report = reported(before, start, end);
        let measures = &report.targets[0].measures;
        let switches = measures.user_space_switches.as_ref().expect("it has some");
        let counted = switches.counted.as_ref().expect("it counts");
        let kernel = measures.kernel.context_switches.as_ref().expect("counted");
        let what = format!("{model}, {workers} threads: {counted:?}, {kernel:?}");
        println!("{what}");
        assert_eq!(
            (counted.tasks_alive, counted.tasks_begun),
            (50, 50),
            "{what}"
        );
        let requests = CLIENTS as u64 * ROUNDS;
        assert_eq!(counted.switches, requests, "{what}");
        // To stop, and to wait for more: of each thread, and of the one that accepts.
        assert!(kernel.voluntary < requests / 4, "{what}");
        if workers == 1 {
            // Which one is timed counts from the first, and waits until one follows another.
            let timed = requests / SAMPLED_ONE_IN;
            assert!((timed..=timed + 1).contains(&counted.sampled), "{what}");
            let mean = counted.mean_seconds.expect("some were timed");
            assert!(
                mean > 0.0 && mean < report.targets[0].window_seconds,
                "{what}"
            );
        }
    }
}

#[test]
fn tasks_that_ended_are_not_alive() {
    for model in COUNTING {
        let mut watched = Watched::start(model, "2");
        let before = watched.read();
        watched.connect(30);
        let start = watched.read();
        watched.clients.truncate(10);
        let alive = |watched: &mut Watched| {
            let report = reported(before.clone(), start.clone(), watched.read());
            let switches = report.targets[0].measures.user_space_switches.clone();
            let counted = switches
                .and_then(|switches| switches.counted)
                .expect("it counts");
            (counted.tasks_alive, counted.tasks_begun)
        };
        wait_for("end of tasks", || {
            (alive(&mut watched) == (10, 30)).then_some(())
        });
    }
}

/// The counters have no name that could be left behind, and no other program of ours has them.
#[test]
fn the_counters_are_in_memory_alone() {
    for model in COUNTING {
        let watched = Watched::start(model, "1");
        let maps = fs::read_to_string(format!("/proc/{}/maps", watched.server.pid()));
        let maps = maps.expect("it runs");
        let ours = maps.lines().find(|line| line.contains("counters"));
        let ours = ours.expect("they are mapped");
        assert!(
            ours.ends_with("/memfd:connscope-counters (deleted)"),
            "{ours}"
        );
        let other = Served::start("event-loop");
        let files = fs::read_dir(format!("/proc/{}/fd", other.pid())).expect("it runs");
        let files = files
            .flatten()
            .filter_map(|file| fs::read_link(file.path()).ok());
        assert!(
            files
                .into_iter()
                .all(|file| !file.to_string_lossy().contains("counters"))
        );
    }
}

/// The target of that model, held by 100 connections of a request a second each, so that hardly any
/// two are served at one go.
fn compared(model: &str) -> Value {
    let command = format!(
        "compare --quiet --format json --models {model} --connections 100 --rate 100 --duration 1s \
         --warm-up 200ms"
    );
    let mut report = Ended::of(connscope(&command)).exits(0).report();
    let target = report["targets"][0].take();
    assert_eq!(target["name"], model);
    let switches = &target["measures"]["context_switches"];
    assert!(switches.is_object(), "the kernel's are there: {target:#}");
    target
}

#[test]
fn compare_shows_what_a_scheduler_counts() {
    for model in COUNTING {
        let target = compared(model);
        let client = &target["measures"]["client"];
        let switches = &target["measures"]["user_space_switches"];
        assert!(switches["reason"].is_null(), "{switches}");
        let counted = &switches["counted"];
        assert_eq!(counted["tasks_alive"], 100, "{switches}");
        assert_eq!(counted["tasks_begun"], 100, "{switches}");
        let [made, answered] = [&counted["switches"], &client["answered_in_window"]].map(number);
        let ratio = number(&counted["per_request"]);
        assert!((ratio - made / answered).abs() < 1e-9, "{switches}");
        // The two are not counted at the same instants; where the host was busy, further apart by as
        // long as answers took and as the two windows differ.
        let window = number(&target["window_seconds"]);
        let apart = (window - number(&client["duration_seconds"])).abs();
        let late = number(&client["latency"]["max_seconds"]) + apart;
        let off = (made - answered).abs();
        assert!(
            off <= 0.25 * answered + 100.0 * late,
            "{model}: {made} switches for {answered} requests, late by {late} s"
        );
    }
}

#[test]
fn compare_shows_none_where_there_is_nothing_to_count() {
    let target = compared("event-loop");
    assert!(target["measures"]["user_space_switches"].is_null());
}

/// Of runtimes that were built here: they do switch, and nobody counts it.
#[test]
fn compare_says_what_it_cannot_see() {
    let listed = std::process::Command::new(target()).arg("models").output();
    let listed = String::from_utf8(listed.expect("it runs").stdout).expect("text");
    for (model, why) in UNCOUNTED {
        if !listed.lines().any(|line| line.starts_with(model)) {
            println!("{model} was not built");
            continue;
        }
        let target = compared(model);
        let switches = &target["measures"]["user_space_switches"];
        assert!(switches["counted"].is_null(), "{switches}");
        let reason = switches["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(why), "{switches}");
    }
}
