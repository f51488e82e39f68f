//! What a watch reads, as plain data. All times are nanoseconds, all values cumulative since the
//! watch began.

use crate::{
    abi::{self, losses, totals},
    fault_sample::FaultSample,
    probes::sched::UNKNOWN_WAITS,
};

mod switch_latency;
mod task;
pub mod timeline;

pub use crate::abi::totals as Totals;
pub use switch_latency::{SwitchKind, SwitchLatency, SwitchSamples};
pub use task::{Memory, State, TaskSample};
pub(crate) use task::{Names, Pending};

/// What a task sleeps on, by the name of the reason: the order of `enum reason`.
pub const REASONS: [&str; abi::reason::REASONS.0 as usize] = [
    "event_wait",
    "lock",
    "semaphore",
    "socket",
    "pipe",
    "disk",
    "io_uring",
    "timer",
    "child",
    "page_fault",
    "other",
];
pub use crate::calls::{CallKind, Calls};

/// Everything that was known at one instant.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// `CLOCK_MONOTONIC` when the first of the tasks was read.
    pub at_ns: u64,
    /// By group number.
    pub groups: Vec<GroupSample>,
    /// What was not seen.
    pub losses: Vec<Loss>,
    /// How long the probes that look through windows have looked.
    pub windows: Vec<WindowTime>,
}

/// How long a probe that looks through windows only has looked so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowTime {
    /// The probe.
    pub probe: &'static str,
    /// Time its windows were open.
    pub open_ns: u64,
    /// How many windows there were.
    pub windows: u64,
}

/// A measure that cannot be had in this watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// Its name.
    pub measure: &'static str,
    /// Why, and what can be done.
    pub reason: String,
}

/// One group of tasks.
#[derive(Clone, Debug, Default)]
pub struct GroupSample {
    /// Those that live.
    pub tasks: Vec<TaskSample>,
    /// How many have ended.
    pub ended_tasks: u64,
    /// What the ended ones did, to their last switch, and those that are of another group now, until then.
    pub ended: Totals,
    /// What tasks of this group had done when they were still of another one. It is in their totals.
    pub joined: Totals,
    /// Samples of run-queue wait.
    pub run_queue_wait: Histogram,
    /// Samples of time on a CPU.
    pub on_cpu_slice: Histogram,
    /// Samples of time neither running nor runnable, in the order of [`REASONS`].
    pub blocked: Vec<Histogram>,
    /// Samples of the time from creation to first run.
    pub first_run: Histogram,
    /// Switch-outs by the number of runnable tasks; the last entry holds all deeper ones.
    pub run_queue_depth: Vec<u64>,
    /// The TLB of its tasks.
    pub tlb: Tlb,
    /// Creations by tasks of this group.
    pub creations: Vec<Creation>,
    /// How long switches took, as far as windows showed it.
    pub switch_latency: SwitchLatency,
    /// Page faults that windows showed.
    pub faults: FaultSample,
    /// Calls of the C library that create tasks, one entry for each kind; none where it cannot be
    /// probed.
    pub calls: Option<Vec<Calls>>,
    /// The same in the kernel, whoever calls; none where its functions cannot be entered.
    pub kernel_calls: Option<Vec<Calls>>,
    /// Samples of the part of forks that copies the address space; none likewise.
    pub page_table_copy: Option<Histogram>,
    /// Samples of the time that shootdowns of TLB entries held their senders up; none likewise.
    pub shootdown_latency: Option<Histogram>,
}

/// The TLB of a group's tasks.
#[derive(Clone, Debug, Default)]
pub struct Tlb {
    /// Switches to a task from another address space that found its entries still valid.
    pub kept: u64,
    /// Those that found them gone.
    pub flushed: u64,
    /// Flushes, in the order of [`FLUSH_REASONS`].
    pub flushes: [Flushes; FLUSH_REASONS.len()],
    /// Samples of the time from the switch to the other address space, entries kept.
    pub kept_time: Histogram,
    /// The same, entries gone.
    pub flushed_time: Histogram,
}

pub use crate::abi::flushes as Flushes;

/// Why entries were flushed, by name: `enum flush_reason` without the switch of tasks.
pub const FLUSH_REASONS: [&str; abi::flush_reason::FLUSH_REASONS.0 as usize - 1] = [
    "shootdown_received",
    "local_shootdown",
    "local_whole",
    "shootdown_sent",
];

