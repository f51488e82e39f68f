//! The load generator: that its figures are true, and that it says so when they are not.

#[path = "harness/generator.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod generator;
#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use generator::{TARGET, load, misbehaving_server, number, pong};
use server::{Server, models, signal_process};

#[test]
fn every_workload_on_every_model() {
    std::thread::scope(|scope| {
        for model in models() {
            scope.spawn(move || {
                let server = Server::start(&model, &[]);
                for workload in ["ping", "get-set", "counter", "cpu", "mixed", "idle"] {
                    let options = [
                        "--workload",
                        workload,
                        "--connections",
                        "20",
                        "--rate",
                        "500",
                        "--duration",
                        "300ms",
                        "--warm-up",
                        "100ms",
                    ];
                    let (status, result, _) = load(server.address, &options);
                    assert_eq!(status, 0, "{model}: {result}");
                    assert_eq!(result["complete"], true);
                    assert_eq!(result["workload"], workload);
                    assert_eq!(result["mode"], "open-loop");
                    assert_eq!(number(&result, "connections"), 20.0);
                    for error in [
                        "refused",
                        "reset",
                        "error_replies",
                        "wrong_answers",
                        "timeouts",
                    ] {
                        assert_eq!(number(&result, &format!("errors/{error}")), 0.0, "{result}");
                    }
                    assert_eq!(number(&result, "unanswered"), 0.0, "{result}");
                    if workload == "idle" {
                        assert!(result["latency"].is_null());
                        assert_eq!(result["answered_in_window"], 0, "{result}");
                        assert!(result["send_lateness"].is_null(), "{result}");
                        continue;
                    }
                    assert_eq!(number(&result, "requests"), 150.0, "{model}: {result}");
                    assert_eq!(number(&result, "latency/count"), 150.0);
                    assert_eq!(result["latency"]["is_bound"], false);
                    let least = match workload {
                        "cpu" => 100e-6,
                        "mixed" => 50e-6,
                        _ => 0.0,
                    };
                    assert!(
                        number(&result, "latency/min_seconds") >= least,
                        "{model}: {result}"
                    );
                    let median = number(&result, "latency/p50_seconds");
                    assert!(workload != "mixed" || median >= 5e-3, "{model}: {result}");
                }
            });
        }
    });
}

#[test]
fn a_stall_is_charged_to_every_request_it_delayed() {
    let first = Arc::new(OnceLock::new());
    let address = misbehaving_server(move |_, stream| {
        // Stalls everything from 1 s to 2 s after the first request.
        let stall = *first.get_or_init(Instant::now) + Duration::from_secs(1);
        let now = Instant::now();
        if (stall..stall + Duration::from_secs(1)).contains(&now) {
            std::thread::sleep(stall + Duration::from_secs(1) - now);
        }
        pong(stream)
    });
    let options = [
        "--workload",
        "ping",
        "--connections",
        "10",
        "--rate",
        "1000",
        "--duration",
        "4s",
        "--warm-up",
        "0s",
    ];
    let (status, result, _) = load(address, &options);
    assert_eq!(status, 0, "{result}");
    assert_eq!(number(&result, "requests"), 4000.0, "{result}");
    // 1,000 of 4,000 requests fell due in the stall, evenly: 0 to 1 s late.
    let near = |path: &str, expected: f64| {
        let found = number(&result, path);
        assert!(
            (found - expected).abs() < 0.08,
            "{path} {found}, expected {expected}: {result}"
        );
    };
    near("latency/p50_seconds", 0.0);
    near("latency/p90_seconds", 0.6);
    near("latency/p99_seconds", 0.96);
    near("latency/max_seconds", 1.0);
    let sum = number(&result, "latency/sum_seconds");
    assert!((480.0..560.0).contains(&sum), "{sum}");
    // The stall is the server's fault, not the generator's.
    assert!(
        number(&result, "send_lateness/p99_seconds") < 0.05,
        "{result}"
    );
    assert!(number(&result, "late_send_max_seconds") < 0.5, "{result}");
}

