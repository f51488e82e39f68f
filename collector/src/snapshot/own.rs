//! Memory of processes' own.

use serde::{Deserialize, Serialize};

/// Memory of processes' own, sampled once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OwnMemory {
    /// By role, in the order of the snapshot.
    pub roles: Vec<OwnRole>,
    /// What sampling took.
    pub seconds: f64,
    /// Why sockets are not in it, if they are not.
    pub without_sockets: Option<String>,
}

/// Of the processes of one role those that were sampled, and how many were not, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnRole {
    /// As in the snapshot.
    pub name: String,
    /// All of them.
    pub processes: u64,
    /// Those looked at.
    pub sampled: Vec<OwnProcess>,
    /// More threads than one, or an address space shared with another process.
    pub threaded: u64,
    /// Ended before they could be looked at.
    pub gone: u64,
    /// No time was left for them.
    pub out_of_budget: u64,
}

/// What one process held of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct OwnProcess {
    pub pid: u32,
    /// Anonymous pages, each divided by the number of its users.
    pub anonymous_bytes: u64,
    pub page_table_bytes: u64,
    pub kernel_stack_bytes: u64,
    /// Buffers of its sockets.
    pub socket_bytes: u64,
    /// Open files in which no socket was looked for, since there are so many.
    #[serde(default)]
    pub unread_files: u32,
}

impl OwnProcess {
    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.anonymous_bytes + self.page_table_bytes + self.kernel_stack_bytes + self.socket_bytes
    }
}
