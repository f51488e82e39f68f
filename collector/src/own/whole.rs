//! What all processes of a target hold of their own, where only some of them could be looked at.

use crate::snapshot::{OwnMemory, Snapshot, Task};
use std::collections::HashMap;

/// Where not all processes were looked at, so many at least.
const SAMPLED_AT_LEAST: u64 = 10;

impl OwnMemory {
    /// Bytes of all of them, sampled of this snapshot; none where too few were looked at.
    ///
    /// The kernel's account is known of each, with pages that processes share in the account of every one. What is
    /// shared is the mean over the random sample, times the number of processes: the difference estimator
    /// (Cochran, Sampling Techniques, 7.1). What has several threads counts as its account says.
    #[must_use]
    pub fn whole(&self, snapshot: &Snapshot) -> Option<u64> {
        let tasks = || snapshot.roles.iter().flat_map(|role| &role.tasks);
        let alone = self.roles.iter();
        let alone: u64 = alone.map(|role| role.processes - role.threaded).sum();
        let accounts: HashMap<u32, u64> =
            tasks().map(|task| (task.pid, account_of(task))).collect();
        let sampled = self.roles.iter().flat_map(|role| &role.sampled);
        let shared = sampled.filter_map(|process| {
            let account = accounts.get(&process.pid)? + process.kernel_stack_bytes;
            Some(account as f64 - process.bytes() as f64)
        });
        let shared: Vec<f64> = shared.collect();
        let looked_at = shared.len() as u64;
        if looked_at < alone.min(SAMPLED_AT_LEAST) {
            return None;
        }
        let accounted: u64 = tasks()
            .map(|task| account_of(task) + task.kernel_stack_bytes)
            .sum();
        let mean = shared.iter().sum::<f64>() / looked_at.max(1) as f64;
        Some((accounted as f64 - mean * alone as f64).max(0.0) as u64)
    }
}

/// Anonymous pages and page tables of the address space that is listed with a task.
fn account_of(task: &Task) -> u64 {
    let memory = task.memory.unwrap_or_default();
    memory.anonymous_bytes + memory.page_table_bytes
}

#[cfg(test)]
mod tests {
    use crate::snapshot::{Memory, OwnMemory, OwnProcess, OwnRole, Role, Snapshot, Task};

    const STACK: u64 = 16_384;

    fn task(pid: u32, tid: u32, anonymous_bytes: u64) -> Task {
        let memory = Memory {
            anonymous_bytes,
            page_table_bytes: 1_000,
            ..Memory::default()
        };
        Task {
            pid,
            tid,
            kernel_stack_bytes: STACK,
            memory: (pid == tid).then_some(memory),
            ..Task::default()
        }
    }

    /// Of 40 processes with 5,000 to 5,039 bytes, 3,000 of them shared, so many looked at; and one with two threads.
    fn seen(sampled: u32) -> (OwnMemory, Snapshot) {
        let all = (1..=40).map(|pid| task(pid, pid, 5_000 + u64::from(pid) - 1));
        let tasks = all.chain([task(90, 90, 7_000), task(90, 91, 0)]);
        let looked_at = |pid: u32| OwnProcess {
            pid,
            anonymous_bytes: 2_000 + u64::from(pid) - 1,
            page_table_bytes: 1_000,
            kernel_stack_bytes: STACK,
            ..OwnProcess::default()
        };
        let own = OwnRole {
            processes: 41,
            sampled: (1..=sampled).map(looked_at).collect(),
            threaded: 1,
            out_of_budget: 40 - u64::from(sampled),
            ..OwnRole::default()
        };
        let role = Role {
            tasks: tasks.collect(),
            ..Role::default()
        };
        (
            OwnMemory {
                roles: vec![own],
                ..OwnMemory::default()
            },
            Snapshot {
                roles: vec![role],
                ..Snapshot::default()
            },
        )
    }

    #[test]
    fn what_is_shared_is_taken_off_those_not_looked_at_too() {
        let single = 40 * (2_000 + 1_000 + STACK) + (0..40).sum::<u64>();
        let threaded = 7_000 + 1_000 + 2 * STACK;
        for sampled in [10, 40] {
            let (own, snapshot) = seen(sampled);
            assert_eq!(own.whole(&snapshot), Some(single + threaded), "{sampled}");
        }
        let (own, snapshot) = seen(9);
        assert_eq!(own.whole(&snapshot), None);
    }

    #[test]
    fn of_threads_alone_the_account_is_all() {
        let (mut own, mut snapshot) = seen(0);
        snapshot.roles[0].tasks.retain(|task| task.pid == 90);
        own.roles[0].processes = 1;
        let bytes = 7_000 + 1_000 + 2 * STACK;
        assert_eq!(own.whole(&snapshot), Some(bytes));
    }
}
