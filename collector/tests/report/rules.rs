//! How to give the figure of each rule a value.

use connscope::snapshot::faults::FaultClass;
use connscope::snapshot::{Creation, Run, TargetKind};

use super::around::{calls, histogram, host};
use super::sample::{FORK, MODELS, PTHREAD};
use super::server::{
    CLIENT, CLIENTS, MAIN, RUNNABLE_NS, RUNNING_NS, SECOND, STARTING, SWITCHES, connect,
    flush_reason, own, reason,
};

/// A rule, and how to give its figure a value.
pub(crate) type Case = (&'static str, fn(&mut Run, f64));

pub(crate) const CASES: [Case; 15] = [
    ("run_queue_wait", |run, share| {
        clients(run, |totals| {
            totals.runnable_ns = each(RUNNING_NS as f64 * share / (1.0 - share));
        });
    }),
    ("involuntary_switches", |run, share| {
        clients(run, |totals| {
            totals.involuntary = each(SWITCHES as f64 * share);
            totals.voluntary = SWITCHES / u64::from(CLIENTS) - totals.involuntary;
        });
    }),
    ("churn_processes", |run, rate| {
        connect(run, (rate * 10.0) as u64)
    }),
    ("churn_threads", |run, rate| {
        named(run, TargetKind::Mysql, ["main", "other", "connection"]);
        created(run, PTHREAD, (rate * 10.0) as u64);
        // They have ended before they told what they are.
        run.end.roles[STARTING].ended_tasks = (rate * 10.0) as u64;
    }),
    ("idle_connections", |run, share| {
        // Four that did nothing.
        let start = run.start.roles[CLIENT].tasks.clone();
        run.end.roles[CLIENT].tasks[8..].clone_from_slice(&start[8..]);
        let each = share * host().memory_bytes as f64 / 4.0;
        run.own = Some(own(each as u64 - 300_000 - 16_384, 300_000));
    }),
    ("page_tables", |run, ratio| {
        run.own = Some(own(2_000_000 - 16_384, (2_000_000.0 * ratio) as u64));
    }),
    ("locks", |run, share| {
        sleeping(
            run,
            "lock",
            share,
            (RUNNING_NS + RUNNABLE_NS + 24_000_000) as f64,
        );
    }),
    ("disk", |run, share| {
        sleeping(
            run,
            "disk",
            share,
            (RUNNING_NS + RUNNABLE_NS + 12_000_000) as f64,
        );
    }),
    ("major_faults", |run, rate| {
        run.end.roles[CLIENT].ended.major_faults = (rate * 10.0) as u64;
    }),
    ("fork_stall", |run, seconds| {
        saving(run);
        let calls = run.end.roles[MAIN].calls.as_mut().unwrap();
        calls[0].latency = histogram([2_000_000, (seconds * 1e9) as u64]);
    }),
    ("save_copies", |run, share| {
        saving(run);
        let memory = run.end.roles[MAIN].tasks[0].memory.as_mut().unwrap();
        memory.anonymous_bytes = 240_000_000;
        copied(run, (share * 240_000_000.0 / 4096.0) as u64);
    }),
    ("shootdowns", |run, rate| {
        let flushes = &mut run.end.roles[CLIENT].tlb.flushes;
        flushes[flush_reason("shootdown_sent")].count = (rate * 10.0) as u64;
    }),
    ("stolen_time", |run, share| {
        run.end.stolen_ns = run.start.stolen_ns + (share * 20.0 * 1e9) as u64;
    }),
    ("lost_events", |run, share| {
        run.end.losses[0].count = (share * SWITCHES as f64).round() as u64;
    }),
    ("own_cost", |run, share| {
        // A quarter by programs, the rest by the collector, of two CPUs.
        let cores = share * 2.0;
        run.end.programs[0].run_ns = (cores / 4.0 * 400_000_000.0) as u64;
        run.end.observer_cpu_ns = run.before.observer_cpu_ns + (cores * 0.75 * 1e10) as u64;
    }),
];

pub(crate) fn clients(run: &mut Run, change: impl Fn(&mut connscope::snapshot::Totals)) {
    let tasks = &mut run.end.roles[CLIENT].tasks;
    tasks.iter_mut().for_each(|task| change(&mut task.totals));
}

fn each(all: f64) -> u64 {
    (all / f64::from(CLIENTS)).round() as u64
}

/// Lets clients sleep for this share of the time, of which the rest takes so long.
fn sleeping(run: &mut Run, on: &str, share: f64, rest_ns: f64) {
    let slept = each(rest_ns * share / (1.0 - share));
    clients(run, |totals| totals.blocked_ns[reason(on)] = slept);
}

fn named(run: &mut Run, kind: TargetKind, names: [&str; 3]) {
    run.kind = kind;
    for snapshot in [&mut run.before, &mut run.start, &mut run.end] {
        for (role, name) in snapshot.roles.iter_mut().zip(names) {
            name.clone_into(&mut role.name);
        }
    }
}

fn created(run: &mut Run, clone_flags: u64, count: u64) {
    run.end.roles[MAIN].creations = vec![Creation {
        clone_flags,
        io_worker: false,
        count,
    }];
}

/// Makes it a server that has forked to save.
fn saving(run: &mut Run) {
    named(run, TargetKind::Redis, ["main", "thread", "child"]);
    created(run, FORK, 2);
    run.end.roles[MAIN].calls = Some(calls(&MODELS[0], 2));
}

/// Lets it copy as many pages, all of them looked at.
fn copied(run: &mut Run, pages: u64) {
    run.end.windows[0].open_ns = 10 * SECOND;
    run.end.windows[0].windows = 1;
    let role = &mut run.end.roles[MAIN];
    role.tasks[0].totals.minor_faults = pages;
    role.faults.begun = pages;
    role.faults.classes = vec![FaultClass {
        name: "cow_copy".to_owned(),
        user: pages,
        latency: histogram(vec![2_000; usize::try_from(pages).unwrap()]),
        ..FaultClass::default()
    }];
}
