//! What tasks did, one by one, for as long as a timeline was kept. Times are `CLOCK_MONOTONIC` as of when it began, and
//! run with the scheduler's clock from there on.

/// What the probe says of tasks, as it is.
pub use probe_ebpf::sample::timeline::{Creation, Gap, Left, Shootdown, Standing, Switch};
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
