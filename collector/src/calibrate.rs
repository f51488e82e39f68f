//! What the basic operations cost on this host. [`OPERATIONS`] is the one list of them; each family
//! has a file.
//!
//! Each operation is measured in a process of its own, started anew ([`supervisor`]): what it maps,
//! forks and pins is gone with it, and it has one thread when it forks.

use crate::series::Described;
use anyhow::Result;
use std::{ffi::CStr, time::Duration};

mod calls;
mod child;
mod copies;
mod coroutines;
mod counted;
mod faults;
mod mapping;
pub(crate) mod placement;
mod probes;
mod processes;
mod ring;
mod sampling;
mod shootdowns;
mod stopwatch;
pub mod supervisor;
mod switches;
mod tasks;
mod threads;
mod token;
mod wakeups;
mod worker;

use sampling::Budget;
use worker::Bench;

/// An operation that can be measured.
#[derive(Debug)]
pub struct Operation {
    /// Its name in the report and on the command line.
    pub name: &'static str,
    /// The heading it stands below.
    pub group: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// What a figure is of one of.
    pub unit: &'static str,
    /// How it is measured.
    pub method: &'static str,
    /// How long that is expected to take, in milliseconds: in full, and with `--quick`.
    takes_ms: [u64; 2],
    measure: fn(&mut Bench) -> Result<()>,
}

/// The subcommand by which a worker is started, and the argument that has it do nothing.
pub const WORKER: &str = "calibrate-operation";
const WORKER_C: &CStr = c"calibrate-operation";
const NOTHING: &CStr = c"nothing";

const SWITCHES: &str = "Context switches on one CPU";
const CREATION: &str = "Creation";
const USER_SPACE: &str = "User space";
const MEMORY: &str = "Memory";
const KERNEL: &str = "Kernel entry and wake-up";
const OBSERVER: &str = "Our own probes";

