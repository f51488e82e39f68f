//! A task at one instant.

use super::Totals;
use crate::abi::{task_record, task_state};
use std::sync::Arc;

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
