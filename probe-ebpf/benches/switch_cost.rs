//! What the probes add to a context switch, and to a task's move to another CPU: run time of our programs above that
//! of an empty one on the same hook, from the kernel's own statistics, over a ping-pong through pipes pinned to one CPU,
//! between threads and between processes, over a token round a ring of eight processes, of which the TLB keeps no
//! entries, and over a task that has itself moved to and fro.

#[path = "../tests/support/ring.rs"]
mod ring;
#[path = "../tests/support/workload.rs"]
mod workload;

use probe_ebpf::{
    Baseline, GroupRule, Options, Watch,
    cost::{ProgramCost, Statistics},
    probes::timeline::ring_bytes,
};
use std::{process::ExitCode, thread, time::Duration};
use workload::*;

const RUNS: usize = 5;
const TRIPS: u32 = 250_000;
const RING: usize = 8;
const MOVES: u32 = 50_000;
/// Nanoseconds above an empty program that a switch may cost, with all that is on by default.
const WATCHED_LIMIT: f64 = 100.0;
/// The same of tasks that are not watched.
const OTHERS_LIMIT: f64 = 10.0;
/// The same where the switch flushes the TLB, so that what is read must be found anew.
const OTHERS_FLUSHED_LIMIT: f64 = 20.0;
/// What a move may cost, of any task: one field of it is read.
const MOVE_LIMIT: f64 = 10.0;
/// What a timeline may add to a switch of a watched task, by all of its programs, while it is kept.
const TIMELINE_LIMIT: f64 = 400.0;

#[derive(Clone, Copy, PartialEq)]
enum Work {
    Threads,
    Processes,
    /// More of them than x86 has tags for.
    Ring,
    Moves,
}

impl Work {
    /// The hook whose times count.
    fn hook(self) -> &'static str {
        self.hooks()[0]
    }

    /// Hooks that the work goes through and that have an empty program, as the names of the programs tell them: the kernel
    /// keeps 15 characters of a name.
    fn hooks(self) -> &'static [&'static str] {
        match self {
            Self::Threads | Self::Processes | Self::Ring => &["sched_swi", "tlb_fl", "task_new"],
            Self::Moves => &["sched_mig"],
        }
    }

    /// It goes through that hook at least so often.
    fn times(self) -> u64 {
        match self {
            Self::Threads | Self::Processes | Self::Ring => u64::from(2 * TRIPS),
            Self::Moves => u64::from(MOVES),
        }
    }

    fn workload(self) -> Workload {
        match self {
            Self::Threads => ping_pong_of_threads(TRIPS),
            Self::Processes => ping_pong_of_processes(TRIPS),
            Self::Ring => Workload::new(|| ring::ring(RING, 2 * TRIPS / RING as u32)),
            Self::Moves => Workload::new(|| || (0..MOVES).for_each(|n| pin(n as usize % 2))),
        }
    }
}

