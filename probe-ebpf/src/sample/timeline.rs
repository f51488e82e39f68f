//! What tasks do, one by one. Times are `CLOCK_MONOTONIC` as of when the timeline began, and run with the scheduler's
//! clock from there on: the one in which it keeps its books.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What was handed over since the last time.
#[derive(Clone, Debug, Default)]
pub struct Events {
    /// Tasks that are new here, or have other names or ids than they had. They come before all that tells of them.
    pub tasks: Vec<Task>,
    /// What is known of tasks that have not switched since.
    pub standing: Vec<Standing>,
    /// Tasks that left a CPU: those of one task in their order.
    pub switches: Vec<Switch>,
    /// Tasks that were created by watched ones.
    pub creations: Vec<Creation>,
    /// Shootdowns of TLB entries.
    pub shootdowns: Vec<Shootdown>,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its number in this timeline.
    pub number: u32,
    /// Process id in the reader's PID namespace.
    pub pid: u32,
    /// Thread id, likewise; 0 if it was gone before it was known.
    pub tid: u32,
    /// When it was created, as [`TaskSample::started_ns`](super::TaskSample::started_ns).
    pub started_ns: u64,
    /// Group number.
    pub group: u32,
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

/// A task left its CPU. Sums are those of the books: since it is watched, up to now. In JSON it is an array of these
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
    /// How long the switch took that had brought it, where that was seen.
    pub gap: Option<Gap>,
}

/// The fields of a [`Switch`] in their order.
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
            it.gap.map(|gap| (gap.ns, gap.own_ns)),
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
            gap: gap.map(|(ns, own_ns)| Gap { ns, own_ns }),
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

/// From the scheduler's decision until the next task has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// As it was, with the instrument's share in it.
    pub ns: u32,
    /// The instrument's share.
    pub own_ns: u32,
}

/// A watched task created another.
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
