//! The plain data in the middle: what the probes, the cgroups and the clients said, and nothing of
//! how they were asked. Everything right of here is a pure function of these types.
//!
//! Times are nanoseconds and end in `_ns`; clocks are `CLOCK_MONOTONIC` unless said otherwise.

use serde::{Deserialize, Serialize};

/// What losses call waits that the kernel took for sleep.
pub use probe_ebpf::probes::sched::UNKNOWN_WAITS;
/// Why the TLB was flushed, in the order of [`Tlb::flushes`].
pub use probe_ebpf::sample::FLUSH_REASONS;
/// What a task sleeps on, by the name of the reason: the order of all that is kept by reason.
pub use probe_ebpf::sample::REASONS;
mod client;
pub mod connections;
pub mod counters;
pub mod faults;
mod observer;
mod own;
pub mod stacks;
mod switch_latency;
mod task;
pub mod timeline;
pub mod user_space;

pub use client::{Client, ClientErrors, ClientLatency, Crash, Delays, SendLateness, Stall};
pub use observer::{Map, Program, Statistics};
pub use own::{OwnMemory, OwnProcess, OwnRole};
pub use switch_latency::{SwitchKind, SwitchLatency, SwitchSamples};
pub use task::{Memory, State, Task, Totals};

/// One run of connscope: where it ran and what it saw. Reports are made of this alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recording {
    /// The command that made it, as a user types it: `compare`, `attach`.
    pub command: String,
    /// The machine it was made on.
    pub host: Host,
    /// One entry for each watched target and repeat, in the order they were watched.
    pub runs: Vec<Run>,
    /// How each measure was taken.
    pub methods: Vec<Method>,
    /// What could not be measured, and why.
    pub unavailable: Vec<Unavailable>,
    /// Why the recording ended before its time, if it did: `interrupted by SIGINT`.
    pub incomplete: Option<String>,
}

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Kernel release, as `uname -r` says it.
    pub kernel: String,
    /// Machine architecture, as `uname -m` says it.
    pub architecture: String,
    /// Model name of the first CPU.
    pub cpu_model: String,
    /// CPUs online.
    pub cpus: u32,
    /// Hypervisor (`kvm`, `vmware`, ...), `container`, or `none`, where it can be told.
    pub virtualization: Option<String>,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Which memory cgroup hierarchy was used: `v1`, `v2` or none.
    pub memory_cgroup: Option<String>,
    /// Seconds since the epoch when the recording began.
    pub started_unix_seconds: u64,
    /// Version of connscope.
    pub connscope_version: String,
}

/// One target, watched once. Snapshots are cumulative; a figure is the difference of two.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// `thread-per-connection`, or the name of the process.
    pub name: String,
    /// What sort of target: the `kind` of the JSON report.
    pub kind: TargetKind,
    /// The processes that were asked for or started; what descends from them is watched too.
    pub pids: Vec<u32>,
    /// The unit or the container that it lives in.
    #[serde(default)]
    pub lives_in: Option<String>,
    /// When it was there again after all of its processes had ended.
    #[serde(default)]
    pub restarts: Vec<Restart>,
    /// Which repeat of the same measurement, from 1.
    pub repeat: u32,
    /// Connections held while it was measured, where that is known.
    pub connections: Option<u32>,
    /// Before the first connection (or when the watch began).
    pub before: Snapshot,
    /// When the measured window opened. Equal to `before` for `attach`.
    pub start: Snapshot,
    /// When the measured window closed.
    pub end: Snapshot,
    /// Memory of the target's own cgroup while connections were added, one point per step; of one that ran already
    /// what all of its processes held of their own, one point for each moment at which connections rested.
    pub memory_points: Vec<MemoryPoint>,
    /// What the target's address spaces reserved at the same steps.
    #[serde(default)]
    pub reserved_points: Vec<MemoryPoint>,
    /// What some of its processes held of their own when the window had closed.
    #[serde(default)]
    pub own: Option<OwnMemory>,
    /// Who its connections were when the window had closed, of a server that can tell.
    #[serde(default)]
    pub connected: Option<connections::Connections>,
    /// What the load generator saw.
    pub client: Option<Client>,
    /// Why this run ended before its time, if it did.
    pub incomplete: Option<String>,
}