#[test]
fn a_closed_loop_hides_the_stall_and_is_labelled() {
    let server = Server::start("event-loop", &[]);
    let options = [
        "--closed",
        "--connections",
        "10",
        "--duration",
        "500ms",
        "--warm-up",
        "100ms",
    ];
    let (status, result, _) = load(server.address, &options);
    assert_eq!(status, 0, "{result}");
    assert_eq!(result["mode"], "closed-loop");
    assert!(result["offered_per_second"].is_null());
    assert!(result["send_lateness"].is_null());
    assert!(
        number(&result, "throughput_per_second") > 1000.0,
        "{result}"
    );
    let count = number(&result, "latency/count");
    let answered = number(&result, "throughput_per_second") * number(&result, "duration_seconds");
    assert!((count - answered).abs() <= 10.0, "{result}");
    // Little's law: 10 connections are always busy.
    let busy = number(&result, "latency/sum_seconds") / number(&result, "duration_seconds");
    assert!((7.0..=10.1).contains(&busy), "{busy} of 10 busy: {result}");
}

#[test]
fn a_wrong_answer_fails_the_run() {
    let requests = AtomicU64::new(0);
    let address =
        misbehaving_server(
            move |_, stream| match requests.fetch_add(1, Ordering::Relaxed) {
                150 => stream.write_all(b"+PANG\r\n"),
                160 => stream.write_all(b"-ERR sorry\r\n"),
                _ => pong(stream),
            },
        );
    let options = [
        "--workload",
        "ping",
        "--connections",
        "4",
        "--rate",
        "500",
        "--duration",
        "500ms",
        "--warm-up",
        "0s",
    ];
    let (status, result, _) = load(address, &options);
    assert_eq!(status, 1, "{result}");
    assert_eq!(result["complete"], false);
    assert_eq!(result["reason"], "1 wrong answer, 1 error reply");
    assert_eq!(number(&result, "errors/wrong_answers"), 1.0);
    assert_eq!(number(&result, "errors/error_replies"), 1.0);
    assert_eq!(number(&result, "requests"), 248.0);
    assert_eq!(number(&result, "unanswered"), 0.0);
}

#[test]
fn a_lost_update_is_a_wrong_answer() {
    let requests = AtomicU64::new(0);
    let address = misbehaving_server(move |number, stream| {
        // Each connection: PING, on the first also the SET; then INCR, where two ask and both
        // are told the same sum.
        match (number, requests.fetch_add(1, Ordering::Relaxed)) {
            (0, _) => pong(stream),
            (_, all) if all < 3 => stream.write_all(b"+OK\r\n"),
            (_, all) => stream.write_all(format!(":{}\r\n", all / 2).as_bytes()),
        }
    });
    let options = [
        "--workload",
        "counter",
        "--connections",
        "2",
        "--rate",
        "200",
        "--duration",
        "500ms",
        "--warm-up",
        "0s",
    ];
    let (status, result, _) = load(address, &options);
    assert_eq!(status, 1, "{result}");
    assert!(number(&result, "errors/wrong_answers") >= 49.0, "{result}");
}

#[test]
fn a_server_that_dies_ends_the_run_at_once() {
    for model in models() {
        let mut server = Server::start(&model, &[]);
        let address = server.address;
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(700));
            server.end(libc::SIGKILL);
        });
        let options = [
            "--connections",
            "20",
            "--rate",
            "1000",
            "--duration",
            "30s",
            "--warm-up",
            "0",
        ];
        let (status, result, took) = load(address, &options);
        killer.join().expect("the server was killed");
        assert_eq!(status, 1, "{model}: {result}");
        assert!(took < Duration::from_secs(2), "{model}: {took:?}");
        assert_eq!(result["complete"], false, "{model}: {result}");
        assert_eq!(
            result["reason"], "the server closed all connections",
            "{model}"
        );
        assert_eq!(number(&result, "errors/reset"), 20.0, "{model}");
        let requests = number(&result, "requests");
        assert!((200.0..900.0).contains(&requests), "{model}: {result}");
        assert!(
            (0.2..0.9).contains(&number(&result, "duration_seconds")),
            "{model}: {result}"
        );
    }
}

