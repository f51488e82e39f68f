//! Tasks that are given another group after their first: which one, only user space can tell.
//!
//! What a task did before stays with the group it had, what it does later is its new group's. The
//! kernel half moves a task at its next switch-out, since nothing of it changes between two; one that
//! sleeps shows as a task of its new group at once.

use crate::{
    Error,
    abi::{self, settlement, task_key},
    loader::Loaded,
    sample::{GroupSample, TaskSample, Totals, add_totals},
};
use libbpf_rs::{MapCore, MapFlags};
use std::{collections::HashMap, sync::Arc};

/// A task whose group is not its last, as it was read last.
#[derive(Clone, Debug)]
pub struct Unsettled {
    /// Process id in the reader's PID namespace.
    pub pid: u32,
    /// Thread id, likewise.
    pub tid: u32,
    /// `CLOCK_MONOTONIC` of its creation.
    pub started_ns: u64,
    /// Its group so far.
    pub group: u32,
    /// Its `comm`.
    pub comm: Arc<str>,
    at: task_key,
    totals: Totals,
}

/// A task on its way from one group to another.
struct Moving {
    at: task_key,
    from: u32,
    to: u32,
    /// What it had done when it was told where it belongs, and once it is moved, until then.
    before: Totals,
    /// It was alive when last read.
    lives: bool,
    /// The kernel half has moved it.
    taken: bool,
    /// It was not among the tasks in the reading before this one either.
    missed: bool,
}

/// The groups' books of tasks that have changed between them.
#[derive(Default)]
pub(crate) struct Settling {
    unsettled: Vec<Unsettled>,
    moving: HashMap<(u32, u64), Moving>,
    /// By group, what tasks that have left it did there.
    left: HashMap<u32, Totals>,
    /// By group, what tasks that have joined it had done before.
    joined: HashMap<u32, Totals>,
}

impl Settling {
    /// The tasks that were unsettled when last read.
    pub(crate) fn unsettled(&self) -> &[Unsettled] {
        &self.unsettled
    }

    /// Says of some of them to which group they belong.
    ///
    /// # Errors
    /// If the kernel has no memory for it.
    pub(crate) fn settle(
        &mut self,
        loaded: &Loaded,
        mut group_of: impl FnMut(&Unsettled) -> Option<u32>,
    ) -> Result<(), Error> {
        for task in std::mem::take(&mut self.unsettled) {
            let Some(to) = group_of(&task) else {
                self.unsettled.push(task);
                continue;
            };
            let told = settlement {
                group: to,
                ..settlement::default()
            };
            write(loaded, &task.at, &told)?;
            let moving = Moving {
                at: task.at,
                from: task.group,
                to,
                before: task.totals,
                lives: true,
                taken: false,
                missed: false,
            };
            self.moving.insert((task.tid, task.started_ns), moving);
        }
        Ok(())
    }

    /// Before the tasks are read.
    pub(crate) fn begin(&mut self) {
        self.unsettled.clear();
        self.moving.values_mut().for_each(|task| task.lives = false);
    }

    /// Gives a task that was read the group it belongs to.
    pub(crate) fn place(&mut self, task: &mut TaskSample) {
        let settled = task.unsettled == 0;
        if settled && self.moving.is_empty() {
            return;
        }
        if let Some(moving) = self.moving.get_mut(&(task.tid, task.started_ns)) {
            task.group = moving.to;
            moving.lives = true;
            moving.taken = settled;
            if !settled {
                let Totals {
                    voluntary,
                    involuntary,
                    arrivals,
                    unseen,
                    ..
                } = task.totals;
                let now = settlement {
                    voluntary,
                    involuntary,
                    arrivals,
                    unseen,
                    ..settlement::default()
                };
                add_switches(&mut moving.before, &now);
            }
        } else if !settled {
            self.unsettled.push(Unsettled {
                pid: task.pid,
                tid: task.tid,
                started_ns: task.started_ns,
                group: task.group,
                comm: Arc::clone(&task.comm),
                at: task_key {
                    task: task.unsettled,
                    started: task.started_ns,
                },
                totals: task.totals,
            });
        }
    }

    /// After all tasks were read: puts the books of the groups right.
    ///
    /// # Errors
    /// If the kernel refuses to be read.
    pub(crate) fn end(&mut self, loaded: &Loaded, groups: &mut [GroupSample]) -> Result<(), Error> {
        for task in self.moving.values_mut() {
            if task.lives && !task.taken {
                continue;
            }
            // One that had ended before it was told has ended in the group it was in.
            let told = read(loaded, &task.at)?;
            task.taken = told.taken != 0;
            if task.taken {
                add_switches(&mut task.before, &told);
            }
        }
        let (left, joined) = (&mut self.left, &mut self.joined);
        let mut forget = Vec::new();
        self.moving.retain(|_, task| {
            if task.taken {
                add_totals(left.entry(task.from).or_default(), &task.before);
                add_totals(joined.entry(task.to).or_default(), &task.before);
            }
            // One that is not listed any more may still make its last switch, which moves it.
            let over = task.taken || task.missed;
            task.missed = !task.lives;
            if over {
                forget.push(task.at);
            }
            !over
        });
        for at in &forget {
            delete(loaded, at)?;
        }
        let mut of = |group: u32, add: &dyn Fn(&mut GroupSample)| {
            groups.get_mut(group as usize).into_iter().for_each(add);
        };
        for (&group, totals) in &self.left {
            of(group, &|group| add_totals(&mut group.ended, totals));
        }
        for (&group, totals) in &self.joined {
            of(group, &|group| add_totals(&mut group.joined, totals));
        }
        // All that one did which is not listed any more, and was not moved, is with its old group.
        for task in self.moving.values().filter(|task| task.lives) {
            of(task.from, &|group| {
                add_totals(&mut group.ended, &task.before)
            });
            of(task.to, &|group| {
                add_totals(&mut group.joined, &task.before)
            });
        }
        Ok(())
    }
}

const MAP: &str = "settlements";

fn write(loaded: &Loaded, at: &task_key, told: &settlement) -> Result<(), Error> {
    loaded
        .map(MAP)
        .update(abi::to_bytes(at), abi::to_bytes(told), MapFlags::ANY)
        .map_err(|source| loaded.unreadable(MAP, source))
}

fn read(loaded: &Loaded, at: &task_key) -> Result<settlement, Error> {
    let found = loaded.map(MAP).lookup(abi::to_bytes(at), MapFlags::ANY);
    let bytes = found.map_err(|source| loaded.unreadable(MAP, source))?;
    Ok(bytes
        .and_then(|bytes| abi::from_bytes(&bytes))
        .unwrap_or_default())
}

/// Adds the switches of a task that came between its last reading and when it was told where it belongs: those
/// were its last ones until it is moved.
fn add_switches(before: &mut Totals, at_last: &settlement) {
    let latest = |count: &mut u64, last: u64| *count = (*count).max(last);
    latest(&mut before.voluntary, at_last.voluntary);
    latest(&mut before.involuntary, at_last.involuntary);
    latest(&mut before.arrivals, at_last.arrivals);
    latest(&mut before.unseen, at_last.unseen);
}

fn delete(loaded: &Loaded, at: &task_key) -> Result<(), Error> {
    loaded
        .map(MAP)
        .delete(abi::to_bytes(at))
        .map_err(|source| loaded.unreadable(MAP, source))
}
