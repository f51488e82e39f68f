//! What a request costs the load generator: CPU time, user and system, of its open loop beside that of
//! `redis-benchmark`, at the rate that this one reaches with 50 clients, on the same server. In turns, so
//! that both see the same noise.

#[path = "../tests/harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "this file uses a part")]
mod server;

use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use server::{Server, TARGET};

const PAIRS: usize = 5;
/// Ours may spend as much, and no more.
const LIMIT: f64 = 1.0;
const CLIENTS: &str = "50";
const REQUESTS: u32 = 150_000;

fn main() -> ExitCode {
    println!("CPU time of the client for a request, PING, {CLIENTS} connections to event-loop:");
    let mut ratios: Vec<f64> = (0..PAIRS).map(|_| pair()).collect();
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[PAIRS / 2];
    let within = ratio <= LIMIT;
    let verdict = if within { "within" } else { "ABOVE" };
    println!("  median of the ratios {ratio:.2}, {verdict} the limit of {LIMIT}: {ratios:.2?}");
    if within {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Ours as a multiple of theirs.
fn pair() -> f64 {
    let server = Server::start("event-loop", &[]);
    let (theirs, rate) = redis_benchmark(&server);
    let (ours, answered) = ours(&server, rate);
    println!(
        "  redis-benchmark {:.2} us at {rate:.0}/s, the load generator {:.2} us at {answered:.0}/s",
        theirs * 1e6,
        ours * 1e6
    );
    ours / theirs
}

/// CPU seconds for a request, and requests a second.
fn redis_benchmark(server: &Server) -> (f64, f64) {
    let port = server.address.port().to_string();
    let (before, begun) = (cpu_of_children(), Instant::now());
    let status = Command::new("redis-benchmark")
        .args(["-p", &port, "-t", "ping_mbulk", "-c", CLIENTS, "-q"])
        .args(["-n", &REQUESTS.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("cannot run redis-benchmark; install redis-tools");
    assert!(status.success(), "redis-benchmark failed");
    let (cpu, requests) = (cpu_of_children() - before, f64::from(REQUESTS));
    (
        cpu.as_secs_f64() / requests,
        requests / begun.elapsed().as_secs_f64(),
    )
}

/// The same of ours, at that rate.
fn ours(server: &Server, rate: f64) -> (f64, f64) {
    let Output { stdout, status, .. } = Command::new(TARGET)
        .args(["load", "--connect", &server.address.to_string()])
        .args(["--workload", "ping", "--connections", CLIENTS])
        .args(["--rate", &rate.to_string()])
        .args(["--duration", "4s", "--format", "json"])
        .output()
        .expect("the load generator starts");
    assert!(status.success(), "the load generator failed");
    let result: Value = serde_json::from_slice(&stdout).expect("a result");
    let number = |name: &str| result[name].as_f64().expect("a number");
    (
        number("cpu_seconds") / number("answered_in_window"),
        number("throughput_per_second"),
    )
}

/// Of children that have ended.
fn cpu_of_children() -> Duration {
    // SAFETY: zeroes are a valid usage, and the call fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let time = |time: libc::timeval| {
        Duration::new(time.tv_sec as u64, 0) + Duration::from_micros(time.tv_usec as u64)
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}
