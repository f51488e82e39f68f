//! Where watched tasks ran, and where they left their CPUs: stacks, with the names of their functions.

use super::Snapshot;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was seen in a part of the time. Those of several parts [add](Self::add) up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stacks {
    /// `CLOCK_MONOTONIC` when stacks began to be taken, and up to when they were.
    pub began_ns: u64,
    #[allow(missing_docs)]
    pub ended_ns: u64,
    /// Time that one sample of what runs stands for.
    pub period_ns: u64,
    /// At most so many stacks of tasks that leave a CPU were taken in a second of each CPU; 0 for all.
    pub budget_hz: u32,
    /// The functions in the stacks.
    pub frames: Vec<Frame>,
    /// The stacks, by what they are of.
    pub seen: Vec<Seen>,
    /// What could not be counted, since stacks began to be taken.
    pub lost: Lost,
    /// What the kernel's books say of the same tasks and the same time; known in the end.
    #[serde(default)]
    pub books: Option<Books>,
    /// Whether the kernel told the names of its functions.
    pub kernel_named: bool,
}

/// A function.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Frame {
    /// Its name; where there is none, the file and the address in it.
    pub name: String,
    /// Where it is.
    pub kind: FrameKind,
}

/// Where a function is, and whether its name is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameKind {
    /// In a process, by name.
    User,
    /// In a process, by file and address.
    UserNameless,
    /// In the kernel, by name.
    Kernel,
    /// In the kernel, which does not tell its name.
    KernelNameless,
}

/// How often and how long tasks of a role were seen with a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The target, by its number.
    pub target: usize,
    /// The role of the tasks.
    pub role: String,
    /// What they did.
    pub of: SeenAt,
    /// What is known of the stack.
    pub taken: Taken,
    /// The functions, by their numbers, outermost first.
    pub stack: Vec<u32>,
    /// Samples, or times that tasks left a CPU.
    pub times: u64,
    /// Time asleep.
    pub asleep_ns: u64,
    /// Time waiting for a CPU afterwards.
    pub waiting_ns: u64,
}

/// What a task did.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeenAt {
    /// It ran.
    OnCpu,
    /// It left its CPU to sleep, for the reason of this name.
    Slept(String),
    /// It had to leave its CPU.
    Preempted,
}

/// What is known of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Taken {
    /// All of it, up to where the thread begins.
    Whole,
    /// Its innermost part. The rest was not found by frame pointers, or there was no room for it.
    CutShort,
    /// That in the kernel: the task left its CPU before stacks were taken.
    KernelAlone,
    /// Nothing: there was no room to keep it.
    Lost,
    /// Nothing: the kernel could not take it.
    Unreadable,
    /// Nothing: there were more than the budget allows.
    OverBudget,
    /// Nothing: the task left its CPU before stacks were taken, and woke as it was looked at.
    Before,
    /// Nothing: the task had not run yet.
    New,
}

/// What could not be counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Stacks for which there was no room; their time is there, as [`Taken::Lost`].
    pub stacks: u64,
    /// Samples of what runs.
    pub samples: u64,
    /// Times that tasks left a CPU.
    pub sleeps: u64,
    /// How long these took.
    pub sleeps_ns: u64,
    /// Tasks that could not be remembered when they left a CPU.
    pub tasks: u64,
    /// Times when the books of a task were not up to date.
    pub order: u64,
}

/// What tasks did by the kernel's books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    /// CPU time (`se.sum_exec_runtime`).
    pub cpu_ns: u64,
    /// Time on a CPU: with what interrupts and the hypervisor took of it.
    pub running_ns: u64,
    /// Time asleep.
    pub asleep_ns: u64,
    /// Time waiting for a CPU.
    pub waiting_ns: u64,
}

impl Books {
    /// What all tasks of these targets did since the watch of them began.
    #[must_use]
    pub fn of(snapshots: &[Snapshot]) -> Self {
        let roles = snapshots.iter().flat_map(|snapshot| &snapshot.roles);
        roles.fold(Self::default(), |mut sum, role| {
            let done = role.tasks.iter().map(|task| &task.totals);
            for totals in done.chain([&role.ended]) {
                sum.cpu_ns += totals.cpu_ns;
                sum.running_ns += totals.running_ns;
                sum.asleep_ns += totals.blocked_ns.iter().sum::<u64>();
                sum.waiting_ns += totals.runnable_ns;
            }
            // Counted with another role before, in whose `ended` it is as well.
            sum.cpu_ns -= role.joined.cpu_ns.min(sum.cpu_ns);
            sum.running_ns -= role.joined.running_ns.min(sum.running_ns);
            let joined: u64 = role.joined.blocked_ns.iter().sum();
            sum.asleep_ns -= joined.min(sum.asleep_ns);
            sum.waiting_ns -= role.joined.runnable_ns.min(sum.waiting_ns);
            sum
        })
    }

    /// What was added since.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(before.cpu_ns),
            running_ns: self.running_ns.saturating_sub(before.running_ns),
            asleep_ns: self.asleep_ns.saturating_sub(before.asleep_ns),
            waiting_ns: self.waiting_ns.saturating_sub(before.waiting_ns),
        }
    }
}

/// What tells stacks apart.
type Key = (usize, SeenAt, String, Taken, Vec<u32>);

impl Stacks {
    /// Adds what was seen afterwards.
    pub fn add(&mut self, later: Self) {
        if self.seen.is_empty() && self.period_ns == 0 {
            *self = later;
            return;
        }
        let known = self.frames.iter().enumerate();
        let mut numbers: BTreeMap<Frame, u32> = known
            .map(|(number, frame)| (frame.clone(), number as u32))
            .collect();
        let numbered: Vec<u32> = later
            .frames
            .into_iter()
            .map(|frame| {
                let next = numbers.len() as u32;
                *numbers.entry(frame.clone()).or_insert_with(|| {
                    self.frames.push(frame);
                    next
                })
            })
            .collect();
        let renumbered = later.seen.into_iter().map(|seen| Seen {
            // A number that is not there is of a record that was altered, and no frame of ours.
            stack: seen
                .stack
                .iter()
                .filter_map(|it| numbered.get(*it as usize).copied())
                .collect(),
            ..seen
        });
        let seen = std::mem::take(&mut self.seen).into_iter();
        self.seen = sums(seen.chain(renumbered));
        self.ended_ns = later.ended_ns;
        self.lost = later.lost;
        self.books = later.books.or(self.books);
        self.kernel_named &= later.kernel_named;
    }

    /// How long stacks were taken, in nanoseconds.
    #[must_use]
    pub fn length_ns(&self) -> u64 {
        self.ended_ns.saturating_sub(self.began_ns)
    }
}

/// One of each, in a fixed order.
pub(crate) fn sums(seen: impl Iterator<Item = Seen>) -> Vec<Seen> {
    let mut by_key: BTreeMap<Key, Seen> = BTreeMap::new();
    for one in seen {
        let key = (
            one.target,
            one.of.clone(),
            one.role.clone(),
            one.taken,
            one.stack.clone(),
        );
        match by_key.entry(key) {
            std::collections::btree_map::Entry::Vacant(vacant) => {
                vacant.insert(one);
            }
            std::collections::btree_map::Entry::Occupied(mut sum) => {
                let sum = sum.get_mut();
                sum.times += one.times;
                sum.asleep_ns += one.asleep_ns;
                sum.waiting_ns += one.waiting_ns;
            }
        }
    }
    by_key.into_values().collect()
}
