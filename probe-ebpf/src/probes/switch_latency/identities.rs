//! Who the tasks are that records name by tid.

use super::{event::Event, pairs::Gap};
use crate::{
    Error,
    abi::{control, task_identity},
    iterate::iterate,
    loader::Loaded,
};
use std::{collections::HashMap, fs};

/// The inode of the initial PID namespace, `PROC_PID_INIT_INO` in the kernel.
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";

/// What is known of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// It ended too early, or it has no tid in our PID namespace.
    Unknown,
    /// A CPU's idle task.
    Idle,
    Task {
        /// `NO_GROUP` if it is not watched.
        group: u32,
        /// See `bpf/abi.h`.
        space: u64,
    },
}

/// All tasks as they were when last listed.
pub(super) struct Identities {
    program: Loaded,
    known: HashMap<u32, Identity>,
    /// Tasks that had been put on the watch list by hand: when more have, all are listed anew.
    assigned: u64,
    /// Tid 0 is idle alone; within a PID namespace it is also who is outside.
    initial_namespace: bool,
}

impl Identities {
    pub(super) fn new(program: Loaded) -> Self {
        let namespace = fs::read_link("/proc/self/ns/pid");
        Self {
            program,
            known: HashMap::new(),
            assigned: 0,
            initial_namespace: namespace
                .is_ok_and(|name| name.to_str() == Some(INITIAL_PID_NAMESPACE)),
        }
    }

    /// What was known may be so no more: ids are used again, and tasks get other programs.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// Makes sure that the tasks of these switches are known, as far as they can be.
    pub(super) fn look_up(&mut self, gaps: &[Gap]) -> Result<(), Error> {
        let assigned = self.program.value::<control>("control", 0)?.assigned;
        if std::mem::replace(&mut self.assigned, assigned) != assigned {
            self.forget();
        }
        let named = gaps.iter().flat_map(|gap| [gap.left, gap.came]);
        let named = || named.clone().filter(|&tid| tid != 0);
        if named().any(|tid| !self.known.contains_key(&tid)) {
            self.list()?;
            // Who is not found now is not looked for again.
            for tid in named() {
                self.known.entry(tid).or_insert(Identity::Unknown);
            }
        }
        Ok(())
    }

    /// Adds all tasks that live now; those known from before may have ended since.
    fn list(&mut self) -> Result<(), Error> {
        let known = &mut self.known;
        iterate(&self.program, "on_identity", |task: &task_identity| {
            let identity = Identity::Task {
                group: task.group,
                space: task.space,
            };
            known.insert(task.tid, identity);
        })
    }

    /// How many events record the switches of the CPU that this one is of, it and others'.
    pub(super) fn recording_with(&self, event: &Event) -> Result<u32, Error> {
        self.program.run(event.descriptor())
    }

    pub(super) fn of(&self, tid: u32) -> Identity {
        match tid {
            0 if self.initial_namespace => Identity::Idle,
            0 => Identity::Unknown,
            _ => self.known.get(&tid).copied().unwrap_or(Identity::Unknown),
        }
    }
}
