//! Tasks created, by what `clone(2)` was asked to share.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::calls::{Called, CreationLatency};
use super::distribution::Distribution;
use super::error::{Problem, growth};
use crate::snapshot::Creation;

/// Calls by clone flags, and whether the kernel made an io_uring worker.
pub(super) type Calls = BTreeMap<(u64, bool), u64>;

/// Tasks created from before the first connection to the end of the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Creations {
    /// With an address space of their own: no `CLONE_VM`.
    pub process: Count,
    /// With their parent's address space until they call `execve(2)`: `CLONE_VM` without
    /// `CLONE_THREAD`, as `vfork(2)` and `posix_spawn(3)` do.
    pub vfork: Count,
    /// Threads of their creator's process: `CLONE_THREAD`.
    pub thread: Count,
    /// io_uring workers, which the kernel creates for a task that did not ask for one.
    pub io_worker: Count,
    /// The same calls by all their flags, most frequent first.
    pub by_flags: Vec<FlagCount>,
    /// From creation to the first time on a CPU, counted with the role of the task created.
    pub first_run: Option<Distribution>,
    /// How long the calls took, as their callers see it; none where they cannot be probed.
    pub latency: Option<CreationLatency>,
    /// How long they took in the kernel, whoever called; none where its functions cannot be entered.
    pub latency_in_kernel: Option<CreationLatency>,
    /// The part of forks that copies the address space; none likewise.
    pub page_table_copy: Option<Distribution>,
    /// How they were counted.
    pub method: String,
}

/// A number of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// How many.
    pub count: u64,
}

/// Calls with one set of flags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlagCount {
    /// Names of the flags, lowest bit first; a bit without a name as `0x...`.
    pub flags: Vec<String>,
    /// Made by the kernel for io_uring.
    pub io_worker: bool,
    /// How many.
    pub count: u64,
}

/// What a call creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A process with an address space of its own.
    Process,
    /// A process in its parent's address space.
    Vfork,
    /// A thread.
    Thread,
    /// An io_uring worker.
    IoWorker,
}

const CLONE_VM: u64 = 0x100;
const CLONE_THREAD: u64 = 0x1_0000;
/// The low byte was the exit signal before 5.7, which moved it out of the flags.
const CSIGNAL: u64 = 0xff;

/// `include/uapi/linux/sched.h`, and the mask of the signal apart from it.
const FLAGS: [(u64, &str); 27] = [
    (CLONE_VM, "CLONE_VM"),
    (0x200, "CLONE_FS"),
    (0x400, "CLONE_FILES"),
    (0x800, "CLONE_SIGHAND"),
    (0x1000, "CLONE_PIDFD"),
    (0x2000, "CLONE_PTRACE"),
    (0x4000, "CLONE_VFORK"),
    (0x8000, "CLONE_PARENT"),
    (CLONE_THREAD, "CLONE_THREAD"),
    (0x2_0000, "CLONE_NEWNS"),
    (0x4_0000, "CLONE_SYSVSEM"),
    (0x8_0000, "CLONE_SETTLS"),
    (0x10_0000, "CLONE_PARENT_SETTID"),
    (0x20_0000, "CLONE_CHILD_CLEARTID"),
    (0x40_0000, "CLONE_DETACHED"),
    (0x80_0000, "CLONE_UNTRACED"),
    (0x100_0000, "CLONE_CHILD_SETTID"),
    (0x200_0000, "CLONE_NEWCGROUP"),
    (0x400_0000, "CLONE_NEWUTS"),
    (0x800_0000, "CLONE_NEWIPC"),
    (0x1000_0000, "CLONE_NEWUSER"),
    (0x2000_0000, "CLONE_NEWPID"),
    (0x4000_0000, "CLONE_NEWNET"),
    (0x8000_0000, "CLONE_IO"),
    (0x1_0000_0000, "CLONE_CLEAR_SIGHAND"),
    (0x2_0000_0000, "CLONE_INTO_CGROUP"),
    (0x80, "CLONE_NEWTIME"),
];

