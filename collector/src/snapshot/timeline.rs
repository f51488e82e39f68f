//! What tasks did, one by one, for as long as a timeline was kept. Times are `CLOCK_MONOTONIC` as of when it began, and
//! run with the scheduler's clock from there on.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A part of a timeline, in the order they come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// It begins: with the snapshots that come next.
    Begun(Begun),
    /// What was done since the part before.
    Events(Events),
    /// It ends with the snapshots that come next. Events up to them may come behind them.
    Closing,
    /// The last of all.
    Ended(Ended),
}

/// Clocks as a timeline began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// `CLOCK_BOOTTIME` at the same moment.
    pub boottime_ns: u64,
    /// `CLOCK_REALTIME` at the same moment.
    pub realtime_ns: u64,
}

/// How a timeline ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Why before the time that it was asked for, if it did.
    pub early: Option<String>,
}

/// What was done in a stretch of time. Tasks are named by their number in the timeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// Tasks that are new, or have other names or ids than they had.
    pub tasks: Vec<Task>,
    /// What tasks were at that had not switched since they were watched.
    pub standing: Vec<Standing>,
    /// Tasks that left a CPU: those of one task in their order.
    pub switches: Vec<Switch>,
    /// Tasks that were created.
    pub creations: Vec<Creation>,
    /// Shootdowns of TLB entries.
    pub shootdowns: Vec<Shootdown>,
}

impl Events {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its number.
    pub number: u32,
    /// Process id, in connscope's own PID namespace.
    pub pid: u32,
    /// Thread id, likewise; 0 if it was gone before it was known.
    pub tid: u32,
    /// When it was created: with the thread id, what it has in snapshots.
    pub started_ns: u64,
    /// Which of the targets it belongs to, from 0.
    pub target: u32,
    /// Its role in that.
    pub role: Arc<str>,
    /// Its `comm`.
    pub comm: Arc<str>,
}

/// A task between two switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Its number.
    pub task: u32,
    /// The CPU on which it is, or was last.
    pub cpu: u32,
    /// What it sleeps on, or slept on last: its place in [`REASONS`](super::REASONS).
    pub reason: u8,
}

/// A task left its CPU. Sums are those of its [`Totals`](super::Totals), as of then. In JSON it is an array of these
/// fields, since there are many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Row", from = "Row")]
pub struct Switch {
    /// Its number.
    pub task: u32,
    /// The CPU.
    pub cpu: u32,
    /// When.
    pub at_ns: u64,
    /// Time on a CPU.
    pub running_ns: u64,
    /// Time that it waited for one.
    pub runnable_ns: u64,
    /// Time that it slept.
    pub blocked_ns: u64,
    /// How often it was put on a CPU.
    pub arrivals: u64,
    /// How.
    pub left: Left,
    /// What it sleeps on from now on, if it does: its place in [`REASONS`](super::REASONS).
    pub reason: Option<u8>,
    /// How long the switch took that had brought it, and the instrument's share in that; where it was seen.
    pub gap: Option<(u32, u32)>,
}

type Row = (
    u32,
    u32,
    u64,
    u64,
    u64,
    u64,
    u64,
    Left,
    Option<u8>,
    Option<(u32, u32)>,
);

impl From<Switch> for Row {
    fn from(it: Switch) -> Self {
        (
            it.task,
            it.cpu,
            it.at_ns,
            it.running_ns,
            it.runnable_ns,
            it.blocked_ns,
            it.arrivals,
            it.left,
            it.reason,
            it.gap,
        )
    }
}

impl From<Row> for Switch {
    fn from(row: Row) -> Self {
        let (task, cpu, at_ns, running_ns, runnable_ns, blocked_ns, arrivals, left, reason, gap) =
            row;
        Self {
            task,
            cpu,
            at_ns,
            running_ns,
            runnable_ns,
            blocked_ns,
            arrivals,
            left,
            reason,
            gap,
        }
    }
}

/// How a task left its CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Left {
    /// It would have run on.
    #[default]
    Runnable,
    /// It sleeps.
    Asleep,
    /// It sleeps, and no signal wakes it.
    Uninterruptible,
    /// It has ended.
    Ended,
}

/// A task created another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creation {
    /// Number of the creator.
    pub creator: u32,
    /// Number of the task.
    pub task: u32,
    /// When.
    pub at_ns: u64,
    /// `clone(2)` flags as the kernel had them.
    pub clone_flags: u64,
    /// A worker of io_uring, which the kernel makes.
    pub io_worker: bool,
}

/// Other CPUs are to flush entries of their TLB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shootdown {
    /// Number of the task that asked, or was interrupted.
    pub task: u32,
    /// When.
    pub at_ns: u64,
    /// The CPU.
    pub cpu: u32,
    /// It asked; else it was interrupted.
    pub sent: bool,
    /// How many pages; none for all.
    pub pages: Option<u64>,
}
