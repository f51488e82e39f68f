//! The ids of a server's tasks as it sees them itself: in a container, those of its own PID namespace.

use std::collections::HashMap;
use std::fs;

/// From the ids in one PID namespace to those in connscope's own.
#[derive(Debug)]
pub enum Ids {
    /// They are the same.
    Own,
    /// Those of another namespace.
    Others(HashMap<u32, u32>),
}

impl Ids {
    /// Those of these tasks, process and thread, of a server with that pid.
    #[must_use]
    pub fn of(server: u32, tasks: &[(u32, u32)]) -> Self {
        let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/pid")).ok();
        if namespace(&server.to_string()) == namespace("self") {
            return Self::Own;
        }
        let pair = |&(pid, tid): &(u32, u32)| Some((innermost(pid, tid)?, tid));
        Self::Others(tasks.iter().filter_map(pair).collect())
    }

    /// The id in our namespace.
    #[must_use]
    pub fn ours(&self, theirs: u32) -> Option<u32> {
        match self {
            Self::Own => Some(theirs),
            Self::Others(known) => known.get(&theirs).copied(),
        }
    }
}

/// The id of a thread in the innermost namespace that it is in.
fn innermost(pid: u32, tid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).ok()?;
    let ids = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    ids.split_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_our_own_namespace_stay() {
        let own = std::process::id();
        let ids = Ids::of(own, &[]);
        assert_eq!(ids.ours(7), Some(7));
        assert_eq!(innermost(own, own), Some(own));
        assert_eq!(innermost(own, 0), None);
    }
}