/// A target that had ended, and is there again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// When it was seen to be.
    pub at_ns: u64,
    /// Its process.
    pub pid: u32,
}

/// What sort of target a run watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// A server of ours, one per concurrency model.
    Reference,
    /// Any running process, or all of a unit or a cgroup.
    Process,
    /// A PostgreSQL server that runs already.
    Postgresql,
    /// A MySQL server.
    Mysql,
    /// A MariaDB server.
    Mariadb,
    /// A Redis or Valkey server.
    Redis,
    /// A PgBouncer.
    Pgbouncer,
}

impl TargetKind {
    /// Whether it ran before, and was only looked at.
    pub fn ran_already(self) -> bool {
        self != Self::Reference
    }
}

/// Bytes a target's cgroup held, or its address spaces reserved, with so many connections open and at
/// rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPoint {
    /// Open connections.
    pub connections: u32,
    /// Bytes charged to the cgroup, kernel memory included; or of processes' own; or of private writable mappings,
    /// summed over address spaces.
    pub bytes: u64,
}

/// All that was known of one target at one instant, cumulative since the watch began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When the tasks were read.
    pub at_ns: u64,
    /// By role, in the order of the target's list of roles.
    pub roles: Vec<Role>,
    /// What was not seen, by name; zeros included.
    pub losses: Vec<Loss>,
    /// How long the probes that look through windows only have looked.
    #[serde(default)]
    pub windows: Vec<Window>,
    /// Stolen time of all CPUs since boot, from `/proc/stat`.
    pub stolen_ns: u64,
    /// CPU time that connscope itself has used, user and system.
    pub observer_cpu_ns: u64,
    /// Resident bytes of connscope itself.
    pub observer_rss_bytes: u64,
    /// What each BPF program of ours has cost while statistics of them were on; none of them where
    /// they cannot be switched on.
    pub programs: Vec<Program>,
    /// For how long that was.
    #[serde(default)]
    pub statistics: Statistics,
    /// The memory of each map of ours.
    #[serde(default)]
    pub maps: Vec<Map>,
    /// What perf counters of the tasks have counted, where they were asked for.
    #[serde(default)]
    pub counters: Option<counters::Counters>,
    /// What its scheduler in user space has counted; none of a target without one that we started.
    #[serde(default)]
    pub user_space: Option<user_space::UserSpace>,
}

impl Snapshot {
    /// The pids of its processes.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        let leaders = self.roles.iter().flat_map(Role::leaders);
        leaders.map(|task| task.pid).collect()
    }
}

impl Role {
    /// Its tasks that are the first of their process.
    pub fn leaders(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|task| task.tid == task.pid)
    }
}

/// The tasks of one role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// `acceptor`, `connection`, `main`, `thread`, `child`.
    pub name: String,
    /// Watched tasks of this role that have ended.
    pub ended_tasks: u64,
    /// What those did, to their last switch, and tasks that changed to another role, while they had this one.
    pub ended: Totals,
    /// What tasks had done that changed to this role, which is in their totals: not by this role.
    #[serde(default)]
    pub joined: Totals,
    /// The watched tasks of this role that live.
    pub tasks: Vec<Task>,
    /// Run-queue wait, one sample for each time a task left a CPU.
    pub run_queue_wait: Histogram,
    /// Time on a CPU, one sample for each time a task left a CPU.
    pub on_cpu_slice: Histogram,
    /// Time neither running nor runnable, one sample for each time a task had slept, by reason.
    pub blocked: Vec<Histogram>,
    /// From creation to first time on a CPU, for tasks created while watched.
    pub first_run: Histogram,
    /// Runnable tasks on the CPU, the running one included, at each switch-out: samples by depth;
    /// the last entry holds all deeper ones too.
    pub run_queue_depth: Vec<u64>,
    /// The TLB of its tasks.
    #[serde(default)]
    pub tlb: Tlb,
    /// Creations by tasks of this role.
    pub creations: Vec<Creation>,
    /// How long switches took, as far as windows showed it.
    #[serde(default)]
    pub switch_latency: SwitchLatency,
    /// Page faults seen one by one.
    #[serde(default)]
    pub faults: faults::Faults,
    /// Calls that create tasks, as their callers see them, one entry for each kind; none where the
    /// C library they call was not probed.
    #[serde(default)]
    pub calls: Option<Vec<Calls>>,
    /// The same in the kernel, whoever calls; none where its functions cannot be entered.
    #[serde(default)]
    pub kernel_calls: Option<Vec<Calls>>,
    /// The part of forks that copies the address space; none likewise.
    #[serde(default)]
    pub page_table_copy: Option<Histogram>,
    /// How long shootdowns of TLB entries held their senders up; none likewise.
    #[serde(default)]
    pub shootdown_latency: Option<Histogram>,
}

