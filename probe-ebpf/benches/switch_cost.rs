//! What the probes add to a context switch, and to a task's move to another CPU: run time of our program at
//! `sched_switch`, or `sched_migrate_task`, above an empty one, from the kernel's own statistics, over a ping-pong
//! through pipes pinned to one CPU, and over a task that has itself moved to and fro.

#[path = "../tests/support/workload.rs"]
mod workload;

use probe_ebpf::{
    Baseline, GroupRule, Options, Watch,
    cost::{ProgramCost, Statistics},
};
use std::process::ExitCode;
use workload::*;

const RUNS: usize = 3;
const TRIPS: u32 = 250_000;
const MOVES: u32 = 50_000;
/// Nanoseconds above an empty program that a switch may cost, with all that is on by default.
const WATCHED_LIMIT: f64 = 100.0;
/// The same of tasks that are not watched.
const OTHERS_LIMIT: f64 = 10.0;
/// What a move may cost, of any task: one field of it is read, which its new CPU has not in its cache yet.
const MOVE_LIMIT: f64 = 30.0;

/// A hook, by what the kernel keeps of the name of our program there: 15 characters.
#[derive(Clone, Copy)]
enum Hook {
    Switch,
    Migration,
}

impl Hook {
    fn program(self) -> &'static str {
        match self {
            Self::Switch => "sched_swi",
            Self::Migration => "sched_mig",
        }
    }

    /// Goes through the hook at least so often.
    fn runs(self) -> u64 {
        match self {
            Self::Switch => u64::from(2 * TRIPS),
            Self::Migration => u64::from(MOVES),
        }
    }

    fn workload(self) -> Workload {
        match self {
            Self::Switch => Workload::new(|| {
                pin(0);
                let pair = Pair::new();
                let far = pair.far;
                std::thread::spawn(move || serve(far));
                move || call(pair.near, TRIPS)
            }),
            Self::Migration => Workload::new(|| || (0..MOVES).for_each(|n| pin(n as usize % 2))),
        }
    }
}

fn main() -> ExitCode {
    let _statistics = Statistics::enable().expect("run-time statistics need root");
    println!("cost above an empty program, ns (median of {RUNS} runs: all runs)");
    let within = [
        report("a switch, tasks watched", Hook::Switch, true, WATCHED_LIMIT),
        report(
            "a switch, tasks not watched",
            Hook::Switch,
            false,
            OTHERS_LIMIT,
        ),
        report("a move, a task watched", Hook::Migration, true, MOVE_LIMIT),
        report(
            "a move, a task not watched",
            Hook::Migration,
            false,
            MOVE_LIMIT,
        ),
    ];
    match within.iter().all(|within| *within) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn report(what: &str, hook: Hook, watched: bool, limit: f64) -> bool {
    let costs: Option<Vec<f64>> = (0..RUNS).map(|_| cost_above_empty(hook, watched)).collect();
    let Some(mut costs) = costs else {
        println!("  {what:<28} this kernel needs no program there");
        return true;
    };
    costs.sort_by(f64::total_cmp);
    let median = costs[RUNS / 2];
    let within = median <= limit;
    let verdict = if within { "within" } else { "ABOVE" };
    println!("  {what:<28} {median:5.1}  {verdict} the limit of {limit}: {costs:.1?}");
    within
}

/// `None` if there is no program of ours at the hook.
fn cost_above_empty(hook: Hook, watched: bool) -> Option<f64> {
    let mut workload = hook.workload();
    let empty = Baseline::load().expect("probes load");
    let watch = if watched {
        watch(workload.pid)
    } else {
        nobody()
    };
    let costs = || {
        let ours = named(&watch.costs().expect("costs"), hook)?;
        let empty = named(&empty.costs().expect("costs"), Hook::Switch);
        Some([ours, empty.expect("an empty program at sched_switch")])
    };
    let before = costs()?;
    workload.run();
    let after = costs()?;
    let [ours, empty] = [0, 1].map(|it| {
        let runs = after[it].runs - before[it].runs;
        assert!(runs >= hook.runs(), "{runs} runs of {}", after[it].name);
        (after[it].run_ns - before[it].run_ns) as f64 / runs as f64
    });
    Some(ours - empty)
}

fn nobody() -> Watch {
    Watch::load(&[GroupRule::default()], &Options::default()).expect("probes load")
}

fn named(costs: &[ProgramCost], hook: Hook) -> Option<ProgramCost> {
    let mut costs = costs.iter();
    costs
        .find(|cost| cost.name.contains(hook.program()))
        .cloned()
}