#[test]
fn a_refused_connection_is_counted() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("cannot listen");
    let address = closed.local_addr().expect("its address");
    drop(closed);
    let (status, result, took) = load(address, &["--connections", "5"]);
    assert_eq!(status, 1, "{result}");
    assert_eq!(result["complete"], false);
    let reason = result["reason"].as_str().expect("a reason");
    assert_eq!(
        reason,
        format!("cannot make connection 0 to {address}: connection refused")
    );
    assert_eq!(number(&result, "errors/refused"), 1.0);
    assert!(took < Duration::from_secs(1));
}

#[test]
fn a_server_with_too_few_places_refuses_the_run() {
    for model in models() {
        let server = Server::start(&model, &["--max-connections", "10"]);
        let (status, result, _) = load(
            server.address,
            &["--connections", "11", "--workload", "idle"],
        );
        assert_eq!(status, 1, "{model}: {result}");
        let reason = result["reason"].as_str().expect("a reason");
        assert!(
            reason.ends_with(": ERR max number of clients reached"),
            "{model}: {reason}"
        );
        assert_eq!(number(&result, "errors/refused"), 1.0, "{model}");
    }
}

#[test]
fn a_server_that_hangs_ends_the_run() {
    // Both take 5 s: at the same time.
    let ramp = std::thread::spawn(a_silent_server_ends_the_ramp);
    a_server_that_falls_silent_ends_the_run();
    ramp.join().expect("the ramp ended as expected");
}

fn a_server_that_falls_silent_ends_the_run() {
    let address = misbehaving_server(|number, stream| {
        if number > 20 {
            std::thread::sleep(Duration::from_secs(60));
        }
        pong(stream)
    });
    let options = [
        "--workload",
        "ping",
        "--connections",
        "5",
        "--rate",
        "1000",
        "--duration",
        "30s",
        "--warm-up",
        "0",
    ];
    let (status, result, took) = load(address, &options);
    assert_eq!(status, 1, "{result}");
    assert_eq!(result["complete"], false);
    let reason = result["reason"].as_str().expect("a reason");
    assert_eq!(
        reason,
        "the server answered nothing for 5s with 5 requests outstanding"
    );
    assert_eq!(number(&result, "requests"), 100.0);
    assert!(number(&result, "unanswered") > 4000.0, "{result}");
    assert!((5.0..7.0).contains(&took.as_secs_f64()), "{took:?}");
}

fn a_silent_server_ends_the_ramp() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("cannot listen");
    let address = silent.local_addr().expect("its address");
    let (status, result, took) = load(address, &["--connections", "5"]);
    assert_eq!(status, 1, "{result}");
    assert_eq!(number(&result, "errors/timeouts"), 5.0, "{result}");
    assert!((5.0..7.0).contains(&took.as_secs_f64()), "{took:?}");
}

#[test]
fn answers_that_are_no_resp_are_wrong() {
    for answer in [
        &b"*1\r\n*1\r\n"[..],
        b"\xff\xfe\r\n",
        b"+PONG\r\n+PONG\r\n",
        b"$-7\r\n",
    ] {
        let address = misbehaving_server(|_, stream| stream.write_all(answer));
        let (status, result, _) = load(address, &["--connections", "1", "--workload", "ping"]);
        assert_eq!(status, 1, "{result}");
        assert_eq!(number(&result, "errors/wrong_answers"), 1.0, "{result}");
    }
}

