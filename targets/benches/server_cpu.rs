//! What a request costs each server: CPU time, user and system, for a million of PING, GET and SET by
//! `redis-benchmark` with 50 clients, one by one and pipelined 16 deep, beside `redis-server` at the
//! same work. Servers take turns, so that all see the same noise.
//!
//! `event-loop` and `thread-per-core` may spend `LIMIT` times what Redis does over the three together.
//! What the other models spend is what they imply: with `--all-models` it is reported, and where it goes.

#[path = "server_cpu/running.rs"]
mod running;
#[path = "../tests/harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "this file uses a part")]
mod server;

use std::process::{Command, ExitCode, Stdio};

use running::{REDIS, Running, Spent};
use server::models;

const ROUNDS: usize = 5;
/// Models that are held to `LIMIT`.
const HELD_TO_IT: [&str; 2] = ["event-loop", "thread-per-core"];
/// CPU time for a request as a multiple of Redis'.
const LIMIT: f64 = 1.05;
/// A fresh server is first asked one in so many.
const WARM_UP: u32 = 10;
const CLIENTS: &str = "50";

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
        requests: 100_000,
    },
    Load {
        name: "pipelined 16 deep",
        pipeline: "16",
        requests: 1_000_000,
    },
];
/// What `redis-benchmark` calls them; warming up with all leaves something to get.
const KINDS: [&str; 3] = ["ping_mbulk", "get", "set"];

/// What one server spent in one round, for a million requests of each kind.
struct Turn {
    spent: [Spent; KINDS.len()],
    switches_per_request: f64,
}

fn main() -> ExitCode {
    let asked_for_all = std::env::args().any(|argument| argument == "--all-models");
    let mut names = vec![REDIS.to_owned()];
    if asked_for_all {
        names.extend(models());
    } else {
        names.extend(HELD_TO_IT.map(str::to_owned));
    }
    println!(
        "CPU seconds of the server for a million requests, {CLIENTS} clients, medians of {ROUNDS} rounds;\n\
         in brackets the lowest and highest multiple of what Redis spent in the same round"
    );
    let mut kept = true;
    for load in &LOADS {
        // By round, then by server.
        let rounds: Vec<Vec<Turn>> = (0..ROUNDS)
            .map(|_| names.iter().map(|name| turn(name, load)).collect())
            .collect();
        println!("{}", load.name);
        for (kind, name) in KINDS.iter().enumerate() {
            report(name, &names, &rounds, |turn| turn.spent[kind]);
        }
        let ratios = report("all three", &names, &rounds, Turn::mean);
        for (name, ratio) in names.iter().zip(ratios) {
            if HELD_TO_IT.contains(&name.as_str()) {
                let kept_it = ratio <= LIMIT;
                let verdict = if kept_it { "within" } else { "ABOVE" };
                println!("  {name}: {ratio:.2}, {verdict} the limit of {LIMIT}");
                kept &= kept_it;
            }
        }
    }
    if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Prints what each server spent; answers its multiple of what Redis did.
fn report(
    kind: &str,
    names: &[String],
    rounds: &[Vec<Turn>],
    spent: impl Fn(&Turn) -> Spent,
) -> Vec<f64> {
    println!("  {kind}");
    let of_server = |(at, name): (usize, &String)| {
        let figures = |figure: &dyn Fn(&[Turn]) -> f64| {
            let mut figures: Vec<_> = rounds.iter().map(|round| figure(round)).collect();
            figures.sort_by(f64::total_cmp);
            figures
        };
        let ratios = figures(&|round| spent(&round[at]).total() / spent(&round[0]).total());
        let total = median(&figures(&|round| spent(&round[at]).total()));
        let user = median(&figures(&|round| spent(&round[at]).user));
        let system = median(&figures(&|round| spent(&round[at]).system));
        let switches = median(&figures(&|round| round[at].switches_per_request));
        println!(
            "    {name:<24} {total:6.2} s = {user:5.2} user + {system:5.2} system  \
             {:5.2} of Redis [{:.2} to {:.2}]  {switches:5.2} switches a request",
            median(&ratios),
            ratios[0],
            ratios[ratios.len() - 1],
        );
        median(&ratios)
    };
    names.iter().enumerate().map(of_server).collect()
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

impl Turn {
    /// For a million requests, a third of each kind.
    fn mean(&self) -> Spent {
        let mean = |of: fn(&Spent) -> f64| {
            let sum: f64 = self.spent.iter().map(of).sum();
            sum / KINDS.len() as f64
        };
        Spent {
            user: mean(|spent| spent.user),
            system: mean(|spent| spent.system),
        }
    }
}

/// What a fresh server spends.
fn turn(name: &str, load: &Load) -> Turn {
    let server = Running::start(name);
    let port = server.port();
    for kind in KINDS.iter().rev() {
        ask(port, kind, load, load.requests / WARM_UP);
    }
    let spent = KINDS.map(|kind| {
        let before = server.spent();
        ask(port, kind, load, load.requests);
        let spent = server.spent() - before;
        let millions = f64::from(load.requests) / 1e6;
        Spent {
            user: spent.user / millions,
            system: spent.system / millions,
        }
    });
    let requests = KINDS.len() as u32 * (load.requests + load.requests / WARM_UP);
    Turn {
        spent,
        switches_per_request: server.end() as f64 / f64::from(requests),
    }
}

fn ask(port: u16, kind: &str, load: &Load, requests: u32) {
    let (port, requests) = (port.to_string(), requests.to_string());
    let status = Command::new("redis-benchmark")
        .args(["-p", &port, "-t", kind, "-c", CLIENTS])
        .args(["-n", &requests, "-P", load.pipeline, "-q"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("cannot run redis-benchmark; install redis-tools");
    assert!(status.success(), "redis-benchmark failed");
}
