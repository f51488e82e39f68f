//! What is drawn of a timeline.

use crate::snapshot::timeline::Begun;
use std::sync::Arc;

/// What is drawn. A lane is a task's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The window opens.
    Begins(Begun),
    /// A task that is new here. It comes before all that is drawn of it.
    Task(TaskName),
    /// From now on it is at that.
    State {
        /// Whose.
        lane: u32,
        /// When.
        at_ns: u64,
        /// What.
        state: State,
    },
    /// It slept.
    Slept {
        /// Whose.
        lane: u32,
        /// From there.
        from_ns: u64,
        /// To there.
        to_ns: u64,
        /// On what.
        reason: &'static str,
    },
    /// The first time that a task was on a CPU which was created in the window.
    FirstRun {
        /// Whose.
        lane: u32,
        /// From there.
        from_ns: u64,
        /// To there.
        to_ns: u64,
    },
    /// Switches that are not recorded: what it did meanwhile is not told apart.
    NotRecorded {
        /// Whose.
        lane: u32,
        /// From there.
        from_ns: u64,
        /// To there.
        to_ns: u64,
        /// How many.
        switches: u64,
    },
    /// A task created another.
    Created {
        /// Lane of the creator.
        lane: u32,
        /// Lane of the other.
        child: u32,
        /// When.
        at_ns: u64,
        /// `fork`, `vfork`, `thread`, ...
        how: &'static str,
    },
    /// Other CPUs are to flush entries of their TLB.
    Shootdown {
        /// Who asked, or was interrupted.
        lane: u32,
        /// When.
        at_ns: u64,
        /// It asked.
        sent: bool,
        /// How many pages; none for all.
        pages: Option<u64>,
    },
    /// A switch, from the scheduler's decision until the next task had come.
    Gap {
        /// Where.
        cpu: u32,
        /// When the scheduler had decided.
        at_ns: u64,
        /// How long it took, with the instrument's share.
        ns: u32,
        /// That share.
        own_ns: u32,
    },
    /// The window closes.
    Ends(Summary),
}

/// Who a lane's task is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskName {
    /// Its lane.
    pub lane: u32,
    /// Process id.
    pub pid: u32,
    /// Thread id; 0 if it is not known.
    pub tid: u32,
    /// Its `comm`.
    pub comm: Arc<str>,
    /// Name of the target.
    pub target: Arc<str>,
    /// Its role in that.
    pub role: Arc<str>,
}

/// What a task is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// On that CPU.
    Running(u32),
    /// Waiting for one.
    Runnable,
    /// Asleep.
    Asleep,
    /// Asleep, and no signal wakes it.
    Uninterruptible,
    /// It is not known, or no more, since the window has closed.
    NotRecorded,
    /// It is no more.
    Ended,
}

/// What a timeline holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// When the window opened.
    pub from_ns: u64,
    /// When it closed.
    pub to_ns: u64,
    /// Tasks in it.
    pub tasks: u64,
    /// Switches that are drawn.
    pub switches: u64,
    /// Of which it is known how long they took.
    pub gaps: u64,
    /// Tasks created.
    pub creations: u64,
    /// Shootdowns, sent and received.
    pub shootdowns: u64,
    /// Events for which there was no record, as the kernel half counted them.
    pub lost: u64,
    /// Switches found to be missing between two of a task.
    pub missing: u64,
    /// By how much the clock and the books differ, of all tasks and switches together.
    pub unexplained_ns: u64,
    /// Why it ended early, if it did.
    pub early: Option<String>,
}
