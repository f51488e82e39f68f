//! Stacks as they are taken in the kernel: addresses, and how often and how long each was seen.

use crate::abi::{stack_count, stack_frames, stack_id, stack_key, stack_losses, stack_of};

/// How stacks are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackOptions {
    /// Samples of what runs, in a second of each CPU.
    pub rate_hz: u32,
    /// At most so many stacks of tasks that leave a CPU, in a second of each CPU; 0 for all.
    pub budget_hz: u32,
    /// Room for so many different stacks between two readings.
    pub room: u32,
}

impl Default for StackOptions {
    fn default() -> Self {
        Self {
            rate_hz: 99,
            budget_hz: 5_000,
            room: 4_096,
        }
    }
}

impl StackOptions {
    /// Time that one sample stands for, in nanoseconds.
    #[must_use]
    pub fn period_ns(&self) -> u64 {
        1_000_000_000 / u64::from(self.rate_hz.max(1))
    }
}

/// What was seen since the last reading.
#[derive(Clone, Debug, Default)]
pub struct TakenStacks {
    /// Whom stacks are of, how often and for how long.
    pub counts: Vec<StackCount>,
    /// The stacks that are new, by number. One that is seen again may come again.
    pub stacks: Vec<(u64, Frames)>,
    /// What was lost, since stacks are taken.
    pub losses: StackLosses,
}

/// A stack: addresses, innermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// In the kernel.
    pub kernel: Vec<u64>,
    /// In user space.
    pub user: Vec<u64>,
    /// There was no room for more of the frames in user space.
    pub user_full: bool,
}

/// Which stack it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StackId {
    /// That of this number.
    Taken(u64),
    /// There was no room to keep it.
    Lost,
    /// The kernel could not take it.
    Unreadable,
    /// There were more than the budget allows.
    OverBudget,
    /// The task left its CPU before stacks were taken.
    Before,
    /// The task had not run yet.
    New,
}

/// What a task did there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StackOf {
    /// It ran, at so many samples.
    OnCpu,
    /// It left its CPU to sleep, for the reason of that place in [`REASONS`](crate::sample::REASONS).
    Slept(usize),
    /// It had to leave its CPU, and would have run on.
    Preempted,
}

/// How often and for how long a stack was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackCount {
    /// The stack.
    pub stack: StackId,
    /// What the task did there.
    pub of: StackOf,
    /// Its process, as the caller numbers it; 0 if it has no number there.
    pub tgid: u32,
    /// Tells what the process has mapped: [`image_number`]; 0 for a thread of the kernel.
    pub image: u64,
    /// The group of the task.
    pub group: u32,
    /// Samples, or times that tasks left a CPU there.
    pub times: u64,
    /// Time asleep, in nanoseconds.
    pub asleep_ns: u64,
    /// Time waiting for a CPU until it was back on one, in nanoseconds.
    pub waiting_ns: u64,
}

/// What could not be counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StackLosses {
    /// Stacks for which there was no room; their time is counted as that of [`StackId::Lost`].
    pub stacks: u64,
    /// Samples of what runs for which there was no room.
    pub samples: u64,
    /// Times that tasks left a CPU for which there was no room.
    pub sleeps: u64,
    /// How long these took, in nanoseconds.
    pub sleeps_ns: u64,
    /// Tasks that could not be remembered when they left a CPU.
    pub tasks: u64,
    /// Times when the books of a task were not up to date.
    pub order: u64,
}

impl StackLosses {
    pub(crate) fn sum(cpus: &[stack_losses]) -> Self {
        cpus.iter().fold(Self::default(), |sum, cpu| Self {
            stacks: sum.stacks + cpu.stacks,
            samples: sum.samples + cpu.samples,
            sleeps: sum.sleeps + cpu.sleeps,
            sleeps_ns: sum.sleeps_ns + cpu.time,
            tasks: sum.tasks + cpu.tasks,
            order: sum.order + cpu.order,
        })
    }
}

impl Frames {
    pub(crate) fn read(frames: &stack_frames) -> Self {
        let first = |of: &[u64], count: u32| of.iter().take(count as usize).copied().collect();
        Self {
            kernel: first(&frames.kernel_frames, frames.kernel),
            user: first(&frames.user_frames, frames.user),
            user_full: frames.user as usize == frames.user_frames.len(),
        }
    }
}

impl StackCount {
    pub(crate) fn read(key: &stack_key, count: &stack_count) -> Self {
        Self {
            stack: match key.stack {
                it if it >= u64::from(stack_id::STACK_IDS.0) => StackId::Taken(it),
                it => special(it),
            },
            of: match stack_of(key.of) {
                stack_of::STACK_ON_CPU => StackOf::OnCpu,
                stack_of::STACK_PREEMPTED => StackOf::Preempted,
                stack_of(reason) => StackOf::Slept(reason as usize),
            },
            tgid: key.tgid,
            image: key.image,
            group: key.group,
            times: count.times,
            asleep_ns: count.asleep,
            waiting_ns: count.waiting,
        }
    }
}

fn special(number: u64) -> StackId {
    match stack_id(number as u32) {
        stack_id::STACK_LOST => StackId::Lost,
        stack_id::STACK_OVER_BUDGET => StackId::OverBudget,
        stack_id::STACK_BEFORE => StackId::Before,
        stack_id::STACK_NEW => StackId::New,
        _ => StackId::Unreadable,
    }
}

/// The number of what a process has mapped, of three addresses in `/proc/PID/stat` (proc(5)): the same for the
/// processes that it forks, until they execute another program. See `image_of` in `bpf/stacks.h`.
#[must_use]
pub fn image_number(start_code: u64, end_code: u64, start_stack: u64) -> u64 {
    [start_code, end_code, start_stack]
        .into_iter()
        .fold(0, |number: u64, with| {
            let number = (number ^ with).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            number ^ (number >> 29)
        })
}
