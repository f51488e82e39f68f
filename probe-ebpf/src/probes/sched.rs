//! Run-queue wait, on-CPU slice, blocked time and run-queue depth.

use super::{Measure, Probe};
use crate::{
    Error,
    kernel_types::KernelTypes,
    loader::{How, Loaded},
};

/// The programs at the switch that takes a task off its CPU, and at the move of one that sleeps to another CPU.
pub static PROBE: Probe = Probe {
    name: "sched",
    object: object!("sched"),
    hooks: &[
        "tp_btf/sched_switch",
        "tp_btf/sched_migrate_task (where tasks may sleep on the run queue)",
    ],
    map_sizes: &[],
    essential: true,
    measures: &[
        Measure {
            name: "run_queue_wait",
            method: "growth of sched_info.run_delay from switch-out to switch-out, tp_btf/sched_switch",
        },
        Measure {
            name: "on_cpu_slice",
            method: "run-queue clock at switch-out less sched_info.last_arrival, tp_btf/sched_switch",
        },
        Measure {
            name: "blocked",
            method: "sched_info.last_arrival less last switch-out less run-queue wait, tp_btf/sched_switch",
        },
        Measure {
            name: "run_queue_depth",
            method: "rq.cfs.h_nr_runnable where the kernel has it, else rq.nr_running, at switch-out, tp_btf/sched_switch",
        },
        Measure {
            name: "time_in_state",
            method: "sums of slice, wait and blocked time per task, tp_btf/sched_switch, with the state in progress by iter/task",
        },
    ],
    start: None,
};

/// What the losses call waits that are not known.
pub const UNKNOWN_WAITS: &str =
    "waits for a CPU taken as sleep (the task was moved to another CPU while it slept)";

/// Loads it, the second program only where it has something to do.
pub(crate) fn load(lists: &Loaded, groups: u32) -> Result<Loaded, Error> {
    // Where that cannot be told it is loaded: it does nothing on a kernel without the field.
    let types = KernelTypes::of_this_kernel().ok();
    let has_field = types.map(|types| types.has_field("sched_entity", "sched_delayed"));
    let sleeps_queued = has_field.and_then(Result::ok).unwrap_or(true);
    let without: &[&str] = match sleeps_queued {
        true => &[],
        false => &["on_sched_migrate_task"],
    };
    let how = How {
        without,
        ..How::default()
    };
    Loaded::load_with(&PROBE, Some(lists), groups, &how)
}
