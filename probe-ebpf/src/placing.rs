//! Gives each task that the iterator tells of to its group, and each address space to one task of it.

use crate::sample::{GroupSample, Pending, TaskSample};
use std::collections::{HashMap, HashSet};

/// The tasks come one by one, and stay where they are put: there may be tens of thousands.
pub(crate) struct Placing<'a> {
    groups: &'a mut [GroupSample],
    /// The iterator tells only neighbours that share one apart, and processes may share one, too
    /// (vfork, CLONE_VM).
    seen: HashSet<u64>,
    neighbour: Option<u64>,
    /// By address space.
    pending: HashMap<u64, Pending>,
}

impl<'a> Placing<'a> {
    pub(crate) fn new(groups: &'a mut [GroupSample]) -> Self {
        Self {
            groups,
            seen: HashSet::new(),
            neighbour: None,
            pending: HashMap::new(),
        }
    }

    pub(crate) fn add(&mut self, mut task: TaskSample) {
        let space = task.address_space;
        let first = self.neighbour.replace(space) != Some(space) && self.seen.insert(space);
        if !first {
            task.memory = None;
        }
        if task.pending != Pending::default() {
            self.pending.entry(space).or_default().add(&task.pending);
        }
        if let Some(group) = self.groups.get_mut(task.group as usize) {
            group.tasks.push(task);
        }
    }

    /// Adds to each address space what its tasks have not handed on to it yet.
    pub(crate) fn end(self) {
        if self.pending.is_empty() {
            return;
        }
        let tasks = self.groups.iter_mut().flat_map(|group| &mut group.tasks);
        for task in tasks {
            let pending = self.pending.get(&task.address_space);
            if let (Some(memory), Some(pending)) = (&mut task.memory, pending) {
                memory.add(pending);
            }
        }
    }
}
