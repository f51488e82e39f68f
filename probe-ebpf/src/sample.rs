//! What a watch reads, as plain data. All times are nanoseconds, all values cumulative since the
//! watch began.

use crate::{
    abi::{self, losses, task_record, task_state, totals},
    fault_sample::FaultSample,
    probes::sched::UNKNOWN_WAITS,
};
use std::sync::Arc;

mod switch_latency;
pub mod timeline;

pub use crate::abi::totals as Totals;
pub use switch_latency::{SwitchKind, SwitchLatency, SwitchSamples};

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

/// One living task.
#[derive(Clone, Debug)]
pub struct TaskSample {
    /// Process id in the reader's PID namespace.
    pub pid: u32,
    /// Thread id, likewise.
    pub tid: u32,
    /// Group number.
    pub group: u32,
    /// `CLOCK_MONOTONIC` of its creation.
    pub started_ns: u64,
    /// `CLOCK_MONOTONIC` when it was read.
    pub at_ns: u64,
    /// `comm`; tasks read one after another share it if it is the same.
    pub comm: Arc<str>,
    /// What it was doing.
    pub state: State,
    /// What it did, the state in progress included.
    pub totals: Totals,
    /// Given for one task of each address space.
    pub memory: Option<Memory>,
    /// Size of its kernel stack.
    pub kernel_stack_bytes: u64,
    /// Tells tasks that share an address space; 0 for none. Means nothing else.
    pub address_space: u64,
    /// Where the kernel has it, if its group may still change; else 0.
    pub(crate) unsettled: u64,
    /// Its pages that are not in the figures of its address space yet.
    pub(crate) pending: Pending,
}

/// The state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// On a CPU.
    Running,
    /// Waiting for one.
    Runnable,
    /// Neither.
    Blocked,
}

/// Bytes of an address space, resident but for those reserved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Anonymous pages.
    pub anonymous_bytes: u64,
    /// Pages of file mappings.
    pub file_bytes: u64,
    /// Pages of shared memory.
    pub shared_bytes: u64,
    /// Page tables.
    pub page_table_bytes: u64,
    /// Private writable mappings, touched or not.
    pub reserved_bytes: u64,
}

impl Memory {
    /// Adds what a task of this address space has pending.
    pub(crate) fn add(&mut self, pending: &Pending) {
        let add = |bytes: &mut u64, more| *bytes = bytes.saturating_add_signed(more);
        add(&mut self.anonymous_bytes, pending.anonymous_bytes);
        add(&mut self.file_bytes, pending.file_bytes);
        add(&mut self.shared_bytes, pending.shared_bytes);
    }
}

/// What one task adds to the figures of its address space; less than 0 if it freed more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    anonymous_bytes: i64,
    file_bytes: i64,
    shared_bytes: i64,
}

impl Pending {
    pub(crate) fn add(&mut self, other: &Self) {
        self.anonymous_bytes += other.anonymous_bytes;
        self.file_bytes += other.file_bytes;
        self.shared_bytes += other.shared_bytes;
    }
}

/// Names of tasks read one after another.
#[derive(Default)]
pub(crate) struct Names {
    last: [i8; 16],
    name: Arc<str>,
}

impl Names {
    fn of(&mut self, comm: &[i8; 16]) -> Arc<str> {
        if self.last != *comm {
            self.last = *comm;
            let bytes = comm.map(|byte| byte as u8);
            let bytes = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
            self.name = String::from_utf8_lossy(bytes).into();
        }
        Arc::clone(&self.name)
    }
}

impl TaskSample {
    pub(crate) fn read(record: &task_record, names: &mut Names) -> Self {
        Self {
            pid: record.pid,
            tid: record.tid,
            group: record.group,
            started_ns: record.started,
            at_ns: record.at,
            comm: names.of(&record.comm),
            state: match task_state(record.state) {
                task_state::STATE_RUNNING => State::Running,
                task_state::STATE_RUNNABLE => State::Runnable,
                _ => State::Blocked,
            },
            totals: record.totals,
            memory: (record.mm != 0).then_some(Memory {
                anonymous_bytes: record.anonymous_bytes.max(0) as u64,
                file_bytes: record.file_bytes.max(0) as u64,
                shared_bytes: record.shared_bytes.max(0) as u64,
                page_table_bytes: record.page_table_bytes,
                reserved_bytes: record.reserved_bytes,
            }),
            kernel_stack_bytes: record.kernel_stack_bytes,
            address_space: record.mm,
            unsettled: record.unsettled,
            pending: Pending {
                anonymous_bytes: record.pending_anonymous_bytes,
                file_bytes: record.pending_file_bytes,
                shared_bytes: record.pending_shared_bytes,
            },
        }
    }
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
