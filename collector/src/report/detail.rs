//! The busiest tasks of a target, one by one.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde::Serialize;

use super::error::Problem;
use super::measures::{Basis, ContextSwitches, Cpu, OfTotals, TimeInState};
use super::window::totals_between;
use crate::snapshot::{Run, Task, Totals};

/// More would make a report of a server with 10,000 threads as long as the server is busy.
const TASKS_MAX: usize = 10;

/// One task and what it did in the window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskDetail {
    /// Process id, in connscope's own PID namespace.
    pub pid: u32,
    /// Thread id, likewise.
    pub tid: u32,
    /// Its role in the target.
    pub role: String,
    /// Its `comm`.
    pub label: String,
    /// Whether it was first seen after the window opened.
    pub new: bool,
    /// What it did.
    pub measures: TaskMeasures,
}

/// What one task did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskMeasures {
    /// How often it left a CPU.
    pub context_switches: Option<ContextSwitches>,
    /// Where its time went.
    pub time_in_state: Option<TimeInState>,
    /// Its CPU time.
    pub cpu: Option<Cpu>,
    /// Its memory; of an address space in the account of one task alone.
    pub memory: TaskMemory,
}

/// Memory of one task, in bytes; that of its address space is listed with one of its threads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct TaskMemory {
    pub accounted: TaskAccounted,
}

/// See [`TaskMemory`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct TaskAccounted {
    pub anonymous_bytes: Option<u64>,
    pub file_bytes: Option<u64>,
    pub shared_bytes: Option<u64>,
    pub page_table_bytes: Option<u64>,
    pub kernel_stack_bytes: u64,
}

/// What one living task did in the window.
#[derive(Clone, Copy, Debug)]
pub struct TaskWindow<'a> {
    /// Its role in the target.
    pub role: &'a str,
    /// As it was when the window closed.
    pub task: &'a Task,
    /// Whether it was first seen after the window opened.
    pub new: bool,
    /// What it did.
    pub did: Totals,
}

/// All tasks living at the end.
///
/// # Errors
/// [`Problem::Backwards`] if a counter of one decreased.
pub fn tasks_of(run: &Run) -> Result<Vec<TaskWindow<'_>>, Problem> {
    let at_start: HashMap<(u32, u64), &Totals> = run
        .start
        .roles
        .iter()
        .flat_map(|role| &role.tasks)
        .map(|task| ((task.tid, task.started_ns), &task.totals))
        .collect();
    let mut tasks = Vec::new();
    for role in &run.end.roles {
        for task in &role.tasks {
            let start = at_start.get(&(task.tid, task.started_ns)).copied();
            let whose = format!("{}, task {}", role.name, task.tid);
            let did = totals_between(&start.copied().unwrap_or_default(), &task.totals, &whose)?;
            tasks.push(TaskWindow {
                role: &role.name,
                task,
                new: start.is_none(),
                did,
            });
        }
    }
    Ok(tasks)
}

/// The tasks living at the end with most CPU time within the window, busiest first.
/// Servers of ours have none: their connections are all alike.
pub(super) fn busiest(run: &Run, basis: &Basis<'_>) -> Result<Vec<TaskDetail>, Problem> {
    if !run.kind.ran_already() {
        return Ok(Vec::new());
    }
    let mut tasks = tasks_of(run)?;
    tasks.sort_by_key(|it| (Reverse(it.did.cpu_ns), it.task.tid));
    tasks.truncate(TASKS_MAX);
    Ok(tasks
        .into_iter()
        .map(|it| detail(&it.did, it.new, it.role, it.task, basis))
        .collect())
}

fn detail(did: &Totals, new: bool, role: &str, task: &Task, basis: &Basis<'_>) -> TaskDetail {
    let OfTotals {
        context_switches,
        time_in_state,
        cpu,
    } = basis.of_totals(did);
    TaskDetail {
        pid: task.pid,
        tid: task.tid,
        role: role.to_owned(),
        label: task.comm.to_string(),
        new,
        measures: TaskMeasures {
            context_switches,
            time_in_state,
            cpu,
            memory: TaskMemory {
                accounted: TaskAccounted {
                    anonymous_bytes: task.memory.map(|memory| memory.anonymous_bytes),
                    file_bytes: task.memory.map(|memory| memory.file_bytes),
                    shared_bytes: task.memory.map(|memory| memory.shared_bytes),
                    page_table_bytes: task.memory.map(|memory| memory.page_table_bytes),
                    kernel_stack_bytes: task.kernel_stack_bytes,
                },
            },
        },
    }
}
