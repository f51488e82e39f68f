//! The load generator and servers that fail part of their clients: that the result says so.

#[path = "harness/generator.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod generator;

use std::time::Duration;

use generator::{load, misbehaving_server, number, pong};

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
    let options = [
        "--workload",
        "ping",
        "--connections",
        "10",
        "--rate",
        "500",
        "--duration",
        "2s",
        "--warm-up",
        "0",
    ];
    let (status, result, _) = load(address, &options);
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
