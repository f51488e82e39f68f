//! What a request costs each server: CPU time, user and system, for a million of PING, GET and SET by
//! `redis-benchmark` with 50 clients, one by one and pipelined 16 deep, beside `redis-server` at the
//! same work. Servers take turns, so that all see the same noise.
//!
//! `event-loop` may spend `LIMIT` times what Redis does; what the other models spend is what they
//! imply, and is reported.

#[path = "../tests/harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "this file uses a part")]
mod server;

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use server::{Server, cpu_ticks_with_children, models};

const ROUNDS: usize = 5;
const REDIS: &str = "redis-server";
/// Models that are held to `LIMIT`.
const HELD_TO_IT: &[&str] = &["event-loop"];
/// CPU time for a request as a multiple of Redis'.
const LIMIT: f64 = 1.05;
/// A fresh server is first asked one in so many.
const WARM_UP: u32 = 10;
const CLIENTS: &str = "50";
const TICKS_PER_SECOND: f64 = 100.0;

/// A way to ask: requests in flight on each connection, and requests of each kind.
struct Load {
    name: &'static str,
    pipeline: &'static str,
    requests: u32,
}

const LOADS: [Load; 2] = [
    Load {
        name: "one by one",
        pipeline: "1",
        requests: 50_000,
    },
    Load {
        name: "pipelined",
        pipeline: "16",
        requests: 500_000,
    },
];
const KINDS: &str = "ping_mbulk,get,set";
const KIND_COUNT: u32 = 3;

fn main() -> ExitCode {
    let names: Vec<_> = std::iter::once(REDIS.to_owned()).chain(models()).collect();
    println!(
        "CPU seconds of the server for a million requests ({KINDS}, {CLIENTS} clients), median of {ROUNDS}:"
    );
    let mut kept = true;
    for load in &LOADS {
        // By round, then by server.
        let rounds: Vec<Vec<f64>> = (0..ROUNDS)
            .map(|_| names.iter().map(|name| cost(name, load)).collect())
            .collect();
        println!("  {}", load.name);
        for (at, name) in names.iter().enumerate() {
            let seconds = median(rounds.iter().map(|round| round[at]).collect());
            let ratios: Vec<_> = rounds.iter().map(|round| round[at] / round[0]).collect();
            let ratio = median(ratios.clone());
            let verdict = match HELD_TO_IT.contains(&name.as_str()) {
                true if ratio <= LIMIT => format!("within the limit of {LIMIT}"),
                true => format!("ABOVE the limit of {LIMIT}"),
                false => String::new(),
            };
            kept &= !verdict.starts_with("ABOVE");
            println!("    {name:<24} {seconds:6.2} s  {ratio:5.2} of Redis {ratios:.2?} {verdict}");
        }
    }
    if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// CPU seconds that a fresh server spends on a million requests.
fn cost(name: &str, load: &Load) -> f64 {
    let server = Running::start(name);
    let (pid, port) = server.pid_and_port();
    ask(port, load, load.requests / WARM_UP);
    // Clients have gone; a process that served one is its parent's once that has taken note of it.
    std::thread::sleep(Duration::from_millis(100));
    let before = cpu_ticks_with_children(pid);
    ask(port, load, load.requests);
    std::thread::sleep(Duration::from_millis(100));
    let ticks = cpu_ticks_with_children(pid) - before;
    ticks as f64 / TICKS_PER_SECOND / f64::from(KIND_COUNT * load.requests) * 1e6
}

/// A server; ended when dropped.
enum Running {
    Ours(Server),
    Redis(Redis),
}

impl Running {
    fn start(name: &str) -> Self {
        match name {
            REDIS => Self::Redis(Redis::start()),
            model => Self::Ours(Server::start(model, &[])),
        }
    }

    fn pid_and_port(&self) -> (i32, u16) {
        match self {
            Self::Ours(server) => (server.pid(), server.address.port()),
            Self::Redis(redis) => (redis.child.id() as i32, redis.port),
        }
    }
}

fn ask(port: u16, load: &Load, requests: u32) {
    let (port, requests) = (port.to_string(), requests.to_string());
    let status = Command::new("redis-benchmark")
        .args(["-p", &port, "-t", KINDS, "-c", CLIENTS])
        .args(["-n", &requests, "-P", load.pipeline, "-q"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("cannot run redis-benchmark; install redis-tools");
    assert!(status.success(), "redis-benchmark failed");
}

/// A Redis of our own, without persistence; ended when dropped.
struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let child = Command::new(REDIS)
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .expect("cannot run redis-server; install it");
        let redis = Self { child, port };
        let begun = Instant::now();
        while let Err(error) = TcpStream::connect(("127.0.0.1", port)) {
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
            assert!(begun.elapsed() < Duration::from_secs(10), "{error}");
            std::thread::sleep(Duration::from_millis(10));
        }
        redis
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
