//! What measuring the latency of switches costs: the slow-down of a ping-pong inside a window, and
//! all that the windows of all probes, of their default shares, take of a core.

#[path = "../tests/support/workload.rs"]
mod workload;

use probe_ebpf::{Options, Watch};
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};
use workload::*;

const RUNS: usize = 15;
const TRIPS: u32 = 50_000;
/// Share of a core that the windows of all probes may take together.
const LIMIT: f64 = 0.01;

/// Without these hooks, perf records are what is left.
const STAMPED: &[&str] = &["tp_btf/sched_exit_tp", "kprobe/finish_task_switch"];

fn main() -> ExitCode {
    let within = [&[], STAMPED].map(limit_is_kept);
    match within {
        [true, true] => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// By the best method that is left without these hooks.
fn limit_is_kept(hooks: &'static [&'static str]) -> bool {
    let share = Options::default().switch_share;
    let watch = watch_with(std::process::id(), &options(share, hooks));
    let measures = watch.measures();
    let measure = measures.iter().find(|m| m.name == "switch_latency");
    println!(
        "{}",
        measure.map_or("not measured", |measure| measure.method)
    );
    drop(watch);
    let (without, inside) = interleaved(hooks);
    println!(
        "ping-pong of threads on one CPU: {without:.0} ns of CPU time a switch, {inside:.0} ns inside a window ({:+.0} %), \
         medians of {RUNS} interleaved runs of {} switches",
        (inside / without - 1.0) * 100.0,
        2 * TRIPS
    );
    let default = Options {
        without: hooks,
        ..Options::default()
    };
    let own = own_share(&default) - own_share(&options(0.0, hooks));
    // Of a core that does nothing but switch, which is the worst there is.
    let slowed = default.switch_share * (1.0 - without / inside);
    let within = own + slowed <= LIMIT;
    println!(
        "windows for switches of {:.0} % and for faults of {:.0} %: {:.2} % of a core for opening, reading and \
         closing, {:.2} % for slower switches: {} the limit of {:.1} %",
        default.switch_share * 100.0,
        default.fault_share * 100.0,
        own * 100.0,
        slowed * 100.0,
        if within { "within" } else { "ABOVE" },
        LIMIT * 100.0
    );
    within
}

fn options(switch_share: f64, without: &'static [&'static str]) -> Options {
    Options {
        switch_share,
        without,
        ..Options::NO_WINDOWS
    }
}

/// Nanoseconds a switch, without windows and in one without end.
fn interleaved(hooks: &'static [&'static str]) -> (f64, f64) {
    let (mut without, mut inside) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        without.push(per_switch(0.0, hooks));
        inside.push(per_switch(1.0, hooks));
    }
    (middle(without), middle(inside))
}

/// CPU time of the two tasks: waiting for other work of the machine is not in it.
fn per_switch(share: f64, hooks: &'static [&'static str]) -> f64 {
    let mut workload = ping_pong(TRIPS);
    let _watch = watch_with(workload.pid, &options(share, hooks));
    settle();
    let run_ns = |pid| -> u64 { kernel_view(pid).values().map(|task| task.run_ns).sum() };
    let before = run_ns(workload.pid);
    workload.run();
    (run_ns(workload.pid) - before) as f64 / f64::from(2 * TRIPS)
}

/// CPU time that this process takes in a second, with such windows over a ping-pong.
fn own_share(options: &Options) -> f64 {
    let mut workload = ping_pong(1_000_000);
    let mut watch: Watch = watch_with(workload.pid, options);
    workload.start();
    settle();
    let (cpu, begun) = (cpu_time(), Instant::now());
    std::thread::sleep(Duration::from_secs(5));
    let spent = (cpu_time() - cpu).as_secs_f64() / begun.elapsed().as_secs_f64();
    watch.read().expect("probes can be read");
    spent
}

fn ping_pong(trips: u32) -> Workload {
    Workload::new(move || {
        pin(0);
        let pair = Pair::new();
        let far = pair.far;
        std::thread::spawn(move || serve(far));
        move || call(pair.near, trips)
    })
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
