//! Run-queue wait, on-CPU slice, blocked time and run-queue depth.

use super::{Measure, Probe};

/// The program at the switch that takes a task off its CPU.
pub static PROBE: Probe = Probe {
    name: "sched",
    object: object!("sched"),
    hooks: &["tp_btf/sched_switch"],
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
