//! What watching a database costs: PostgreSQL with 500 backends by `connscope attach` as it is by default,
//! one client whose every query is timed, with it and without, and a backend that maps memory all the time, while
//! its memory is looked at and while it is not.

#[path = "../tests/support/program.rs"]
mod program;
#[path = "../tests/support/servers.rs"]
mod servers;

use connscope::{
    interrupt::Interrupt, own::OwnSampler, roles::OF_ANY, sample::Sampler, snapshot::Snapshot,
};
use probe_ebpf::Options;
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
/// Shared buffers that the backend has touched which maps memory, and how often it does each way in a round.
const SHARED_MB: u64 = 1024;
const MAPPINGS: usize = 20_000;
/// What each look at a backend's memory may take. One follows the other: whatever it holds up is held up most of the
/// time, and shows in the 99th percentile. By default there is one look in a watch.
const LOOK: Duration = Duration::from_millis(100);
/// Of the 99th percentile, and of all calls, in percent.
const LATER_LIMIT: f64 = 10.0;
const LATE_LIMIT: f64 = 0.05;

fn main() -> ExitCode {
    let server = Postgresql::start(Version::Installed, &[("max_connections", "600")]);
    let port = server.port();
    println!("PostgreSQL with {BACKENDS} backends, watched for {WATCH}");
    fill(port);
    let Cost {
        loading,
        own,
        programs,
    } = {
        let _load = Load::start(port);
        thread::sleep(Duration::from_secs(8));
        watched(port)
    };
    println!("  {:<40} {loading:6.2}", "CPU time until it watches, s");
    let own = held("connscope itself from there, % of a core", own, OWN_LIMIT);
    let programs = held(
        "its programs, % of the backends' CPU",
        programs,
        PROGRAMS_LIMIT,
    );
    println!("one client, `select 1`, {QUERIES} times in each of {ROUNDS} rounds with and without");
    let slower = held("median slower by, %", slower_by(&server), SLOWER_LIMIT);
    drop(server);
    println!(
        "a backend with {SHARED_MB} MB of shared buffers touched, {MAPPINGS} mappings in each round, looked at all the time and not"
    );
    let (later, late) = later_by();
    let later = held("99th percentile later by, %", later, LATER_LIMIT);
    let late = held("more calls above 1 ms, % of all", late, LATE_LIMIT);
    match own && programs && slower && later && late {
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

/// What a watch took.
struct Cost {
    /// CPU time of connscope before it watched, in seconds.
    loading: f64,
    /// From then to its end, the look at memory and the report in it: of one core, in percent.
    own: f64,
    /// CPU time of its programs, of the backends', in percent.
    programs: f64,
}

fn watched(port: u16) -> Cost {
    let words = format!("attach --postgres {port} --duration {WATCH} --format json");
    let before = cpu_of_children();
    let mut watch = Running::start(connscope(&words));
    while !watch.said().contains("expected cost") {
        assert!(watch.is_running(), "{}", watch.said());
        thread::sleep(Duration::from_millis(5));
    }
    let loading = cpu_of(watch.pid());
    let report = watch.finish().exits(0).report();
    let all = cpu_of_children() - before;
    let number = |place: &str| {
        let value = report.pointer(place).and_then(serde_json::Value::as_f64);
        value.unwrap_or_else(|| panic!("no {place}"))
    };
    let window = number("/targets/0/window_seconds");
    let clients = report["targets"][0]["roles"].as_array().expect("roles");
    let clients = clients.iter().find(|role| role["role"] == "client");
    assert_eq!(clients.expect("clients")["tasks"], BACKENDS);
    let cpu_of_server = number("/targets/0/measures/cpu/seconds");
    let programs = number("/observer/estimated_share_of_a_core") * window / cpu_of_server;
    Cost {
        loading,
        own: (all - loading) / window * 100.0,
        programs: programs * 100.0,
    }
}

/// User and system time of a process so far, in seconds.
fn cpu_of(pid: u32) -> f64 {
    let stat = procfs::process::Process::new(pid as i32).and_then(|process| process.stat());
    let stat = stat.expect("it runs");
    (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64
}

/// The same of all children of ours that have ended.
fn cpu_of_children() -> f64 {
    // SAFETY: the structure is plain figures, and getrusage fills it.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        assert_eq!(libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage), 0);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// By how much the median of a query's time grows while its server is watched, in percent: the median of
/// rounds, each with and without it.
fn slower_by(server: &Postgresql) -> f64 {
    let mut client = Client::connect(server.port(), "postgres");
    pin(None, 0);
    pin(Some(client.pid), 1);
    median_growth(|is_watched| {
        let _watch = is_watched.then(|| Watch::start(server.port()));
        median_time(&mut client)
    })
}

/// By how much a figure grows while something is done, in percent: the median of rounds, each with and without it.
fn median_growth(mut figure: impl FnMut(bool) -> f64) -> f64 {
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        // Which comes first changes: what drifts is not taken for a cost.
        let [first, second] = [round % 2 == 0, round % 2 == 1].map(&mut figure);
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

/// What takes place in the backend: each value is longer than what its allocator keeps, and so is mapped, and
/// given back.
const MAPS: &str =
    "create function maps(times int, out p99 float8, out late int) language plpgsql as $$
    declare begun timestamptz; long int; took float8[]; piece text := repeat('x', 1000);
    begin
        for i in 1..times loop
            begun := clock_timestamp();
            long := length(repeat(piece, 200 + i % 2));
            took[i] := extract(epoch from clock_timestamp() - begun);
        end loop;
        select percentile_disc(0.99) within group (order by it), count(*) filter (where it > 0.001)
            into p99, late from unnest(took) it;
    end $$";

/// By how much the 99th percentile of what mapping memory takes grows while the backend is looked at, in percent, and
/// how many more calls take longer than 1 ms, of all.
fn later_by() -> (f64, f64) {
    let buffers = format!("{SHARED_MB}MB");
    let settings = [("shared_buffers", buffers.as_str())];
    // Its allocator would keep what it was given back once.
    let server = Postgresql::start_with(
        Version::Installed,
        &settings,
        &[("MALLOC_MMAP_THRESHOLD_", "131072")],
    );
    server.query(MAPS);
    server.query("create extension pg_prewarm");
    server.query("create table large as select repeat('x', 1000) from generate_series(1, 1000000)");
    let mut client = Client::connect(server.port(), "postgres");
    client.query("select pg_prewarm('large', 'buffer')");
    let touched = shared_bytes(client.pid);
    assert!(
        touched > (SHARED_MB << 20) * 9 / 10,
        "{touched} bytes touched"
    );
    pin(None, 0);
    pin(Some(client.pid), 1);
    let query = format!("select * from maps({MAPPINGS})");
    let mut looked = Looked::at(client.pid);
    let mut more = 0.0;
    let later = median_growth(|is_looked_at| {
        client.send(&query);
        let looks = is_looked_at.then(|| looked.until(|| client.is_answered()));
        let rows = client.rows();
        let figure = |column: usize| -> f64 { rows[0][column].parse().expect("a figure") };
        let (took, late) = (figure(0), figure(1));
        println!(
            "    p99 {:.1} us, {late} above 1 ms, {} looks",
            took * 1e6,
            looks.unwrap_or(0)
        );
        more += if is_looked_at { late } else { -late };
        took
    });
    (later, more / (ROUNDS * MAPPINGS) as f64 * 100.0)
}

fn shared_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssShmem:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.expect("a figure") * 1024
}

/// A process whose own memory is looked at.
struct Looked {
    own: OwnSampler,
    snapshot: Snapshot,
}

impl Looked {
    fn at(pid: u32) -> Self {
        let mut sampler = Sampler::load(&[&OF_ANY], &Options::default()).expect("probes load");
        sampler.add(0, pid).expect("it runs");
        let snapshot = sampler.read().expect("it is read").remove(0);
        Self {
            own: OwnSampler::load(),
            snapshot,
        }
    }

    /// Again and again; how often that was.
    fn until(&mut self, is_over: impl Fn() -> bool) -> usize {
        let mut looks = 0;
        while !is_over() {
            let own = self.own.sample(&self.snapshot, LOOK, &Interrupt::default());
            looks += own.expect("it is looked at").roles[0].sampled.len();
        }
        looks
    }
}
