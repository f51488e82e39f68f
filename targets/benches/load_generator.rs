//! Whether the load generator is the bottleneck: 1,000 connections and 50,000 requests a second
//! against `event-loop`, both on the same machine.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, ExitCode, Stdio},
};

const RUNS: usize = 3;
const CONNECTIONS: &str = "1000";
const RATE: f64 = 50_000.0;
/// Share of arrivals that may be handled more than 1 ms late.
const LATE_LIMIT: f64 = 0.001;
/// Share of the offered load that must be answered.
const ANSWERED_LIMIT: f64 = 0.999;

fn main() -> ExitCode {
    println!(
        "load generator, {CONNECTIONS} connections, {RATE} requests/s offered to event-loop, {RUNS} runs of 5 s"
    );
    let results: Vec<Value> = (0..RUNS).map(|_| run()).collect();
    for result in &results {
        println!(
            "  answered {:.0}/s, late {} of {:.0} (latest {:.2} ms), p50 {:.3} ms, p99 {:.3} ms, client CPU {:.2} s",
            number(&result["throughput_per_second"]),
            result["late_sends"],
            offered(result),
            number(&result["late_send_max_seconds"]) * 1e3,
            number(&result["latency"]["p50_seconds"]) * 1e3,
            number(&result["latency"]["p99_seconds"]) * 1e3,
            number(&result["cpu_seconds"]),
        );
    }
    let late = median(&results, |result| {
        number(&result["late_sends"]) / offered(result)
    });
    let answered = median(&results, |result| {
        number(&result["throughput_per_second"]) / RATE
    });
    println!(
        "  median: {late:.6} late (limit {LATE_LIMIT}), {answered:.6} answered (limit {ANSWERED_LIMIT})"
    );
    if late <= LATE_LIMIT && answered >= ANSWERED_LIMIT {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Arrivals in the window: late ones are a share of all, answered or not.
fn offered(result: &Value) -> f64 {
    RATE * number(&result["duration_seconds"])
}

fn median(results: &[Value], figure: impl Fn(&Value) -> f64) -> f64 {
    let mut figures: Vec<f64> = results.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("a number, not {value}"))
}

fn run() -> Value {
    let (server, address) = Server::start();
    let output = target()
        .args([
            "load",
            "--connect",
            &address,
            "--connections",
            CONNECTIONS,
            "--rate",
            &RATE.to_string(),
        ])
        .args([
            "--workload",
            "get-set",
            "--warm-up",
            "1s",
            "--duration",
            "5s",
            "--format",
            "json",
        ])
        .stderr(Stdio::inherit())
        .output()
        .expect("the load generator starts");
    drop(server);
    serde_json::from_slice(&output.stdout).expect("a result")
}

fn target() -> Command {
    Command::new(env!("CARGO_BIN_EXE_connscope-target"))
}

/// Ended when dropped.
struct Server(Child);

impl Server {
    fn start() -> (Self, String) {
        let mut command = target();
        command
            .args(["serve", "--model", "event-loop", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line
            .trim()
            .strip_prefix("listening on ")
            .expect("its address")
            .to_owned();
        (Self(child), address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