fn main() -> ExitCode {
    let _statistics = Statistics::enable().expect("run-time statistics need root");
    println!("cost above empty programs, ns (median of {RUNS} runs: all runs)");
    let mut within = true;
    for (what, work, limits) in [
        (
            "a switch between threads",
            Work::Threads,
            [WATCHED_LIMIT, OTHERS_LIMIT],
        ),
        (
            "a switch between processes",
            Work::Processes,
            [WATCHED_LIMIT, OTHERS_LIMIT],
        ),
        (
            "a switch that flushes the TLB",
            Work::Ring,
            [WATCHED_LIMIT, OTHERS_FLUSHED_LIMIT],
        ),
        ("a move to another CPU", Work::Moves, [MOVE_LIMIT; 2]),
    ] {
        for (whose, watched, limit) in [
            ("watched", true, limits[0]),
            ("not watched", false, limits[1]),
        ] {
            let cost = || cost_above_empty(work, watched);
            within &= report(&format!("{what}, {whose}"), limit, cost);
        }
    }
    within &= report("a timeline, besides", TIMELINE_LIMIT, cost_of_timeline);
    match within {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn report(what: &str, limit: f64, cost: impl Fn() -> Option<f64>) -> bool {
    let costs: Option<Vec<f64>> = (0..RUNS).map(|_| cost()).collect();
    let Some(mut costs) = costs else {
        println!("  {what:<40} this kernel needs no program there");
        return true;
    };
    costs.sort_by(f64::total_cmp);
    let median = costs[RUNS / 2];
    let within = median <= limit;
    let verdict = if within { "within" } else { "ABOVE" };
    println!("  {what:<40} {median:5.1}  {verdict} the limit of {limit}: {costs:.1?}");
    within
}

/// Of all programs that are on by default, for each time the work went through its hook; `None` if there is none of
/// ours at it.
///
/// At a hook the program that was attached first finds the caches and the TLB as the kernel left them, and the next one as
/// the first left them. So each comes first once, and the mean is taken.
fn cost_above_empty(work: Work, watched: bool) -> Option<f64> {
    let each = [true, false].map(|empty_first| cost_in_order(work, watched, empty_first));
    Some(each.into_iter().sum::<Option<f64>>()? / 2.0)
}

fn cost_in_order(work: Work, watched: bool, empty_first: bool) -> Option<f64> {
    let mut workload = work.workload();
    let load_empty = || Baseline::load().expect("probes load");
    let before_ours = empty_first.then(load_empty);
    let watch = match watched {
        true => watch(workload.pid),
        false => nobody(),
    };
    // Its programs are attached in the background: whoever asks for them waits.
    watch.costs().expect("costs");
    let empty = before_ours.unwrap_or_else(load_empty);
    let costs = || (watch.costs().expect("costs"), empty.costs().expect("costs"));
    let before = costs();
    workload.run();
    let after = costs();
    let hook = grown(&before.0, &after.0, work.hook());
    let Some(hook) = hook else {
        assert!(work == Work::Moves, "no program at {}", work.hook());
        return None;
    };
    assert!(hook.runs >= work.times(), "{} runs at the hook", hook.runs);
    let programs = match work {
        Work::Moves => work.hook(),
        Work::Threads | Work::Processes | Work::Ring => "",
    };
    let all = grown(&before.0, &after.0, programs)?;
    let of_empty = |at: &str| {
        let empty = grown(&before.1, &after.1, at).expect("an empty program");
        empty.run_ns as f64 / empty.runs.max(1) as f64
    };
    // A program at another hook, as those of windows, is set against the empty one where the times count.
    let (mut elsewhere, mut of_empties) = (all.runs, 0.0);
    for at in work.hooks() {
        let runs = grown(&before.0, &after.0, at).map_or(0, |ours| ours.runs);
        elsewhere -= runs;
        of_empties += runs as f64 * of_empty(at);
    }
    of_empties += elsewhere as f64 * of_empty(work.hook());
    Some((all.run_ns as f64 - of_empties) / hook.runs as f64)
}

/// Of the programs of a timeline at both ends of a switch, with nobody who empties the ring but the clock.
fn cost_of_timeline() -> Option<f64> {
    const AT_SWITCHES: &str = "on_switch";
    let mut workload = Work::Threads.workload();
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
        thread::sleep(Duration::from_millis(50));
        timeline.take().expect("it can be read");
    }
    let (ours, empty) = (watch.costs().expect("costs"), empty.costs().expect("costs"));
    let empty = grown(&[], &empty, Work::Threads.hook())?;
    let of_empty = empty.run_ns as f64 / empty.runs as f64;
    let at_switches = ours
        .iter()
        .filter(|cost| cost.name.starts_with(AT_SWITCHES) && cost.runs > 0);
    let each = at_switches.map(|cost| cost.run_ns as f64 / cost.runs as f64 - of_empty);
    let each: Vec<f64> = each.collect();
    assert!(!each.is_empty(), "no program of the timeline has run");
    Some(each.iter().sum())
}

/// By how much the programs have run whose name has these letters, all together.
fn grown(before: &[ProgramCost], after: &[ProgramCost], letters: &str) -> Option<ProgramCost> {
    let sum = |costs: &[ProgramCost]| {
        let named = costs.iter().filter(|cost| cost.name.contains(letters));
        named.cloned().reduce(|sum, one| ProgramCost {
            runs: sum.runs + one.runs,
            run_ns: sum.run_ns + one.run_ns,
            ..sum
        })
    };
    let (before, after) = (sum(before), sum(after)?);
    Some(ProgramCost {
        runs: after.runs - before.as_ref().map_or(0, |it| it.runs),
        run_ns: after.run_ns - before.as_ref().map_or(0, |it| it.run_ns),
        ..after
    })
}

fn nobody() -> Watch {
    Watch::load(&[GroupRule::default()], &Options::default()).expect("probes load")
}
