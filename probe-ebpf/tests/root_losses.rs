//! That nothing escapes the hooks: the kernel's own count of switches against ours.

#[path = "support/workload.rs"]
mod workload;

use probe_ebpf::{Baseline, cost::Statistics};
use std::{thread, time::Duration};
use workload::*;

/// Context switches of all CPUs since boot.
fn host_switches() -> u64 {
    let stat = std::fs::read_to_string("/proc/stat").expect("proc");
    let line = stat
        .lines()
        .find_map(|line| line.strip_prefix("ctxt "))
        .expect("ctxt");
    line.trim().parse().expect("a number")
}

fn program_runs(baseline: &Baseline) -> u64 {
    let costs = baseline.costs().expect("costs");
    costs
        .iter()
        .find(|cost| cost.name.contains("sched_swi"))
        .expect("a program at sched_switch")
        .runs
}

/// A mixed load on all CPUs: busy loops that are preempted, and a ping-pong that blocks.
#[test]
fn every_switch_of_the_host_reaches_a_program_at_sched_switch() {
    let _statistics = Statistics::enable().expect("run-time statistics need root");
    let trips = sized(50_000);
    let mut workload = Workload::new(|| {
        for _ in 0..3 {
            thread::spawn(|| burn(Duration::from_secs(4)));
        }
        let pair = Pair::new();
        let far = pair.far;
        thread::spawn(move || serve(far));
        move || call(pair.near, trips)
    });
    let baseline = Baseline::load().expect("probes load");
    let (outer, inner) = (host_switches(), program_runs(&baseline));
    workload.run();
    let (inner, outer) = (program_runs(&baseline) - inner, host_switches() - outer);
    assert!(
        inner >= u64::from(2 * trips),
        "{inner} runs for the ping-pong's {trips} round trips"
    );
    assert!(inner <= outer, "{inner} runs for {outer} switches");
    // Between the outer readings and the inner ones the host may switch a few times.
    let escaped = outer - inner;
    assert!(
        escaped <= 200 + outer / 1000,
        "{escaped} of {outer} switches reached no program"
    );
}
