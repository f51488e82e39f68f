//! `connscope serve` while everything comes and goes: targets are killed and started anew, processes and connections
//! come and end by the hundred, the configuration is read anew, scrapers come and hang up, and a receiver of OTLP is
//! away. No counter goes back, and nothing grows.
//!
//! It takes 80 seconds, or as many minutes as `CONNSCOPE_SOAK_MINUTES` says: `cargo xtask soak --minutes 20`.

#[path = "support/exporter.rs"]
mod exporter;
#[path = "support/program.rs"]
mod program;

use exporter::*;
use libc::{SIGKILL, SIGTERM};
use program::*;
use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpListener},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    thread::{self, sleep},
    time::{Duration, Instant},
};

/// What may be held more from one half of the time that is looked at to the other: what the allocator keeps varies by
/// that much. In the shortest soak there are some ten configurations between the halves, each of which would leak more
/// if it forgot its watch, and up to 200 readings.
const SLACK_BYTES: f64 = 1.5e6;
/// So often a figure is taken.
const LOOK: Duration = Duration::from_millis(250);

/// A server that is killed and started anew at the same port, as long as `lives` is set.
fn restart_for_ever(lives: &AtomicBool, address: SocketAddr, restarts: &AtomicU32) {
    let models = [
        "event-loop",
        "thread-per-connection",
        "process-per-connection",
    ];
    for model in models.into_iter().cycle() {
        if !lives.load(Relaxed) {
            return;
        }
        let server = serve(model, address);
        sleep(Duration::from_millis(1_300));
        kill(server.pid(), SIGKILL);
        drop(server);
        restarts.fetch_add(1, Relaxed);
        sleep(Duration::from_millis(300));
    }
}

fn serve(model: &str, address: SocketAddr) -> Running {
    let mut command = Command::new(target());
    command.args(["serve", "--model", model, "--listen", &address.to_string()]);
    command.args(["--shared-state", "2MiB"]);
    Running::start(command)
}

/// An address where nobody listens yet.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address")
}

/// Scrapes in every format, and hangs up in the middle of requests and answers, as long as `lives` is set.
fn scrape_for_ever(lives: &AtomicBool, exporter: SocketAddr, seen: &Mutex<Metrics>) {
    let formats = [
        "",
        "Accept: application/openmetrics-text;version=1.0.0\r\n",
        "Accept: application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited\r\n",
    ];
    for format in formats.into_iter().cycle() {
        if !lives.load(Relaxed) {
            return;
        }
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{format}\r\n");
        // One after the other: what came first is to be compared first.
        let mut seen = seen.lock().expect("no panic");
        let answer = Answer::to(connect(exporter), request.as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
        if format.is_empty() {
            Metrics::read(&answer.text()).assert_none_went_back(&mut seen);
        }
        drop(seen);
        drop(connect(exporter).write_all(request.as_bytes()));
        drop(connect(exporter).write_all(&request.as_bytes()[..30]));
        sleep(Duration::from_millis(50));
    }
}

/// What the exporter holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    resident_bytes: f64,
    files: f64,
    threads: f64,
}

impl Held {
    fn by(pid: u32) -> Self {
        let entries = |folder: &str| {
            let entries = fs::read_dir(format!("/proc/{pid}/{folder}")).expect("it runs");
            entries.count() as f64
        };
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|it| it.trim().strip_suffix(" kB"));
        let resident: f64 = resident.expect("a size").parse().expect("a number");
        Self {
            resident_bytes: resident * 1024.0,
            files: entries("fd"),
            threads: entries("task"),
        }
    }
}