/// What a call with these flags creates.
#[must_use]
pub fn kind(clone_flags: u64, io_worker: bool) -> Kind {
    match (
        io_worker,
        clone_flags & CLONE_THREAD != 0,
        clone_flags & CLONE_VM != 0,
    ) {
        (true, _, _) => Kind::IoWorker,
        (_, true, _) => Kind::Thread,
        (_, _, true) => Kind::Vfork,
        _ => Kind::Process,
    }
}

/// The names of the flags, lowest bit first. What has no name is given as a number, so that no
/// bit is left out: `signal 17`, `0x400000000`.
#[must_use]
pub fn flag_names(clone_flags: u64) -> Vec<String> {
    // CLONE_NEWTIME lies in the mask of the signal; no signal has its number.
    let is_signal = |bits: u64| bits != 0 && bits != 0x80;
    let signal = Some(clone_flags & CSIGNAL).filter(|&bits| is_signal(bits));
    let flags = clone_flags & !signal.unwrap_or(0);
    let mut names: Vec<String> = signal
        .map(|number| format!("signal {number}"))
        .into_iter()
        .collect();
    for bit in (0..u64::BITS)
        .map(|shift| 1_u64 << shift)
        .filter(|bit| flags & bit != 0)
    {
        let known = FLAGS.iter().find(|(flag, _)| *flag == bit);
        names.push(known.map_or_else(|| format!("{bit:#x}"), |(_, name)| (*name).to_owned()));
    }
    names
}

/// The calls between two snapshots.
///
/// # Errors
/// [`Problem::Backwards`] if a count decreased.
pub(super) fn calls_between(
    before: &[Creation],
    end: &[Creation],
    role: &str,
) -> Result<Calls, Problem> {
    let sums = |creations: &[Creation]| {
        let mut sums = Calls::new();
        for creation in creations {
            *sums
                .entry((creation.clone_flags, creation.io_worker))
                .or_default() += creation.count;
        }
        sums
    };
    let (before, mut calls) = (sums(before), sums(end));
    for (key, earlier) in before {
        let count = calls.entry(key).or_default();
        let name = || format!("creations with flags {:#x} by role {role}", key.0);
        *count = growth(earlier, *count, name)?;
    }
    calls.retain(|_, count| *count > 0);
    Ok(calls)
}

impl Creations {
    /// The figures of these calls.
    pub(super) fn of(calls: &Calls, first_run: Option<Distribution>, method: String) -> Self {
        let count = |wanted: Kind| Count {
            count: calls
                .iter()
                .filter(|((flags, io_worker), _)| kind(*flags, *io_worker) == wanted)
                .map(|(_, count)| count)
                .sum(),
        };
        let mut by_flags: Vec<_> = calls
            .iter()
            .map(|(&(flags, io_worker), &count)| FlagCount {
                flags: flag_names(flags),
                io_worker,
                count,
            })
            .collect();
        by_flags.sort_by_key(|calls| std::cmp::Reverse(calls.count));
        Self {
            process: count(Kind::Process),
            vfork: count(Kind::Vfork),
            thread: count(Kind::Thread),
            io_worker: count(Kind::IoWorker),
            by_flags,
            first_run,
            latency: None,
            latency_in_kernel: None,
            page_table_copy: None,
            method,
        }
    }

    /// The same with how long the calls took.
    pub(super) fn with_latency(mut self, called: &Called, method: &str) -> Self {
        self.latency = CreationLatency::of(called, self.asked_for(), method);
        self
    }

    /// The same with how long they took in the kernel, and the part of it that copied.
    pub(super) fn in_kernel(
        mut self,
        called: &Called,
        copies: Option<Distribution>,
        method: &str,
    ) -> Self {
        self.latency_in_kernel = CreationLatency::of(called, self.asked_for(), method);
        self.page_table_copy = copies;
        self
    }

    /// Tasks that a task asked for.
    fn asked_for(&self) -> u64 {
        self.process.count + self.vfork.count + self.thread.count
    }

    /// Tasks created, of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.process.count + self.vfork.count + self.thread.count + self.io_worker.count
    }
}
