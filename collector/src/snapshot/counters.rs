//! Perf counters of a target's tasks.

/// Names of the events, in the order of [`Counters`].
pub use probe_ebpf::counters::{HARDWARE, SOFTWARE};
use serde::{Deserialize, Serialize};

/// What they have counted since they were opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// The kernel's, in the order of [`SOFTWARE`].
    pub software: Option<Vec<Option<Reading>>>,
    /// The CPU's, in the order of [`HARDWARE`].
    pub hardware: Option<Vec<Option<Reading>>>,
    /// Tasks that came while the counters were opened: it is not known whether they are counted.
    pub uncertain_tasks: u64,
}

/// One counter, in all tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Events; nanoseconds of a clock.
    pub count: u64,
    /// Time that the tasks were on a CPU.
    pub enabled_ns: u64,
    /// Of this, the time in which it counted.
    pub running_ns: u64,
}
