//! What the probes add to a context switch: run time of our program at `sched_switch` above an
//! empty one on the same hook, from the kernel's own statistics, over a ping-pong through pipes
//! pinned to one CPU.

#[path = "../tests/support/workload.rs"]
mod workload;

use probe_ebpf::{
    Baseline, GroupRule, Options, Watch,
    cost::{ProgramCost, Statistics},
    probes::timeline::ring_bytes,
};
use std::{process::ExitCode, time::Duration};
use workload::*;

const RUNS: usize = 3;
const TRIPS: u32 = 250_000;
/// Nanoseconds above an empty program that a switch may cost, with all that is on by default.
const WATCHED_LIMIT: f64 = 100.0;
const OTHERS_LIMIT: f64 = 10.0;
/// What a timeline may add to that, by all of its programs, while it is kept.
const TIMELINE_LIMIT: f64 = 400.0;

fn main() -> ExitCode {
    let _statistics = Statistics::enable().expect("run-time statistics need root");
    println!(
        "cost of a switch above an empty program, ns (median of {RUNS} runs of {} switches: all runs)",
        2 * TRIPS
    );
    let watched = report("tasks watched", WATCHED_LIMIT, || cost_above_empty(true));
    let others = report("tasks not watched", OTHERS_LIMIT, || {
        cost_above_empty(false)
    });
    let timeline = report("a timeline, besides", TIMELINE_LIMIT, cost_of_timeline);
    if watched && others && timeline {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn report(what: &str, limit: f64, cost: impl Fn() -> f64) -> bool {
    let mut costs: Vec<f64> = (0..RUNS).map(|_| cost()).collect();
    costs.sort_by(f64::total_cmp);
    let median = costs[RUNS / 2];
    let within = median <= limit;
    let verdict = if within { "within" } else { "ABOVE" };
    println!("  {what:<19} {median:5.1}  {verdict} the limit of {limit}: {costs:.1?}");
    within
}

fn ping_pong() -> Workload {
    Workload::new(|| {
        pin(0);
        let pair = Pair::new();
        let far = pair.far;
        std::thread::spawn(move || serve(far));
        move || call(pair.near, TRIPS)
    })
}

/// Of its programs at both ends of a switch, each above an empty one, with nobody who empties the ring but the clock.
fn cost_of_timeline() -> f64 {
    let mut workload = ping_pong();
    let empty = Baseline::load().expect("probes load");
    let options = Options {
        timeline_bytes: Some(ring_bytes()),
        ..Options::default()
    };
    let mut watch = watch_with(workload.pid, &options);
    let timeline = watch.timeline().expect("a timeline");
    timeline.begin().expect("it begins");
    workload.start();
    // The ping-pong takes longer than this.
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(50));
        timeline.take().expect("it can be read");
    }
    let costs = watch.costs().expect("costs");
    let of_timeline = costs
        .iter()
        .filter(|cost| cost.name.starts_with("on_switch"));
    let each = of_timeline.filter(|cost| cost.runs > 0);
    let each = each.map(|cost| cost.run_ns as f64 / cost.runs as f64);
    let empty = of_switch(&empty.costs().expect("costs"));
    let empty = empty.run_ns as f64 / empty.runs as f64;
    each.map(|ns| ns - empty).sum()
}

fn cost_above_empty(watched: bool) -> f64 {
    let mut workload = ping_pong();
    let empty = Baseline::load().expect("probes load");
    let watch = if watched {
        watch(workload.pid)
    } else {
        nobody()
    };
    let before = (
        of_switch(&watch.costs().expect("costs")),
        of_switch(&empty.costs().expect("costs")),
    );
    workload.run();
    let after = (
        of_switch(&watch.costs().expect("costs")),
        of_switch(&empty.costs().expect("costs")),
    );
    per_run(&before.0, &after.0) - per_run(&before.1, &after.1)
}

fn nobody() -> Watch {
    Watch::load(&[GroupRule::default()], &Options::default()).expect("probes load")
}

fn of_switch(costs: &[ProgramCost]) -> ProgramCost {
    // The kernel keeps 15 characters of a name.
    let named = |cost: &&ProgramCost| cost.name.contains("sched_swi");
    costs
        .iter()
        .find(named)
        .expect("a program at sched_switch")
        .clone()
}

fn per_run(before: &ProgramCost, after: &ProgramCost) -> f64 {
    let runs = after.runs - before.runs;
    assert!(
        runs >= u64::from(2 * TRIPS),
        "{runs} switches seen of {}",
        2 * TRIPS
    );
    (after.run_ns - before.run_ns) as f64 / runs as f64
}
