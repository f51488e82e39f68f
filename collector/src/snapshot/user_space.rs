//! What schedulers in user space do.

use serde::{Deserialize, Serialize};

/// What is known of the scheduler in user space of a server that has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserSpace {
    /// It counts.
    Counted(Scheduler),
    /// Nobody knows, for this reason.
    Unseen(String),
}

/// What a server's scheduler has counted since the server began, on all its threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduler {
    /// Tasks that began.
    pub tasks_begun: u64,
    /// Tasks that ended.
    pub tasks_ended: u64,
    /// How often a thread went on with a task.
    pub switches: u64,
    /// Switches whose time was taken.
    pub sampled: u64,
    /// What those took together.
    pub sampled_ns: u64,
    /// What taking the time adds to each of them.
    pub clock_ns: u64,
}