#[test]
fn sigint_and_sigterm_end_the_run_early() {
    let server = Server::start("event-loop", &[]);
    for (signal, reason) in [
        (libc::SIGINT, "interrupted by SIGINT"),
        (libc::SIGTERM, "ended by SIGTERM"),
    ] {
        let child = Command::new(TARGET)
            .args([
                "load",
                "--format",
                "json",
                "--connect",
                &server.address.to_string(),
            ])
            .args(["--connections", "10", "--warm-up", "0", "--duration", "30s"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("cannot start the load");
        std::thread::sleep(Duration::from_millis(600));
        signal_process(child.id() as i32, signal);
        let output = child.wait_with_output().expect("cannot wait");
        assert_eq!(output.status.code(), Some(1));
        let result: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a result");
        assert_eq!(result["complete"], false);
        assert_eq!(result["reason"], reason);
        assert!(number(&result, "requests") > 100.0, "{result}");
    }
}

#[test]
fn late_sends_are_the_generators_own() {
    let server = Server::start("event-loop", &[]);
    let mut child = Command::new(TARGET)
        .args([
            "load",
            "--format",
            "json",
            "--connect",
            &server.address.to_string(),
        ])
        .args([
            "--connections",
            "10",
            "--rate",
            "1000",
            "--warm-up",
            "0",
            "--duration",
            "2s",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("cannot start the load");
    std::thread::sleep(Duration::from_millis(700));
    signal_process(child.id() as i32, libc::SIGSTOP);
    std::thread::sleep(Duration::from_millis(500));
    signal_process(child.id() as i32, libc::SIGCONT);
    let mut text = String::new();
    let output = child.stdout.as_mut().expect("it is piped");
    std::io::Read::read_to_string(output, &mut text).expect("cannot read");
    assert_eq!(child.wait().expect("cannot wait").code(), Some(0));
    let result: serde_json::Value = serde_json::from_str(&text).expect("a result");
    assert_eq!(number(&result, "requests"), 2000.0, "{result}");
    let late = number(&result, "late_sends");
    assert!(
        (480.0..800.0).contains(&late),
        "{late} late sends for 500 ms at 1000/s: {result}"
    );
    let most = number(&result, "late_send_max_seconds");
    assert!((0.49..0.7).contains(&most), "{most}: {result}");
    assert!(number(&result, "latency/max_seconds") >= most, "{result}");
    // A quarter of the arrivals was 0 to 500 ms late.
    assert_eq!(number(&result, "send_lateness/max_seconds"), most);
    assert!(
        number(&result, "send_lateness/p50_seconds") < 5e-3,
        "{result}"
    );
    let p99 = number(&result, "send_lateness/p99_seconds");
    assert!((0.45..0.7).contains(&p99), "{p99}: {result}");
    assert_eq!(result["latency_in_doubt"], true, "{result}");
    // It was late and had time to spare.
    assert_eq!(result["generator_was_bottleneck"], false, "{result}");
}

#[test]
fn an_overloaded_server_leaves_requests_unanswered() {
    // 10 connections of 10 ms a request answer 1,000 a second; 2,000 are offered.
    let address = misbehaving_server(|number, stream| {
        if number > 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
        pong(stream)
    });
    let options = [
        "--workload",
        "ping",
        "--connections",
        "10",
        "--rate",
        "2000",
        "--duration",
        "3s",
        "--warm-up",
        "0",
    ];
    let (status, result, _) = load(address, &options);
    assert_eq!(status, 0, "{result}");
    let throughput = number(&result, "throughput_per_second");
    assert!((800.0..=1000.0).contains(&throughput), "{result}");
    // What is answered after the window belongs to `requests` alone.
    let in_window = number(&result, "answered_in_window");
    let of_rate = throughput * number(&result, "duration_seconds");
    assert!((in_window - of_rate).abs() < 0.5, "{result}");
    assert!(
        number(&result, "requests") - in_window > 500.0,
        "{in_window}: {result}"
    );
    let (requests, unanswered) = (number(&result, "requests"), number(&result, "unanswered"));
    assert_eq!(requests + unanswered, 6000.0, "{result}");
    assert!((1900.0..3000.0).contains(&unanswered), "{result}");
    assert!(number(&result, "latency/max_seconds") > 1.5, "{result}");
    assert_eq!(number(&result, "latency/count"), 6000.0, "{result}");
    assert_eq!(result["latency"]["is_bound"], true, "{result}");
}

#[test]
fn a_rate_beyond_the_generator_is_said_to_be() {
    let server = Server::start("event-loop", &[]);
    let options = [
        "--connections",
        "50",
        "--rate",
        "3000000",
        "--duration",
        "200ms",
        "--warm-up",
        "0",
    ];
    let (_, result, _) = load(server.address, &options);
    let (requests, unanswered) = (number(&result, "requests"), number(&result, "unanswered"));
    assert_eq!(
        requests + unanswered,
        600_000.0,
        "no arrival is forgotten: {result}"
    );
    assert!(number(&result, "late_sends") > 100_000.0, "{result}");
    assert_eq!(result["latency_in_doubt"], true, "{result}");
    // Where others take the CPU it is short of time and yet not the bottleneck.
    let cpu = number(&result, "cpu_seconds") / number(&result, "duration_seconds");
    let bottleneck = result["generator_was_bottleneck"] == true;
    assert!(cpu < 0.95 || bottleneck, "{cpu}: {result}");
}

#[test]
fn a_generator_that_never_comes_to_arrivals_is_the_bottleneck() {
    let server = Server::start("event-loop", &[]);
    let mut child = Command::new(TARGET)
        .args([
            "load",
            "--format",
            "json",
            "--connect",
            &server.address.to_string(),
        ])
        .args([
            "--rate",
            "10000000",
            "--warm-up",
            "0",
            "--duration",
            "500ms",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("cannot start the load");
    // Lets it run for a twentieth of the time, so that it has far too little to the end of the
    // drain.
    let pid = child.id() as i32;
    while child.try_wait().expect("cannot wait").is_none() {
        signal_process(pid, libc::SIGSTOP);
        std::thread::sleep(Duration::from_millis(95));
        signal_process(pid, libc::SIGCONT);
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().expect("cannot wait");
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a result");
    let all = number(&result, "requests") + number(&result, "unanswered");
    assert_eq!(all, 5_000_000.0, "no arrival is forgotten: {result}");
    assert!(number(&result, "cpu_seconds") < 0.2, "{result}");
    assert_eq!(result["generator_was_bottleneck"], true, "{result}");
    assert_eq!(result["latency_in_doubt"], true, "{result}");
}

#[test]
fn the_table_says_that_latency_is_in_doubt() {
    let server = Server::start("event-loop", &[]);
    let output = Command::new(TARGET)
        .args(["load", "--connect", &server.address.to_string()])
        .args(["--rate", "3000000", "--duration", "50ms", "--warm-up", "0"])
        .output()
        .expect("cannot run the load");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("; latency is in doubt"), "{text}");
    let share = text.split_once("more than 1 ms late: ").expect("its share");
    let share = share.1.split_once('(').expect("a share").1;
    let (share, _) = share.split_once(" %)").expect("a share");
    let share: f64 = share.parse().expect("a number");
    assert!((50.0..=100.0).contains(&share), "{text}");
}

#[test]
fn the_table_is_for_people() {
    let server = Server::start("event-loop", &[]);
    let output = Command::new(TARGET)
        .args([
            "load",
            "--connect",
            &server.address.to_string(),
            "--duration",
            "200ms",
        ])
        .output()
        .expect("cannot run the load");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains("get-set, open-loop") && text.contains("p99.9 "),
        "{text}"
    );
    assert!(text.contains("(200 requests)"), "{text}");
    assert!(text.contains("; more than 1 ms late: "), "{text}");
}