/// All of them, in the order of the report.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "system_call",
        group: KERNEL,
        title: "system call",
        unit: "call",
        method: "getppid(2) by syscall(3), in batches",
        takes_ms: [200, 50],
        measure: calls::system_call,
    },
    Operation {
        name: "wake_up",
        group: KERNEL,
        title: "wake-up",
        unit: "wake-up",
        method: "clock before the call that wakes a thread seen asleep, to the clock read by that \
                 thread; an idle CPU has to leave its idle state first; less two readings of the clock",
        takes_ms: [2_000, 700],
        measure: wakeups::wake_up,
    },
    Operation {
        name: "thread_round_trip",
        group: SWITCHES,
        title: "threads, there and back",
        unit: "round trip",
        method: "a byte through a pipe to another thread and one back, both on one CPU: two switches, \
                 two writes, two reads",
        takes_ms: [200, 50],
        measure: switches::thread_round_trip,
    },
    Operation {
        name: "process_round_trip",
        group: SWITCHES,
        title: "processes, there and back",
        unit: "round trip",
        method: "the same between two processes",
        takes_ms: [200, 50],
        measure: switches::process_round_trip,
    },
    Operation {
        name: "thread_switch",
        group: SWITCHES,
        title: "thread switch",
        unit: "switch",
        method: "half a round trip between two threads that each go over a working set of their own, \
                 less the same write, read and working set in one thread without a switch; indirect is \
                 what the working set adds",
        takes_ms: [6_000, 1_500],
        measure: switches::thread_switch,
    },
    Operation {
        name: "process_switch",
        group: SWITCHES,
        title: "process switch",
        unit: "switch",
        method: "the same between two processes",
        takes_ms: [6_000, 1_500],
        measure: switches::process_switch,
    },
    Operation {
        name: "address_spaces",
        group: SWITCHES,
        title: "ring of processes",
        unit: "hop",
        method: "a byte goes round a ring of processes on one CPU through pipes; one hop, less the same \
                 write and read without a switch",
        takes_ms: [3_000, 800],
        measure: ring::address_spaces,
    },
    Operation {
        name: "fork",
        group: CREATION,
        title: "fork, parent holding",
        unit: "call",
        method: "fork(2) until it returns to the parent, whose memory is resident in 4 KB pages and not \
                 written between forks; the child ends at once and is waited for outside the time; sizes in \
                 turn, by MADV_DONTFORK on what is more, each after a fork of all that is not timed",
        takes_ms: [8_000, 2_100],
        measure: processes::fork,
    },
    Operation {
        name: "vfork",
        group: CREATION,
        title: "vfork, parent holding",
        unit: "call",
        method: "clone(CLONE_VM | CLONE_VFORK) until the child has ended, which lets the parent go on",
        takes_ms: [1_000, 400],
        measure: processes::vfork,
    },
    Operation {
        name: "posix_spawn",
        group: CREATION,
        title: "posix_spawn, parent holding",
        unit: "call",
        method: "posix_spawn(3) of this program until it returns, which it does once the program is \
                 being executed",
        takes_ms: [2_000, 500],
        measure: processes::posix_spawn,
    },
    Operation {
        name: "thread_create",
        group: CREATION,
        title: "thread creation",
        unit: "thread",
        method: "pthread_create(3) with default attributes, one thread at a time, also in turn with 20 MB \
                 resident and without, and \
                 clone(2) with the flags of a thread and a stack used before; the new thread ends at once",
        takes_ms: [1_800, 500],
        measure: threads::thread_create,
    },
    Operation {
        name: "task_create",
        group: USER_SPACE,
        title: "async task creation",
        unit: "task",
        method: "tokio::spawn of a future that is ready at once, on the current-thread runtime, 256 at \
                 a time",
        takes_ms: [400, 100],
        measure: tasks::task_create,
    },
    Operation {
        name: "task_switch",
        group: USER_SPACE,
        title: "async task switch",
        unit: "switch",
        method: "two tasks that yield to each other by tokio::task::yield_now, on the current-thread \
                 runtime",
        takes_ms: [200, 50],
        measure: tasks::task_switch,
    },
    Operation {
        name: "coroutine_create",
        group: USER_SPACE,
        title: "coroutine creation",
        unit: "coroutine",
        method: "corosensei: a coroutine is made, runs to its end and is dropped; on a new stack of \
                 64 KiB (mmap, mprotect, first touch, munmap) and on one used before",
        takes_ms: [400, 100],
        measure: coroutines::coroutine_create,
    },
    Operation {
        name: "coroutine_switch",
        group: USER_SPACE,
        title: "coroutine switch",
        unit: "switch",
        method: "corosensei: into a coroutine and back, two switches",
        takes_ms: [200, 50],
        measure: coroutines::coroutine_switch,
    },
    Operation {
        name: "zero_fill",
        group: MEMORY,
        title: "first touch",
        unit: "page",
        method: "a write to each page of private anonymous memory, after MADV_DONTNEED; less the same \
                 writes to pages that are there; huge pages by MADV_HUGEPAGE, seen in smaps",
        takes_ms: [1_500, 400],
        measure: faults::zero_fill,
    },
    Operation {
        name: "cow_copy",
        group: MEMORY,
        title: "copy-on-write, copied",
        unit: "page",
        method: "after fork(2) the child writes to each page, which is copied; less the same writes once \
                 more",
        takes_ms: [800, 200],
        measure: copies::cow_copy,
    },
    Operation {
        name: "cow_reuse",
        group: MEMORY,
        title: "copy-on-write, reused",
        unit: "page",
        method: "after fork(2), with the child gone, the parent writes to each page, which becomes \
                 writable again without a copy; less the same writes once more",
        takes_ms: [800, 200],
        measure: copies::cow_reuse,
    },
    Operation {
        name: "huge_split",
        group: MEMORY,
        title: "copy-on-write, huge page split",
        unit: "huge page",
        method: "after fork(2) the child writes into each huge page for the first time, which splits its \
                 mapping and copies 4 KB; less a write to the small page behind that, which is copied \
                 only; smaps says before and after whether it is huge",
        takes_ms: [800, 300],
        measure: copies::huge_split,
    },
    Operation {
        name: "tlb_shootdown",
        group: MEMORY,
        title: "TLB shootdown",
        unit: "shootdown",
        method: "mprotect(2) takes the right to write to a page away and gives it back, then the page is \
                 written, while other threads of the process run on CPUs of their own; less the same \
                 without the other threads",
        takes_ms: [1_000, 300],
        measure: shootdowns::tlb_shootdown,
    },
    Operation {
        name: "probe_cost",
        group: OBSERVER,
        title: "probe at sched_switch",
        unit: "switch",
        method: "run time of the program by the kernel's statistics (kernel.bpf_stats_enabled), less \
                 that of an empty program on the same hook, while two threads pass a byte through pipes \
                 on one CPU",
        takes_ms: [5_000, 1_500],
        measure: probes::probe_cost,
    },
];

impl Operation {
    /// The operation of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        OPERATIONS.iter().find(|operation| operation.name == name)
    }

    /// How long it is expected to take.
    #[must_use]
    pub fn takes(&self, quick: bool) -> Duration {
        Duration::from_millis(self.takes_ms[usize::from(quick)])
    }

    /// Its words, as plain data.
    #[must_use]
    pub fn described(&self) -> Described {
        Described {
            name: self.name.into(),
            group: self.group.into(),
            title: self.title.into(),
            unit: self.unit.into(),
            method: self.method.into(),
        }
    }
}

/// Measures one operation in this process, as a worker. Of a name that is none does nothing.
///
/// # Errors
/// If nobody reads what it found.
pub fn work(name: &str, quick: bool) -> Result<()> {
    let budget = if quick { Budget::QUICK } else { Budget::FULL };
    match Operation::named(name) {
        Some(operation) => worker::run(operation, budget),
        None => Ok(()),
    }
}
