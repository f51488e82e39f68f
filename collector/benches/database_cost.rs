//! What watching a database costs: PostgreSQL with 500 backends by `connscope attach` as it is by default, and
//! one client whose every query is timed, with it and without.

#[path = "../tests/support/program.rs"]
mod program;
#[path = "../tests/support/servers.rs"]
mod servers;

use program::{Running, connscope};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};
use servers::postgresql::{Postgresql, Version, installed};
use servers::postgresql_client::Client;
use std::{
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

const BACKENDS: usize = 500;
const WATCH: &str = "30s";
/// Of one core, and of the CPU time of the backends.
const OWN_LIMIT: f64 = 1.0;
const PROGRAMS_LIMIT: f64 = 1.0;
const QUERIES: usize = 1_000;
/// Each way.
const ROUNDS: usize = 10;
const SLOWER_LIMIT: f64 = 2.0;

fn main() -> ExitCode {
    let server = Postgresql::start(Version::Installed, &[("max_connections", "600")]);
    let port = server.port();
    println!("PostgreSQL with {BACKENDS} backends, watched for {WATCH}");
    fill(port);
    let (own, programs) = {
        let _load = Load::start(port);
        thread::sleep(Duration::from_secs(8));
        watched(port)
    };
    let own = held("connscope itself, % of a core", own, OWN_LIMIT);
    let programs = held(
        "its programs, % of the backends' CPU",
        programs,
        PROGRAMS_LIMIT,
    );
    println!("one client, `select 1`, {QUERIES} times in each of {ROUNDS} rounds with and without");
    let slower = held("median slower by, %", slower_by(&server), SLOWER_LIMIT);
    match own && programs && slower {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn held(what: &str, seen: f64, limit: f64) -> bool {
    let is_held = seen <= limit;
    let word = if is_held { "within" } else { "ABOVE" };
    println!("  {what:<40} {seen:6.2}  {word} the limit of {limit}");
    is_held
}

fn fill(port: u16) {
    let filled = pgbench(port, &["-i", "-q", "-s", "2"])
        .status()
        .expect("pgbench");
    assert!(filled.success(), "{filled}");
}

fn pgbench(port: u16, options: &[&str]) -> Command {
    let mut command = Command::new(installed("pgbench"));
    command
        .args(["-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string()])
        .args(options)
        .arg("postgres")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// All backends at work.
struct Load(Child);

impl Load {
    fn start(port: u16) -> Self {
        let clients = BACKENDS.to_string();
        let options = ["-S", "-n", "-c", &clients, "-j", "2", "-T", "300"];
        Self(pgbench(port, &options).spawn().expect("pgbench"))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// CPU time of connscope, of one core, and of its programs, of the backends' CPU time; in percent.
fn watched(port: u16) -> (f64, f64) {
    let words = format!("attach --postgres {port} --duration {WATCH} --format json --quiet");
    let report = Running::start(connscope(&words)).finish().exits(0).report();
    let number = |place: &str| {
        let value = report.pointer(place).and_then(serde_json::Value::as_f64);
        value.unwrap_or_else(|| panic!("no {place}"))
    };
    let window = number("/targets/0/window_seconds");
    let clients = report["targets"][0]["roles"].as_array().expect("roles");
    let clients = clients.iter().find(|role| role["role"] == "client");
    assert_eq!(clients.expect("clients")["tasks"], BACKENDS);
    let cpu_of_server = number("/targets/0/measures/cpu/seconds");
    let own = number("/observer/cpu_seconds") / window;
    let programs = number("/observer/estimated_share_of_a_core") * window / cpu_of_server;
    (own * 100.0, programs * 100.0)
}

/// By how much the median of a query's time grows while its server is watched, in percent: the median of
/// rounds, each with and without it.
fn slower_by(server: &Postgresql) -> f64 {
    let mut client = Client::connect(server.port(), "postgres");
    pin(None, 0);
    pin(Some(client.pid), 1);
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        // Which comes first changes: what drifts is not taken for a cost.
        let [first, second] = [round % 2 == 0, round % 2 == 1].map(|is_watched| {
            let _watch = is_watched.then(|| Watch::start(server.port()));
            median_time(&mut client)
        });
        ratios.push(if round % 2 == 0 {
            first / second
        } else {
            second / first
        });
    }
    ratios.sort_by(f64::total_cmp);
    let percents: Vec<_> = ratios
        .iter()
        .map(|ratio| format!("{:.1}", (ratio - 1.0) * 100.0))
        .collect();
    println!("  rounds, %: {}", percents.join(", "));
    (f64::midpoint(ratios[ROUNDS / 2 - 1], ratios[ROUNDS / 2]) - 1.0) * 100.0
}

fn pin(pid: Option<u32>, cpu: usize) {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    let pid = pid.and_then(|pid| Pid::from_raw(pid as i32));
    sched_setaffinity(pid, &cpus).expect("it may be pinned");
}

fn median_time(client: &mut Client) -> f64 {
    let time = |_| {
        let begun = Instant::now();
        client.query("select 1");
        begun.elapsed().as_secs_f64()
    };
    let mut times: Vec<f64> = (0..QUERIES).map(time).collect();
    times.sort_by(f64::total_cmp);
    times[QUERIES / 2]
}

/// A watch under way.
struct Watch(Running);

impl Watch {
    fn start(port: u16) -> Self {
        let watch = connscope(&format!("attach --postgres {port} --quiet"));
        let watch = Running::start(watch);
        // It loads, and reads what it reads once; then it waits.
        thread::sleep(Duration::from_millis(1_500));
        Self(watch)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.0.pid() as i32);
        let _ = kill_process(pid.expect("a pid"), Signal::INT);
        while self.0.is_running() {
            thread::sleep(Duration::from_millis(10));
        }
    }
}