/// The TLB of a role's tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tlb {
    /// Switches to a task from another address space that found its entries still valid.
    pub kept: u64,
    /// Those that found them gone.
    pub flushed: u64,
    /// Flushes, in the order of [`FLUSH_REASONS`].
    pub flushes: [Flushes; FLUSH_REASONS.len()],
    /// From the switch to the other address space, entries kept.
    pub kept_time: Histogram,
    /// The same, entries gone.
    pub flushed_time: Histogram,
}

/// Flushes of one reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flushes {
    /// How many.
    pub count: u64,
    /// Pages of those that named pages.
    pub pages: u64,
    /// How many were of all entries of the address space.
    pub whole: u64,
}

/// A log-linear histogram: `2^sub_bits` buckets to each power of two, bucket `i` below that
/// holding the value `i` alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// Binary logarithm of the buckets to each power of two.
    pub sub_bits: u32,
    /// Exact sum of all samples.
    pub sum_ns: u64,
    /// Exact largest sample since the watch began.
    pub max_ns: u64,
    /// Samples by bucket; trailing zeros may be left out.
    pub counts: Vec<u64>,
}

/// Calls that created a task, by clone flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creation {
    /// `clone(2)` flags as the kernel had them.
    pub clone_flags: u64,
    /// An io_uring worker, which the kernel creates for the task.
    pub io_worker: bool,
    /// How many.
    pub count: u64,
}

/// Calls of the C library that create tasks, of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calls {
    /// `fork`, `spawn`, `thread`, `clone`.
    pub kind: String,
    /// From call to return, of those that succeeded, with the probes' own share.
    pub latency: Histogram,
    /// Calls that failed.
    pub failed: u64,
    /// Sums over the samples: pages that the caller's address space had resident at the call, bytes
    /// of its page tables, squares of the pages, products of pages and latency. Not of threads.
    pub resident_pages: u64,
    #[allow(missing_docs)]
    pub page_table_bytes: u64,
    #[allow(missing_docs)]
    pub pages_squared: f64,
    #[allow(missing_docs)]
    pub pages_times_ns: f64,
    /// By how much a sample is too long, since it holds a part of the probes.
    pub probe_within_ns: u64,
    /// By how much a call takes longer than it would without the probes.
    pub probe_whole_ns: u64,
}

/// Something that was not seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Which probe.
    pub probe: String,
    /// What was lost, in words a report can show.
    pub what: String,
    /// How many, since the watch began.
    pub count: u64,
}

/// How long a probe that looks through windows only has looked, since the watch began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Which probe.
    pub probe: String,
    /// Time its windows were open.
    pub open_ns: u64,
    /// How many there were.
    pub windows: u64,
}

/// How a measure was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Method {
    /// Its name, such as `run_queue_wait`.
    pub measure: String,
    /// The hook, the field and the arithmetic, in one line.
    pub method: String,
}

/// A measure that could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailable {
    /// Its name in the JSON report, such as `run_queue_wait`.
    pub measure: String,
    /// Why, and what can be done.
    pub reason: String,
}
