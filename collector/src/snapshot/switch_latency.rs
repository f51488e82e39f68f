//! How long context switches took.

use super::Histogram;
use serde::{Deserialize, Serialize};

/// The switches that are a role's: its task left the CPU, or it came to one that a task of no role
/// had left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchLatency {
    /// Switches seen in which a task of the role left.
    pub left: u64,
    /// Switches seen in which one came.
    pub came: u64,
    /// How long they took.
    pub samples: Vec<SwitchSamples>,
}

/// Switches of one kind, by how many events recorded them: each makes them longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchSamples {
    /// Between whom.
    pub kind: SwitchKind,
    /// The task that left would have run on.
    pub preempted: bool,
    /// Events that recorded the switch, from 1.
    pub recording_events: u32,
    /// From the one task to the other.
    pub histogram: Histogram,
}

/// Between whom a CPU switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchKind {
    /// Tasks that share an address space.
    SameAddressSpace,
    /// Tasks that do not.
    DifferentAddressSpace,
    /// To or from idle.
    Idle,
    /// To or from a thread of the kernel, the other not being idle.
    KernelThread,
}
