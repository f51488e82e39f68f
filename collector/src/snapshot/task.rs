//! A task, and what it did.

use super::REASONS;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a task did while watched. Sums to the life of the task:
/// running, runnable and blocked of every reason are the time since the watch of it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Voluntary context switches.
    pub voluntary: u64,
    /// Involuntary context switches.
    pub involuntary: u64,
    /// CPU time as the kernel charges it (`se.sum_exec_runtime`, what `ps` shows): time on a CPU
    /// less what interrupts and the hypervisor took of it.
    pub cpu_ns: u64,
    /// On a CPU.
    pub running_ns: u64,
    /// Waiting for a CPU.
    pub runnable_ns: u64,
    /// Neither, by reason.
    pub blocked_ns: [u64; REASONS.len()],
    /// Times it was put on a CPU, by the kernel's count.
    pub arrivals: u64,
    /// Of these, the ones whose switch no tracepoint showed.
    pub unseen: u64,
    /// Page faults handled without reading from a disk.
    #[serde(default)]
    pub minor_faults: u64,
    /// Page faults handled by reading from a disk.
    #[serde(default)]
    pub major_faults: u64,
}

/// One living task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Process id, in connscope's own PID namespace.
    pub pid: u32,
    /// Thread id, likewise.
    pub tid: u32,
    /// When it was created: tells a reused id from the old one.
    pub started_ns: u64,
    /// Its `comm`.
    pub comm: Arc<str>,
    /// The state it was in.
    pub state: State,
    /// What it did, with the state in progress.
    pub totals: Totals,
    /// What its address space holds; given for one task of each address space.
    pub memory: Option<Memory>,
    /// Its kernel stack.
    pub kernel_stack_bytes: u64,
}

/// The state of a task at a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// On a CPU.
    Running,
    /// Waiting for one.
    Runnable,
    /// Neither.
    #[default]
    Blocked,
}

/// Memory as the kernel accounts it to an address space, resident but for what is reserved. Pages
/// shared with other processes are in the account of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Anonymous pages.
    pub anonymous_bytes: u64,
    /// Pages of file mappings.
    pub file_bytes: u64,
    /// Pages of shared memory.
    pub shared_bytes: u64,
    /// Page tables.
    pub page_table_bytes: u64,
    /// Private writable mappings, touched or not: what may come to be memory of its own.
    #[serde(default)]
    pub reserved_bytes: u64,
}
