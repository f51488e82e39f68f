//! A load that several threads offer: that it is the load of one, and counted as one.

#[path = "harness/disturbance.rs"]
mod disturbance;
#[path = "harness/generator.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod generator;
#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use disturbance::Disturbance;
use generator::{
    Load, Outcome, Paced, TARGET, misbehaving_server, number, pong, slow_server, stalling_server,
};
use serde_json::json;
use server::{PATIENCE, Server, signal_process};

#[test]
fn the_same_requests_are_sent_and_counted_by_any_number() {
    for threads in [1, 2, 3, 7] {
        let served = Arc::new(AtomicU64::new(0));
        let of_each = Arc::new(Mutex::new(std::collections::BTreeMap::new()));
        let (count, each) = (served.clone(), of_each.clone());
        let address = misbehaving_server(move |number, stream| {
            count.fetch_add(1, Ordering::SeqCst);
            let client = stream.peer_addr()?;
            each.lock().expect("no panic").insert(client, number);
            pong(stream)
        });
        let load = Load::new(address, 7, 1_000, "501ms").option("--threads", threads);
        let Outcome { status, result, .. } = load.workload("ping").run();
        assert_eq!(status, 0, "{result}");
        assert_eq!(number(&result, "threads"), f64::from(threads), "{result}");
        assert_eq!(number(&result, "connections"), 7.0, "{result}");
        assert_eq!(number(&result, "requests"), 501.0, "{result}");
        assert_eq!(number(&result, "latency/count"), 501.0, "{result}");
        assert_eq!(number(&result, "unanswered"), 0.0, "{result}");
        // One more on each for the ramp.
        assert_eq!(served.load(Ordering::SeqCst), 501 + 7);
        let last: Vec<_> = of_each
            .lock()
            .expect("no panic")
            .values()
            .copied()
            .collect();
        assert_eq!(last.iter().filter(|&&last| last == 72).count(), 4);
        assert_eq!(last.iter().filter(|&&last| last == 71).count(), 3);
    }
}

#[test]
fn each_has_a_thread() {
    let server = Server::start("event-loop", &[]);
    let load = Load::new(server.address, 10, 1_000, "30s").option("--threads", 3);
    let child = load.spawn();
    let begun = Instant::now();
    let threads = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).expect("it runs");
        let names = tasks.flatten().map(|task| {
            let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            name.trim().to_owned()
        });
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    while threads() != ["connscope-targe", "load 1", "load 2"] {
        assert!(begun.elapsed() < PATIENCE, "{:?}", threads());
        std::thread::sleep(Duration::from_millis(10));
    }
    signal_process(child.id() as i32, libc::SIGTERM);
    let Outcome { status, result, .. } = Outcome::of(child, begun);
    assert_eq!(status, 1, "{result}");
    assert_eq!(result["reason"], "ended by SIGTERM", "{result}");
    assert_eq!(result["complete"], false, "{result}");
}

#[test]
fn a_stall_shows_in_p99() {
    let load = Load::new(stalling_server(), 10, 1_000, "4s").workload("ping");
    let Outcome { status, result, .. } = load.option("--threads", 2).run();
    assert_eq!(status, 0, "{result}");
    assert_eq!(number(&result, "requests"), 4_000.0, "{result}");
    // 1,000 of 4,000 requests fell due in the stall, evenly: 0 to 1 s late, and more on a busy host.
    let least = |path: &str, expected: f64| {
        let found = number(&result, path);
        assert!(found > expected - 0.08, "{path} {found}: {result}");
    };
    least("latency/p90_seconds", 0.6);
    least("latency/p99_seconds", 0.96);
    least("latency/max_seconds", 1.0);
    assert!(number(&result, "latency/sum_seconds") > 480.0, "{result}");
}

#[test]
fn ten_thousand_connections_are_shared() {
    let server = Server::start("event-loop", &["--backlog", "4096"]);
    let load = Load::new(server.address, 10_000, 5_000, "2s").workload("ping");
    let Outcome { status, result, .. } = load.option("--threads", 2).run();
    assert_eq!(status, 0, "{result}");
    assert_eq!(number(&result, "connections"), 10_000.0, "{result}");
    assert_eq!(number(&result, "requests"), 10_000.0, "{result}");
    assert_eq!(number(&result, "unanswered"), 0.0, "{result}");
}

#[test]
fn every_workload_is_offered_by_two() {
    for model in ["event-loop", "thread-per-connection"] {
        let server = Server::start(model, &[]);
        for workload in [
            "ping", "get-set", "counter", "cpu", "mixed", "churn", "booking", "idle",
        ] {
            let load = Load::new(server.address, 21, 500, "300ms")
                .option("--warm-up", "100ms")
                .option("--threads", 2)
                .workload(workload);
            let Outcome { status, result, .. } = load.run();
            assert_eq!(status, 0, "{workload}: {result}");
            assert_eq!(number(&result, "errors/wrong_answers"), 0.0, "{result}");
            assert_eq!(number(&result, "unanswered"), 0.0, "{result}");
            let requests = if workload == "idle" { 0.0 } else { 150.0 };
            assert_eq!(number(&result, "requests"), requests, "{result}");
            if workload == "booking" {
                assert_eq!(number(&result, "oversold_seats"), 0.0, "{result}");
            }
        }
        let mut connection = server.connect();
        // 200 of the workload `counter`, those of its warm-up among them: none was sent twice.
        connection.exchange(b"GET connscope:counter\r\n", b"$3\r\n200\r\n");
    }
}

