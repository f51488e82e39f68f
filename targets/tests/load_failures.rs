//! The load generator and servers that fail part of their clients: that the result says so.

#[path = "harness/generator.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod generator;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use generator::{Load, Outcome, misbehaving_server, number, pong};

#[test]
fn unanswered_requests_are_in_the_latency() {
    // Each of 10 connections is due 1 PING to be made and 100 in the window of 2 s, and answered
    // nothing after the first 80 of them.
    let address = misbehaving_server(|number, stream| {
        if number > 80 {
            std::thread::sleep(Duration::from_secs(60));
        }
        pong(stream)
    });
    let load = Load::new(address, 10, 500, "2s").workload("ping");
    let Outcome { status, result, .. } = load.run();
    assert_eq!(status, 0, "overload is no failure: {result}");
    assert_eq!(number(&result, "requests"), 800.0, "{result}");
    assert_eq!(number(&result, "unanswered"), 200.0, "{result}");
    assert_eq!(number(&result, "latency/count"), 1000.0, "{result}");
    assert_eq!(result["latency"]["is_bound"], true, "{result}");
    // Due in the last 0.4 s of the window and given up 1 s after it: 1 to 1.4 s of waiting.
    let near = |path: &str, expected: f64| {
        let found = number(&result, path);
        assert!(
            (found - expected).abs() < 0.05,
            "{path} {found}, expected {expected}: {result}"
        );
    };
    near("latency/p50_seconds", 0.0);
    near("latency/p90_seconds", 1.2);
    near("latency/p99_seconds", 1.38);
    near("latency/max_seconds", 1.4);
}

/// 250 PINGs in half a second over 5 connections, each of which is made with a PING of its own.
fn short_load(address: SocketAddr) -> (i32, Value) {
    let load = Load::new(address, 5, 500, "500ms").workload("ping");
    let Outcome { status, result, .. } = load.run();
    (status, result)
}

#[track_caller]
fn assert_failed((status, result): (i32, Value), reason: &str, errors: &Value) {
    assert_eq!(status, 1, "{result}");
    assert_eq!(result["complete"], false, "{result}");
    assert_eq!(result["reason"], reason, "{result}");
    assert_eq!(&result["errors"], errors, "{result}");
}

fn errors(kind: &str, count: u64) -> Value {
    let mut errors = serde_json::json!({
        "refused": 0, "reset": 0, "error_replies": 0, "wrong_answers": 0, "timeouts": 0
    });
    errors[kind] = count.into();
    errors
}

#[test]
fn lost_connections_alone_fail_a_run() {
    let requests = AtomicU64::new(0);
    let address =
        misbehaving_server(
            move |_, stream| match requests.fetch_add(1, Ordering::Relaxed) {
                50 | 60 | 70 => Err(std::io::ErrorKind::ConnectionAborted.into()),
                _ => pong(stream),
            },
        );
    let outcome = short_load(address);
    assert!(number(&outcome.1, "requests") > 50.0, "{}", outcome.1);
    assert_failed(outcome, "3 connections were lost", &errors("reset", 3));
}

#[test]
fn error_replies_alone_fail_a_run() {
    for (every, reason, count) in [(50, "5 error replies", 5), (250, "1 error reply", 1)] {
        let requests = AtomicU64::new(0);
        let address =
            misbehaving_server(
                move |_, stream| match requests.fetch_add(1, Ordering::Relaxed) {
                    number if number >= 5 && number % every == 5 => {
                        stream.write_all(b"-ERR no\r\n")
                    }
                    _ => pong(stream),
                },
            );
        let outcome = short_load(address);
        assert_eq!(number(&outcome.1, "requests"), (250 - count) as f64);
        assert_failed(outcome, reason, &errors("error_replies", count));
    }
}

#[test]
fn wrong_answers_alone_fail_a_run() {
    let requests = AtomicU64::new(0);
    let address =
        misbehaving_server(
            move |_, stream| match requests.fetch_add(1, Ordering::Relaxed) {
                50 | 60 => stream.write_all(b"+PANG\r\n"),
                _ => pong(stream),
            },
        );
    let outcome = short_load(address);
    assert_failed(outcome, "2 wrong answers", &errors("wrong_answers", 2));
}

#[test]
fn a_reply_larger_than_a_read_is_seen_whole() {
    let long = |bytes: usize| [&b"-"[..], &vec![b'x'; bytes - 3], b"\r\n"].concat();
    for bytes in [255, 256, 257, 300, 512, 5000] {
        let reply = long(bytes);
        let address = misbehaving_server(move |number, stream| match number {
            0 => pong(stream),
            _ => stream.write_all(&reply),
        });
        let load = Load::new(address, 1, 100, "100ms").workload("ping");
        let Outcome { result, took, .. } = load.run();
        assert_eq!(
            number(&result, "unanswered"),
            0.0,
            "{bytes} bytes: {result}"
        );
        assert_eq!(
            result["errors"],
            errors("error_replies", 10),
            "{bytes} bytes: {result}"
        );
        assert!(took < Duration::from_secs(1), "{bytes} bytes: {took:?}");
    }
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
    let load = Load::new(address, 4, 500, "500ms").workload("ping");
    let Outcome { status, result, .. } = load.run();
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
    let load = Load::new(address, 2, 200, "500ms").workload("counter");
    let Outcome { status, result, .. } = load.run();
    assert_eq!(status, 1, "{result}");
    assert!(number(&result, "errors/wrong_answers") >= 49.0, "{result}");
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
        let load = Load::with_defaults(address).workload("ping");
        let Outcome { status, result, .. } = load.option("--connections", 1).run();
        assert_eq!(status, 1, "{result}");
        assert_eq!(number(&result, "errors/wrong_answers"), 1.0, "{result}");
    }
}
