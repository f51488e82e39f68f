//! The protocol between a paced load and the program that supervises it.

#[path = "harness/disturbance.rs"]
mod disturbance;
#[path = "harness/generator.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod generator;
#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use disturbance::Disturbance;
use generator::{Paced, TARGET, number};
use serde_json::json;
use server::{Server, models};

#[test]
fn every_phase_in_turn_on_every_model() {
    for model in models() {
        let server = Server::start(&model, &[]);
        let disturbance = Disturbance::watch();
        let mut load = Paced::start(
            server.address,
            &[
                "--connections",
                "50",
                "--ramp-steps",
                "4",
                "--rate",
                "1000",
                "--touch",
                "64KiB",
                "--warm-up",
                "200ms",
                "--duration",
                "500ms",
            ],
        );
        let mut warming_up = Instant::now();
        for connections in [12, 25, 37, 50] {
            assert_eq!(
                load.event(),
                json!({"event": "connected", "connections": connections})
            );
            if model == "process-per-connection" {
                assert_eq!(server.children().len(), connections, "each has its process");
            }
            warming_up = Instant::now();
            load.go_on();
        }
        assert_eq!(load.event(), json!({"event": "measuring"}));
        let measuring = Instant::now();
        assert_eq!(load.event(), json!({"event": "measured"}));
        let measured = Instant::now();
        let (warm_up, window) = (measuring - warming_up, measured - measuring);
        // Any of the three may be read late.
        let both = warm_up + window;
        assert!(warm_up.as_millis() >= 200, "{warm_up:?}");
        let late = disturbance.seconds();
        assert!(both >= Duration::from_millis(700), "{both:?}");
        assert!(
            both.as_secs_f64() < 1.0 + late,
            "{both:?}, CPUs away for {late} s"
        );
        // The load goes on being offered.
        let before = context_switches(&server);
        let begun = Instant::now();
        while context_switches(&server) - before < 100 {
            assert!(
                begun.elapsed() < Duration::from_secs(5),
                "{model}: {} switches at 1000 requests/s",
                context_switches(&server) - before
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        load.go_on();
        let done = load.event();
        assert_eq!(done["event"], "done", "{done}");
        assert_eq!(done["result"]["complete"], true, "{done}");
        assert_eq!(
            number(&done, "result/requests"),
            500.0,
            "only the window counts: {done}"
        );
        assert_eq!(number(&done, "result/unanswered"), 0.0, "{done}");
        assert_eq!(load.status(), 0);
    }
}

/// Voluntary switches of all tasks of a server.
fn context_switches(server: &Server) -> u64 {
    let pids = server.children().into_iter().chain([server.pid()]);
    let tasks = pids.flat_map(|pid| {
        std::fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
            .flatten()
    });
    tasks
        .map(|task| {
            let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line.map_or(0, |count| count.trim().parse::<u64>().expect("a number"))
        })
        .sum()
}

#[test]
fn it_waits_for_each_line() {
    let server = Server::start("event-loop", &[]);
    let options = [
        "--connections",
        "2",
        "--warm-up",
        "0",
        "--duration",
        "100ms",
    ];
    let mut load = Paced::start(server.address, &options);
    load.event();
    std::thread::sleep(Duration::from_millis(300));
    let went_on = Instant::now();
    load.go_on();
    load.event();
    load.event();
    assert!(
        went_on.elapsed() >= Duration::from_millis(95),
        "it did not wait"
    );
    assert!(
        load.child.try_wait().expect("cannot wait").is_none(),
        "it waits for a line"
    );
    load.go_on();
    assert_eq!(load.event()["event"], "done");
}

#[test]
fn the_end_of_its_input_stops_it_at_once() {
    let server = Server::start("event-loop", &[]);
    let options = ["--connections", "10", "--warm-up", "0", "--duration", "30s"];
    for phase in 0..2 {
        let mut load = Paced::start(server.address, &options);
        load.event();
        if phase == 1 {
            load.go_on();
            assert_eq!(load.event()["event"], "measuring");
            std::thread::sleep(Duration::from_millis(300));
        }
        let closed = Instant::now();
        load.close_input();
        let failed = load.event();
        assert_eq!(
            failed,
            json!({"event": "failed", "reason": "standard input ended"})
        );
        let done = load.event();
        assert_eq!(done["result"]["complete"], false, "{done}");
        assert_eq!(number(&done, "result/requests") > 0.0, phase == 1, "{done}");
        assert_eq!(load.status(), 1);
        assert!(
            closed.elapsed() < Duration::from_secs(1),
            "{:?}",
            closed.elapsed()
        );
    }
}

#[test]
fn lines_sent_ahead_count_before_the_end() {
    let server = Server::start("event-loop", &[]);
    let mut child = Command::new(TARGET)
        .args(["load", "--paced", "--connect", &server.address.to_string()])
        .args([
            "--connections",
            "4",
            "--warm-up",
            "0",
            "--duration",
            "100ms",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("cannot start the load");
    let mut input = child.stdin.take().expect("it is piped");
    std::io::Write::write_all(&mut input, b"\n\n").expect("cannot write");
    drop(input);
    let output = child.wait_with_output().expect("cannot wait");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(text.lines().count(), 4, "{text}");
}

#[test]
fn failure_is_an_event() {
    let server = Server::start("event-loop", &["--max-connections", "5"]);
    let mut refused = Paced::start(server.address, &["--connections", "6", "--ramp-steps", "2"]);
    assert_eq!(
        refused.event(),
        json!({"event": "connected", "connections": 3})
    );
    refused.go_on();
    let failed = refused.event();
    assert_eq!(failed["event"], "failed", "{failed}");
    assert_eq!(refused.event()["event"], "done");
    assert_eq!(refused.status(), 1);

    // Another one, since that may still have to notice that its clients are gone.
    let mut server = Server::start("event-loop", &[]);
    let mut killed = Paced::start(
        server.address,
        &["--connections", "3", "--workload", "idle"],
    );
    assert_eq!(killed.event()["event"], "connected");
    server.end(libc::SIGKILL);
    let failed = killed.event();
    assert_eq!(failed["event"], "failed", "{failed}");
    assert_eq!(killed.status(), 1);
}
