//! What watching costs at scale: the time of one snapshot of 10,000 tasks, the memory of
//! connscope while it watches them, and the time from its start to its first data.

use connscope::sample::Sampler;
use std::{
    io::{self, Read},
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

const TASKS: usize = 10_000;
const RUNS: usize = 11;
/// Between snapshots: no server is looked at more often.
const PAUSE: Duration = Duration::from_millis(100);
const SNAPSHOT_LIMIT: f64 = 15.0;
const FIRST_DATA_LIMIT: f64 = 300.0;
const RSS_LIMIT: f64 = 40.0;
/// The shortest watch that `attach` makes.
const WATCH: Duration = Duration::from_millis(100);

/// Told to this program, it is the crowd that is watched.
const CROWD: &str = "--crowd";

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == CROWD) {
        be_the_crowd();
    }
    let crowd = Crowd::gather();
    println!("scale, {TASKS} tasks watched (median of {RUNS} runs: all runs)");
    let snapshot = report("snapshot, ms", SNAPSHOT_LIMIT, snapshot_ms(crowd.pid()));
    let (rss, first_data) = (0..RUNS).map(|_| attach(crowd.pid())).unzip();
    let rss = report("peak resident memory, MB", RSS_LIMIT, rss);
    let first_data = report(
        "load, two snapshots, report, ms",
        FIRST_DATA_LIMIT,
        first_data,
    );
    if snapshot && rss && first_data {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A process of so many sleeping threads; another than ours, whose memory would be in the peak of
/// every child of ours.
struct Crowd(Child);

impl Crowd {
    fn gather() -> Self {
        let program = std::env::current_exe().expect("we are a program");
        let child = Command::new(program)
            .arg(CROWD)
            .stdin(Stdio::piped())
            .spawn()
            .expect("the crowd starts");
        let crowd = Self(child);
        while std::fs::read_dir(format!("/proc/{}/task", crowd.pid())).map_or(0, Iterator::count)
            < TASKS
        {
            thread::sleep(Duration::from_millis(20));
        }
        crowd
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn be_the_crowd() -> ! {
    for _ in 1..TASKS {
        let sleeper = thread::Builder::new().stack_size(64 * 1024);
        sleeper
            .spawn(|| {
                loop {
                    thread::park()
                }
            })
            .expect("10,000 threads are allowed");
    }
    // Ends with whoever gathered us.
    let _ = std::io::stdin().read_line(&mut String::new());
    std::process::exit(0);
}

fn report(what: &str, limit: f64, mut figures: Vec<f64>) -> bool {
    figures.sort_by(f64::total_cmp);
    let median = figures[figures.len() / 2];
    let within = median <= limit;
    println!(
        "  {what:<36} {median:6.1}  {} the limit of {limit}: {figures:.1?}",
        if within { "within" } else { "ABOVE" }
    );
    within
}

fn snapshot_ms(pid: u32) -> Vec<f64> {
    let mut sampler = Sampler::load(
        &[&connscope::roles::OF_ANY],
        &probe_ebpf::Options::default(),
    )
    .expect("probes load (needs root)");
    let added = sampler.add(0, pid).expect("the crowd can be watched");
    assert_eq!(added, TASKS as u64);
    let one = |_| {
        let begun = Instant::now();
        let snapshots = sampler.read().expect("a snapshot");
        let taken = begun.elapsed();
        thread::sleep(PAUSE);
        let tasks: usize = snapshots[0].roles.iter().map(|role| role.tasks.len()).sum();
        assert_eq!(tasks, TASKS);
        taken.as_secs_f64() * 1e3
    };
    (0..RUNS).map(one).collect()
}

/// Peak memory in MB, and time beyond that of the watch itself in ms, of `connscope attach` on
/// the crowd until its report is there: loading, two snapshots and the report.
fn attach(pid: u32) -> (f64, f64) {
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_connscope"))
        .args([
            "attach",
            "--quiet",
            "--duration",
            "100ms",
            "--format",
            "json",
            "--pid",
        ])
        .arg(pid.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("connscope starts");
    let mut report = child.stdout.take().expect("it was asked for");
    // It is printed as a whole.
    report.read_exact(&mut [0]).expect("a report");
    let first_data = begun.elapsed() - WATCH;
    io::copy(&mut report, &mut io::sink()).expect("the rest of it");
    (peak_mb(child), first_data.as_secs_f64() * 1e3)
}

/// Waits for a child; returns the most memory it ever held.
fn peak_mb(child: Child) -> f64 {
    let mut status = 0;
    // SAFETY: wait4 fills the structures it is given, and the child is ours.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        assert_eq!(
            libc::wait4(child.id() as i32, &mut status, 0, &mut usage),
            child.id() as i32
        );
        usage
    };
    assert_eq!(status, 0, "connscope attach succeeds");
    usage.ru_maxrss as f64 * 1024.0 / 1e6
}
