//! The one list of rules, with their thresholds and what each needs to say anything.

use super::{Look, Rule, Unit};
use super::{background, connecting, memory, scheduling, sleeping, watching};

/// Run-queue waits, switches or sleeps below which their shares say nothing.
pub(super) const SAMPLES_MIN: u64 = 1_000;
/// Time on a CPU or waiting for something, of all tasks, below which its parts say nothing, in seconds.
pub(super) const BUSY_MIN_SECONDS: f64 = 0.1;
/// Processes or threads created, and processes sampled, below which nothing is said of the next one.
pub(super) const CREATED_MIN: u64 = 20;
pub(super) const SAMPLED_MIN: u64 = 3;
/// Events below which a rate is chance.
pub(super) const EVENTS_MIN: u64 = 50;
/// A shorter watch says nothing of rates, and nothing of what watching costs, in seconds.
pub(super) const WATCH_MIN_SECONDS: f64 = 1.0;
/// Preemptions a second and CPU below which they cost nothing to speak of (each some 5 us with its
/// cold caches: 0.05 % of a core).
pub(super) const PREEMPTIONS_MIN_PER_SECOND: f64 = 100.0;
/// Page tables below which huge pages would save nothing to speak of, in bytes, for each process.
pub(super) const PAGE_TABLES_MIN_BYTES: f64 = 1_048_576.0;

/// All rules, in the order in which findings are told.
pub const RULES: &[Rule] = &[
    Rule {
        id: "run_queue_wait",
        figure: "time that clients wait for a CPU, of the time in which they could run",
        unit: Unit::Share,
        threshold: 0.33,
        why: "at a third, work on a CPU takes half as long again as it would alone",
        look: Look::Target(scheduling::run_queue_wait),
    },
    Rule {
        id: "involuntary_switches",
        figure: "switches of clients that took the CPU from them, of all their switches",
        unit: Unit::Share,
        threshold: 0.5,
        why: "above a half, tasks lose the CPU more often than they give it up",
        look: Look::Target(scheduling::involuntary),
    },
    Rule {
        id: "churn_processes",
        figure: "connections that had a process made for them, a second",
        unit: Unit::PerSecond,
        threshold: 10.0,
        why: "a new process takes 1 to 5 ms of CPU time until it serves: 1 to 5 % of a core at 10 a second",
        look: Look::Target(connecting::processes),
    },
    Rule {
        id: "churn_threads",
        figure: "connections that had a thread made for them, a second",
        unit: Unit::PerSecond,
        threshold: 100.0,
        why: "a new thread takes some 0.1 ms until it serves: 1 % of a core at 100 a second",
        look: Look::Target(connecting::threads),
    },
    Rule {
        id: "idle_connections",
        figure: "memory held by connections that did nothing, of the host's",
        unit: Unit::Share,
        threshold: 0.02,
        why: "2 % of memory is what a cache would notice",
        look: Look::Target(memory::idle),
    },
    Rule {
        id: "page_tables",
        figure: "page tables of a client's process, by all else it holds of its own",
        unit: Unit::Ratio,
        threshold: 1.0,
        why: "from there on they are the larger part of what a connection costs",
        look: Look::Target(memory::page_tables),
    },
    Rule {
        id: "locks",
        figure: "time that clients sleep on locks, of the time in which they have something to do",
        unit: Unit::Share,
        threshold: 0.2,
        why: "a fifth of the time of requests is lost to others",
        look: Look::Target(sleeping::locks),
    },
    Rule {
        id: "disk",
        figure: "time that clients sleep on the disk, of the time in which they have something to do",
        unit: Unit::Share,
        threshold: 0.3,
        why: "near a third, faster storage or more memory gains more than anything on the CPU",
        look: Look::Target(sleeping::disk),
    },
    Rule {
        id: "major_faults",
        figure: "page faults that had to wait for a disk, a second",
        unit: Unit::PerSecond,
        threshold: 10.0,
        why: "a server at rest in its memory has next to none",
        look: Look::Target(sleeping::major_faults),
    },
    Rule {
        id: "fork_stall",
        figure: "the longest fork of a server that answers nobody meanwhile",
        unit: Unit::Seconds,
        threshold: 0.01,
        why: "10 ms are a hundred times what a request takes there",
        look: Look::Target(background::fork_stall),
    },
    Rule {
        id: "save_copies",
        figure: "pages copied while a background save ran, of the server's memory",
        unit: Unit::Share,
        threshold: 0.1,
        why: "a tenth of the memory more is what tight limits do not have",
        look: Look::Target(background::save_copies),
    },
    Rule {
        id: "shootdowns",
        figure: "TLB shootdowns sent, a second",
        unit: Unit::PerSecond,
        threshold: 5_000.0,
        why: "each takes some 2 us of its sender and 1 us of each CPU asked: 1 % of a core and more",
        look: Look::Target(background::shootdowns),
    },
    Rule {
        id: "stolen_time",
        figure: "time that the hypervisor took, of all CPUs",
        unit: Unit::Share,
        threshold: 0.05,
        why: "above 5 % the times of this report are those of another, slower machine at times",
        look: Look::Watch(watching::stolen),
    },
    Rule {
        id: "lost_events",
        figure: "events that connscope lost, of the times a task was put on a CPU",
        unit: Unit::Share,
        threshold: 0.01,
        why: "some 0.1 % go unseen on virtual machines; above 1 % percentiles may be off by more than their bound",
        look: Look::Watch(watching::lost),
    },
    Rule {
        id: "own_cost",
        figure: "CPU time that watching took, of all CPUs",
        unit: Unit::Share,
        threshold: 0.02,
        why: "watching is to take less than 1 %; at 2 % it shows in the server's own figures",
        look: Look::Watch(watching::own_cost),
    },
];
