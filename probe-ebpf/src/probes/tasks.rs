//! The watch list, and the tasks on it: context switches, state in progress, memory.

use super::{Measure, Probe};
use crate::{
    Error,
    abi::{self, Plain, control, task_record},
    iterate::iterate,
    loader::Loaded,
    sample::{Names, TaskSample},
};
use libbpf_rs::{MapCore, MapFlags};
use std::collections::HashSet;

/// The iterator over all tasks.
pub static PROBE: Probe = Probe {
    name: "tasks",
    object: object!("tasks"),
    hooks: &["iter/task"],
    map_sizes: &[],
    essential: true,
    measures: &[
        Measure {
            name: "context_switches",
            method: "task_struct.nvcsw and nivcsw by iter/task; of ended tasks, at their last sched_switch",
        },
        Measure {
            name: "cpu",
            method: "task_struct.se.sum_exec_runtime by iter/task; of ended tasks, at their last sched_switch",
        },
        Measure {
            name: "faults",
            method: "task_struct.min_flt and maj_flt by iter/task; of ended tasks, at their last sched_switch",
        },
        Measure {
            name: "memory_accounted",
            method: "mm_struct.rss_stat summed over CPUs and pgtables_bytes, by iter/task",
        },
        Measure {
            name: "reserved_bytes_per_connection",
            method: "mm_struct.data_vm and stack_vm by iter/task",
        },
    ],
    start: None,
};

/// One pass of the iterator puts every task of the assigned processes, and of their descendants,
/// on the watch list. Adds to `processes` those of which it has put a task there, and returns how many
/// tasks it has put there since it was loaded.
pub(crate) fn assign(loaded: &Loaded, processes: &mut HashSet<u32>) -> Result<u64, Error> {
    walk(loaded, "on_assign", |pid: &u32| {
        processes.insert(*pid);
    })?;
    Ok(read_control(loaded)?.assigned)
}

/// Begins a snapshot: from now on, tasks that end before they are read are kept apart.
pub(crate) fn begin_visit(loaded: &Loaded, epoch: u64) -> Result<(), Error> {
    let control = control {
        epoch,
        visiting: 1,
        ..read_control(loaded)?
    };
    set_control(loaded, control)
}

/// Ends a snapshot.
pub(crate) fn end_visit(loaded: &Loaded) -> Result<(), Error> {
    set_control(
        loaded,
        control {
            visiting: 0,
            ..read_control(loaded)?
        },
    )
}

/// One pass of the iterator over the watched tasks; returns the `CLOCK_MONOTONIC` of its first step.
pub(crate) fn read(loaded: &Loaded, mut each: impl FnMut(TaskSample)) -> Result<u64, Error> {
    let mut names = Names::default();
    walk(loaded, "on_task", |record: &task_record| {
        each(TaskSample::read(record, &mut names));
    })?;
    Ok(read_control(loaded)?.base_time)
}

fn walk<T: Plain>(
    loaded: &Loaded,
    program: &'static str,
    each: impl FnMut(&T),
) -> Result<(), Error> {
    // Brings the run-queue clock up to date, which the first step of the pass reads.
    rustix::thread::sched_yield();
    iterate(loaded, program, each)
}

fn read_control(loaded: &Loaded) -> Result<control, Error> {
    loaded.value("control", 0)
}

fn set_control(loaded: &Loaded, control: control) -> Result<(), Error> {
    loaded
        .map("control")
        .update(&0u32.to_ne_bytes(), abi::to_bytes(&control), MapFlags::ANY)
        .map_err(|source| Error::Read {
            probe: PROBE.name,
            object: "control",
            source,
        })
}