#[test]
fn a_closed_loop_keeps_all_connections_busy() {
    let load = Load::closed(slow_server(), 10, "1s").workload("ping");
    let disturbance = Disturbance::watch();
    let Outcome { status, result, .. } = load.option("--threads", 2).run();
    let away = disturbance.seconds();
    assert_eq!(status, 0, "{result}");
    assert_eq!(result["mode"], "closed-loop");
    let count = number(&result, "latency/count");
    let answered = number(&result, "throughput_per_second") * number(&result, "duration_seconds");
    assert!((count - answered).abs() <= 10.0, "{result}");
    // Little's law: 10 connections are always busy.
    let busy = number(&result, "latency/sum_seconds") / number(&result, "duration_seconds");
    let least = 9.5 - 10.0 * away;
    assert!(
        (least..=10.1).contains(&busy),
        "{busy} of 10, {away}: {result}"
    );
}

#[test]
fn trials_are_made_on_the_connections_of_all() {
    let tried = |model: &str, trial: &str| {
        let server = Server::start(model, &["--allow-crash"]);
        let load = Load::new(server.address, 20, 2_000, "200ms").option("--threads", 3);
        let Outcome { status, result, .. } = load.flag(trial).run();
        assert_eq!(status, 0, "{model}: {result}");
        result
    };
    let result = tried("event-loop", "--stall");
    assert_eq!(number(&result, "stall/others"), 19.0, "{result}");
    assert!(number(&result, "stall/with/p50_seconds") > 0.07, "{result}");
    for (model, lost) in [("process-per-connection", 0.0), ("event-loop", 19.0)] {
        let result = tried(model, "--crash");
        assert_eq!(number(&result, "crash/others"), 19.0, "{model}: {result}");
        assert_eq!(number(&result, "crash/lost"), lost, "{model}: {result}");
    }
}

#[test]
fn a_supervisor_paces_all() {
    let server = Server::start("event-loop", &[]);
    let options = |duration| {
        [
            ["--connections", "10"],
            ["--threads", "2"],
            ["--ramp-steps", "2"],
            ["--warm-up", "100ms"],
            ["--duration", duration],
        ]
        .concat()
    };
    let mut load = Paced::start(server.address, &options("400ms"));
    for connections in [5, 10] {
        let connected = json!({"event": "connected", "connections": connections});
        assert_eq!(load.event(), connected);
        load.go_on();
    }
    assert_eq!(load.event(), json!({"event": "measuring"}));
    assert_eq!(load.event(), json!({"event": "measured"}));
    std::thread::sleep(Duration::from_millis(300));
    assert!(load.child.try_wait().expect("cannot wait").is_none());
    load.go_on();
    let done = load.event();
    assert_eq!(done["result"]["complete"], true, "{done}");
    assert_eq!(number(&done, "result/requests"), 400.0, "{done}");
    assert_eq!(load.status(), 0);

    let mut ended = Paced::start(server.address, &options("30s"));
    for _ in 0..2 {
        ended.event();
        ended.go_on();
    }
    assert_eq!(ended.event(), json!({"event": "measuring"}));
    ended.close_input();
    let failed = json!({"event": "failed", "reason": "standard input ended"});
    assert_eq!(ended.event(), failed);
    assert_eq!(ended.event()["result"]["complete"], false);
    assert_eq!(ended.status(), 1);
}

#[test]
fn a_server_that_dies_ends_all() {
    let mut server = Server::start("event-loop", &[]);
    let started = Instant::now();
    let child = Load::new(server.address, 20, 1_000, "30s")
        .option("--threads", 2)
        .spawn();
    std::thread::sleep(Duration::from_millis(700));
    server.end(libc::SIGKILL);
    let Outcome { status, result, .. } = Outcome::of(child, started);
    assert_eq!(status, 1, "{result}");
    assert_eq!(result["reason"], "the server closed all connections");
    assert_eq!(number(&result, "errors/reset"), 20.0, "{result}");
}

#[test]
fn no_arrival_is_forgotten_beyond_what_they_can() {
    let server = Server::start("event-loop", &[]);
    let load = Load::new(server.address, 50, 3_000_000, "200ms").option("--threads", 2);
    let Outcome { result, .. } = load.run();
    let (requests, unanswered) = (number(&result, "requests"), number(&result, "unanswered"));
    assert_eq!(requests + unanswered, 600_000.0, "{result}");
    assert_eq!(result["latency_in_doubt"], true, "{result}");
}

#[test]
fn a_thread_without_a_connection_is_refused() {
    for (threads, said) in [
        (
            "3",
            "--threads 3 with --connections 2: a thread without a connection has nothing to do",
        ),
        ("0", "0 is not in 1..=64"),
        ("65", "65 is not in 1..=64"),
    ] {
        let output = Command::new(TARGET)
            .args(["load", "--connections", "2", "--threads", threads])
            .output()
            .expect("cannot run the load");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(said), "{text}");
    }
}
