//! Whether the load generator is the bottleneck: 1,000 connections and 50,000 requests a second
//! against `event-loop`, both on the same machine.
//!
//! It is not if `ANSWERED_LIMIT` of what was offered was answered within the window, and it says itself
//! that it was not, so it had CPU time left.
//!
//! Beside that stands which share of the arrivals was handled more than 1 ms late: from `DOUBTFUL` on the
//! generator says of itself that its latencies are in doubt. That is the host's doing as much as its own:
//! server and generator fill most of two CPUs between them, so whatever else runs there, the kernel or the
//! hypervisor included, delays one of the two. So it is told, and not judged. Beside each run stands what the
//! same host does to a thread that only sleeps until every second of the same times, with server and
//! generator idle: the floor, below which no generator can be. It shows late wake-ups and CPUs taken by
//! others; not what two busy threads do to each other.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

const RUNS: usize = 3;
const CONNECTIONS: &str = "1000";
const RATE: f64 = 50_000.0;
/// With a larger share of arrivals handled more than 1 ms late, the generator says that latency is in doubt.
const DOUBTFUL: f64 = 0.01;
/// Share of the offered load that must be answered.
const ANSWERED_LIMIT: f64 = 0.999;
/// Between the times of the floor: of every second arrival, as the generator, too, sleeps no shorter.
const FLOOR_SPACING: Duration = Duration::from_micros(40);
/// How long the floor is measured.
const FLOOR_SECONDS: u32 = 5;
/// What is reached so much after its time is late.
const LATE: Duration = Duration::from_millis(1);

fn main() -> ExitCode {
    println!(
        "load generator, {CONNECTIONS} connections, {RATE} requests/s offered to event-loop, {RUNS} runs of 5 s"
    );
    let runs: Vec<Run> = (0..RUNS).map(|_| run()).collect();
    for run in &runs {
        print(run);
    }
    let late = median(&runs, Run::late);
    let answered = median(&runs, Run::answered);
    let cpu = median(&runs, Run::cpu);
    let floor = median(&runs, |run| run.floor);
    let bottleneck = runs.iter().filter(|run| run.was_bottleneck()).count();
    println!(
        "  median: {answered:.6} answered (limit {ANSWERED_LIMIT}), {cpu:.2} of a CPU used, \
         the bottleneck in {bottleneck} of {RUNS} runs"
    );
    println!(
        "  median: {late:.6} late, so that latency is {}in doubt; the host's floor {floor:.6}",
        if late > DOUBTFUL { "" } else { "not " }
    );
    if answered >= ANSWERED_LIMIT && bottleneck == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A run and the floor measured before its load.
struct Run {
    result: Value,
    /// Share of the times that a sleeping thread reached late.
    floor: f64,
}

impl Run {
    /// Late arrivals are a share of all in the window, answered or not.
    fn late(&self) -> f64 {
        self.number("/late_sends") / (RATE * self.number("/duration_seconds"))
    }

    fn answered(&self) -> f64 {
        self.number("/throughput_per_second") / RATE
    }

    /// The generator's share of a CPU.
    fn cpu(&self) -> f64 {
        self.number("/cpu_seconds") / self.number("/duration_seconds")
    }

    fn was_bottleneck(&self) -> bool {
        self.result["generator_was_bottleneck"]
            .as_bool()
            .expect("a verdict")
    }

    fn number(&self, path: &str) -> f64 {
        let value = self.result.pointer(path).and_then(Value::as_f64);
        value.unwrap_or_else(|| panic!("no {path} in {}", self.result))
    }
}

fn print(run: &Run) {
    println!(
        "  answered {:.0}/s, late {:.3} % (latest {:.2} ms; floor {:.3} %), p50 {:.3} ms, p99 {:.3} ms, \
         client CPU {:.2} s{}",
        run.number("/throughput_per_second"),
        run.late() * 100.0,
        run.number("/late_send_max_seconds") * 1e3,
        run.floor * 100.0,
        run.number("/latency/p50_seconds") * 1e3,
        run.number("/latency/p99_seconds") * 1e3,
        run.number("/cpu_seconds"),
        if run.was_bottleneck() {
            ": the bottleneck"
        } else {
            ""
        },
    );
}

fn median(runs: &[Run], figure: impl Fn(&Run) -> f64) -> f64 {
    let mut figures: Vec<f64> = runs.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn run() -> Run {
    let (_server, address) = Server::start();
    let mut generator = Generator::start(&address);
    // The connections are made and nothing is asked yet: server and generator are idle.
    let floor = floor();
    Run {
        result: generator.finish(),
        floor,
    }
}

/// Share of evenly spaced times that a sleeping thread reaches more than 1 ms late.
fn floor() -> f64 {
    let times = FLOOR_SECONDS * 1_000_000 / FLOOR_SPACING.as_micros() as u32;
    // SAFETY: takes numbers only; the slack of the calling thread, in nanoseconds, as the generator
    // sets its own.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
    let started = Instant::now();
    let late = (0..times)
        .filter(|&index| {
            let due = FLOOR_SPACING * index;
            std::thread::sleep(due.saturating_sub(started.elapsed()));
            started.elapsed() - due > LATE
        })
        .count();
    late as f64 / f64::from(times)
}

fn target() -> Command {
    Command::new(env!("CARGO_BIN_EXE_connscope-target"))
}

/// A paced load; ended when dropped.
struct Generator {
    child: Child,
    events: BufReader<ChildStdout>,
}

impl Generator {
    /// Returns when its connections are made and answered.
    fn start(address: &str) -> Self {
        let rate = RATE.to_string();
        let mut child = target()
            .args(["load", "--paced", "--connect", address])
            .args(["--connections", CONNECTIONS, "--rate", &rate])
            .args(["--workload", "get-set"])
            .args(["--warm-up", "1s", "--duration", "5s"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the load generator starts");
        let events = BufReader::new(child.stdout.take().expect("stdout"));
        let mut generator = Self { child, events };
        generator.until("connected");
        generator
    }

    /// Lets it offer its load to the end; its result.
    fn finish(&mut self) -> Value {
        self.go_on();
        self.until("measured");
        self.go_on();
        self.until("done")["result"].take()
    }

    fn go_on(&mut self) {
        let input = self.child.stdin.as_mut().expect("stdin");
        input.write_all(b"\n").expect("it listens");
    }

    /// The next event of this name.
    fn until(&mut self, name: &str) -> Value {
        loop {
            let mut line = String::new();
            self.events.read_line(&mut line).expect("an event");
            let event: Value = serde_json::from_str(&line).expect("an event");
            if event["event"] == name {
                return event;
            }
            assert_ne!(event["event"], "done", "no {name} before {event}");
        }
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
