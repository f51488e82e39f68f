//! The load generator that is late or cannot do what was asked for: that it says so.

#[path = "harness/disturbance.rs"]
mod disturbance;
#[path = "harness/generator.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod generator;
#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::process::Command;
use std::time::{Duration, Instant};

use disturbance::Disturbance;
use generator::{Load, Outcome, TARGET, number};
use server::{Server, signal_process};

#[test]
fn late_sends_are_the_generators_own() {
    let server = Server::start("event-loop", &[]);
    let (started, disturbance) = (Instant::now(), Disturbance::watch());
    let child = Load::new(server.address, 10, 1000, "2s").spawn();
    std::thread::sleep(Duration::from_millis(700));
    signal_process(child.id() as i32, libc::SIGSTOP);
    std::thread::sleep(Duration::from_millis(500));
    signal_process(child.id() as i32, libc::SIGCONT);
    let Outcome { status, result, .. } = Outcome::of(child, started);
    // What came when it had no CPU was late too.
    let away = disturbance.seconds();
    assert_eq!(status, 0, "{result}");
    assert_eq!(number(&result, "requests"), 2000.0, "{result}");
    let late = number(&result, "late_sends");
    assert!(
        (480.0..800.0 + 1000.0 * away).contains(&late),
        "{late} late sends for 500 ms at 1000/s, CPUs away for {away} s: {result}"
    );
    let most = number(&result, "late_send_max_seconds");
    assert!((0.49..0.7 + away).contains(&most), "{most}: {result}");
    assert!(number(&result, "latency/max_seconds") >= most, "{result}");
    // A quarter of the arrivals was 0 to 500 ms late.
    assert_eq!(number(&result, "send_lateness/max_seconds"), most);
    let p50 = number(&result, "send_lateness/p50_seconds");
    assert!(p50 < 5e-3 + away, "{away}: {result}");
    let p99 = number(&result, "send_lateness/p99_seconds");
    assert!((0.45..0.7 + away).contains(&p99), "{p99}: {result}");
    assert_eq!(result["latency_in_doubt"], true, "{result}");
    // It was late and had time to spare.
    assert_eq!(result["generator_was_bottleneck"], false, "{result}");
}

#[test]
fn a_rate_beyond_the_generator_is_said_to_be() {
    let server = Server::start("event-loop", &[]);
    let load = Load::new(server.address, 50, 10_000_000, "60ms");
    let Outcome { result, .. } = load.run();
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
    let started = Instant::now();
    let mut child = Load::new(server.address, 100, 10_000_000, "500ms").spawn();
    // Lets it run for a twentieth of the time, so that it has far too little to the end of the
    // drain.
    let pid = child.id() as i32;
    while child.try_wait().expect("cannot wait").is_none() {
        signal_process(pid, libc::SIGSTOP);
        std::thread::sleep(Duration::from_millis(95));
        signal_process(pid, libc::SIGCONT);
        std::thread::sleep(Duration::from_millis(5));
    }
    let Outcome { result, .. } = Outcome::of(child, started);
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
        .args(["--rate", "10000000", "--duration", "20ms", "--warm-up", "0"])
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