impl Tlb {
    fn add(&mut self, cpu: &abi::tlb_stats) {
        self.kept += cpu.kept;
        self.flushed += cpu.flushed;
        for (sum, cpu) in self.flushes.iter_mut().zip(&cpu.flushes[1..]) {
            sum.count += cpu.count;
            sum.pages += cpu.pages;
            sum.whole += cpu.whole;
        }
        self.kept_time.add(&cpu.kept_time);
        self.flushed_time.add(&cpu.flushed_time);
    }
}

/// Log-linear: eight buckets to each power of two; see `bpf/histogram.h`.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// Exact.
    pub sum: u64,
    /// Exact.
    pub max: u64,
    /// Samples by bucket.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// Binary logarithm of the buckets to each power of two.
    pub const SUB_BITS: u32 = abi::histogram_shape::HISTOGRAM_SUB_BITS.0;

    pub(crate) fn add(&mut self, other: &abi::histogram) {
        self.sum += other.sum;
        self.max = self.max.max(other.max);
        add_counts(&mut self.counts, &other.counts);
    }

    /// Number of samples.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// Calls that created a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Creation {
    /// As the kernel had them.
    pub clone_flags: u64,
    /// A worker that the kernel made for io_uring.
    pub io_worker: bool,
    /// How many.
    pub count: u64,
}

/// Something that was not seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The probe that missed it.
    pub probe: &'static str,
    /// In words.
    pub what: &'static str,
    /// How many.
    pub count: u64,
}

/// What each counter of `enum loss` means.
const LOSSES: [(abi::loss, &str, &str); abi::loss::LOSS_KINDS.0 as usize] = [
    (
        abi::loss::LOSS_STORAGE,
        "tasks",
        "tasks that could not be watched (no memory for task storage)",
    ),
    (
        abi::loss::LOSS_CREATION,
        "creations",
        "creations not counted (more than 1,024 combinations of clone flags)",
    ),
    (
        abi::loss::LOSS_CLOCK,
        "sched",
        "blocked times taken as 0 (stamps of two CPUs contradicted each other)",
    ),
    (
        abi::loss::LOSS_TORN,
        "tasks",
        "tasks that switched each time they were read (one switch old)",
    ),
    (abi::loss::LOSS_WAIT, "sched", UNKNOWN_WAITS),
];

pub(crate) fn losses_from(per_cpu: &[losses]) -> Vec<Loss> {
    let count = |kind: abi::loss| per_cpu.iter().map(|cpu| cpu.count[kind.0 as usize]).sum();
    LOSSES
        .iter()
        .map(|&(kind, probe, what)| Loss {
            probe,
            what,
            count: count(kind),
        })
        .collect()
}

impl GroupSample {
    /// Folds in what one CPU counted.
    pub(crate) fn add(&mut self, cpu: &abi::group_stats) {
        self.run_queue_wait.add(&cpu.run_queue_wait);
        self.on_cpu_slice.add(&cpu.on_cpu_slice);
        self.first_run.add(&cpu.first_run);
        add_counts(&mut self.run_queue_depth, &cpu.run_queue_depth);
        self.tlb.add(&cpu.tlb);
    }

    /// Folds in tasks that ended.
    pub(crate) fn add_ended(&mut self, ended: &abi::ended_totals) {
        self.ended_tasks += ended.tasks;
        add_totals(&mut self.ended, &ended.totals);
    }
}

/// Adds `one` to `sum`, field by field.
pub fn add_totals(sum: &mut totals, one: &totals) {
    sum.voluntary += one.voluntary;
    sum.involuntary += one.involuntary;
    sum.cpu += one.cpu;
    sum.running += one.running;
    sum.runnable += one.runnable;
    for (sum, one) in sum.blocked.iter_mut().zip(one.blocked) {
        *sum += one;
    }
    sum.arrivals += one.arrivals;
    sum.unseen += one.unseen;
    sum.minor_faults += one.minor_faults;
    sum.major_faults += one.major_faults;
}

fn add_counts(sum: &mut Vec<u64>, counts: &[u64]) {
    sum.resize(sum.len().max(counts.len()), 0);
    for (sum, count) in sum.iter_mut().zip(counts) {
        *sum += count;
    }
}