/// By how much the median of the second half is above that of the first.
fn growth(figures: &[f64]) -> f64 {
    let median = |figures: &[f64]| {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    let (first, second) = figures.split_at(figures.len() / 2);
    median(second) - median(first)
}

#[test]
fn a_leak_is_seen() {
    let noise =
        |place: usize| f64::from((place as u32).wrapping_mul(2_654_435_761) >> 12) - 524_288.0;
    let flat: Vec<_> = (0..200).map(|place| 40e6 + noise(place)).collect();
    assert!(growth(&flat).abs() < SLACK_BYTES / 4.0, "{}", growth(&flat));
    // Of 8 KB in each reading.
    let leak: Vec<_> = (0..200)
        .map(|place| flat[place] + place as f64 * 20e3)
        .collect();
    assert!(growth(&leak) > SLACK_BYTES, "{}", growth(&leak));
}

#[test]
fn nothing_grows_while_everything_comes_and_goes() {
    let minutes = std::env::var("CONNSCOPE_SOAK_MINUTES")
        .map_or(80.0 / 60.0, |it| it.parse().expect("minutes"));
    let time = Duration::from_secs_f64(minutes * 60.0);
    let (forks, threads) = (
        Served::start("process-per-connection"),
        Served::start("thread-per-connection"),
    );
    let restarted = free();
    let target_of =
        |name: &str, port: u16| format!("[[target]]\nname = \"{name}\"\nport = {port}\n");
    let two = [
        format!("[otlp]\nendpoint = \"http://{}\"\nqueue = 5\n", free()),
        target_of("forks", forks.address.port()),
        target_of("restarted", restarted.port()),
    ]
    .concat();
    // With another target the probes are loaded anew.
    let three = format!("{two}{}", target_of("threads", threads.address.port()));
    let mut exporter = Exporter::start_every("100ms", &three);
    let (pid, address) = (exporter.running.pid(), exporter.address);
    let seconds = time.as_secs() + 60;
    let churn = format!("--connections 8 --rate 150 --workload churn --duration {seconds}s");
    let _loads = [forks.under_load(&churn), threads.under_load(&churn)];

    let (lives, restarts, seen) = (
        AtomicBool::new(true),
        AtomicU32::new(0),
        Mutex::new(Metrics::default()),
    );
    let (mut held, mut reloads) = (Vec::new(), 0_u32);
    thread::scope(|scope| {
        scope.spawn(|| restart_for_ever(&lives, restarted, &restarts));
        for _ in 0..2 {
            scope.spawn(|| scrape_for_ever(&lives, address, &seen));
        }
        let _end = OnDrop(|| lives.store(false, Relaxed));
        let begun = Instant::now();
        while begun.elapsed() < time {
            let configuration = if reloads % 2 == 0 { &two } else { &three };
            let said = exporter.reload_every("100ms", configuration);
            assert_eq!(said, READ_ANEW);
            reloads += 1;
            for _ in 0..8 {
                sleep(LOOK);
                held.push(Held::by(pid));
            }
        }
    });

    // All has happened often enough to be seen.
    let shown = exporter.scrape();
    let ended = shown.sum("connscope_tasks_ended_total", &[]);
    let readings = shown.sum("connscope_snapshots_total", &[]);
    let dropped = shown.sum("connscope_otlp_readings_total", &["result=\"dropped\""]);
    let restarts = restarts.load(Relaxed);
    let minute = minutes.min(1.0);
    assert!(
        f64::from(restarts) >= 10.0 * minute && f64::from(reloads) >= 8.0 * minute,
        "{restarts} {reloads}"
    );
    assert!(
        ended >= 2_000.0 * minute && readings >= 150.0 * minute && dropped >= 100.0 * minute,
        "{ended} {readings} {dropped}"
    );
    // By half of the time everything has happened.
    let looked_at = &held[held.len() / 2..];
    let figures = |of: fn(&Held) -> f64| looked_at.iter().map(of).collect::<Vec<_>>();
    let resident = figures(|it| it.resident_bytes);
    eprintln!(
        "{minutes} min: {restarts} restarts, {reloads} configurations, {readings} readings, {ended} tasks ended; \
         resident {:.1} to {:.1} MB, growth {:.2} MB; {:?}",
        resident.iter().copied().fold(f64::MAX, f64::min) / 1e6,
        resident.iter().copied().fold(0.0, f64::max) / 1e6,
        growth(&resident) / 1e6,
        held.last(),
    );
    assert!(
        growth(&resident) < SLACK_BYTES,
        "{:.1?}",
        resident.iter().map(|it| it / 1e6).collect::<Vec<_>>()
    );
    assert!(growth(&figures(|it| it.files)) < 4.0, "{looked_at:?}");
    assert!(growth(&figures(|it| it.threads)) < 1.0, "{looked_at:?}");
    let said = exporter.running.said();
    let found = said.matches("watching restarted, ").count();
    assert!(found as f64 >= 10.0 * minute, "{found}");
    // Each thing once: no more than some lines for each that happened.
    let lines = said.lines().count();
    assert!(
        lines < 10 * (reloads + restarts) as usize + 20,
        "{lines} lines"
    );
    exporter.running.end_by(SIGTERM).exits(0);
}

/// Does something at the end, also that of a test which fails.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
