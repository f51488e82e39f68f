//! The load generator: that its figures are true.

#[path = "harness/disturbance.rs"]
mod disturbance;
#[path = "harness/generator.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod generator;
#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::process::Command;

use disturbance::Disturbance;
use generator::{Load, Outcome, TARGET, number, slow_server, stalling_server};
use server::Server;

#[test]
fn a_stall_is_charged_to_every_request_it_delayed() {
    let load = Load::new(stalling_server(), 10, 1000, "4s").workload("ping");
    let disturbance = Disturbance::watch();
    let Outcome { status, result, .. } = load.run();
    // While neither side had a CPU nothing was sent or answered.
    let away = disturbance.seconds();
    assert_eq!(status, 0, "{result}");
    assert_eq!(number(&result, "requests"), 4000.0, "{result}");
    // 1,000 of 4,000 requests fell due in the stall, evenly: 0 to 1 s late.
    let near = |path: &str, expected: f64| {
        let found = number(&result, path);
        assert!(
            (found - expected).abs() < 0.08 + away,
            "{path} {found}, expected {expected}, CPUs away for {away} s: {result}"
        );
    };
    near("latency/p50_seconds", 0.0);
    near("latency/p90_seconds", 0.6);
    near("latency/p99_seconds", 0.96);
    near("latency/max_seconds", 1.0);
    let sum = number(&result, "latency/sum_seconds");
    let late = 2000.0 * away;
    assert!((480.0..560.0 + late).contains(&sum), "{sum}, {away}");
    // The stall is the server's fault, not the generator's.
    assert!(
        number(&result, "send_lateness/p99_seconds") < 0.05 + away,
        "{result}"
    );
    let latest = number(&result, "late_send_max_seconds");
    assert!(latest < 0.5 + away, "{away}: {result}");
}

#[test]
fn a_closed_loop_hides_the_stall_and_is_labelled() {
    let load = Load::closed(stalling_server(), 10, "4s").workload("ping");
    let disturbance = Disturbance::watch();
    let Outcome { status, result, .. } = load.run();
    let away = disturbance.seconds();
    assert_eq!(status, 0, "{result}");
    assert_eq!(result["mode"], "closed-loop");
    assert!(result["offered_per_second"].is_null());
    assert!(result["send_lateness"].is_null());
    // One request of each connection in the second that it lasted.
    let slowest = number(&result, "latency/max_seconds");
    assert!((slowest - 1.0).abs() < 0.08 + away, "{away}: {result}");
    assert!(
        number(&result, "latency/p99_seconds") < 0.1 + away,
        "{away}: {result}"
    );
    let count = number(&result, "latency/count");
    assert!(count > 10_000.0, "{result}");
    let answered = number(&result, "throughput_per_second") * number(&result, "duration_seconds");
    assert!((count - answered).abs() <= 10.0, "{result}");
}

#[test]
fn an_overloaded_server_leaves_requests_unanswered() {
    // 10 connections of 10 ms a request answer 1,000 a second; 2,000 are offered.
    let load = Load::new(slow_server(), 10, 2000, "3s").workload("ping");
    let disturbance = Disturbance::watch();
    let Outcome { status, result, .. } = load.run();
    // What its connections could have answered while they had no CPU.
    let lacking = 1000.0 * disturbance.seconds();
    assert_eq!(status, 0, "{result}");
    let throughput = number(&result, "throughput_per_second");
    let least = 800.0 - lacking / 3.0;
    assert!(
        (least..=1000.0).contains(&throughput),
        "{lacking}: {result}"
    );
    // What is answered after the window belongs to `requests` alone.
    let in_window = number(&result, "answered_in_window");
    let of_rate = throughput * number(&result, "duration_seconds");
    assert!((in_window - of_rate).abs() < 0.5, "{result}");
    assert!(
        number(&result, "requests") - in_window > 500.0 - lacking,
        "{in_window}: {result}"
    );
    let (requests, unanswered) = (number(&result, "requests"), number(&result, "unanswered"));
    assert_eq!(requests + unanswered, 6000.0, "{result}");
    assert!((1900.0..3000.0 + lacking).contains(&unanswered), "{result}");
    assert!(number(&result, "latency/max_seconds") > 1.5, "{result}");
    assert_eq!(number(&result, "latency/count"), 6000.0, "{result}");
    assert_eq!(result["latency"]["is_bound"], true, "{result}");
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
