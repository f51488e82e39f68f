//! The costliest connections of a target, or where those are no tasks its busiest tasks, one by one.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::connections::{Who, label};
use super::error::Problem;
use super::measures::{Basis, ContextSwitches, Cpu, OfTotals, TimeInState};
use super::window::totals_between;
use crate::snapshot::{Run, Task, Totals};

/// More would make a report of a server with 10,000 threads as long as the server is busy.
const TASKS_MAX: usize = 10;

/// One task and what it did in the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskDetail {
    /// Process id, in connscope's own PID namespace.
    pub pid: u32,
    /// Thread id, likewise.
    pub tid: u32,
    /// Its role in the target.
    pub role: String,
    /// User, database and peer of the connection that it serves, else its `comm`.
    pub label: String,
    /// Whether it was first seen after the window opened.
    pub new: bool,
    /// As whom the client came. This and the next: of the connection it serves, when the window closed;
    /// none where that is not known.
    pub user: Option<String>,
    /// Which database it uses.
    pub database: Option<String>,
    /// From where it came.
    pub peer: Option<String>,
    /// What it does, in the words of the server.
    pub state: Option<String>,
    /// What it waits for, likewise.
    pub wait: Option<String>,
    /// What that is more closely, likewise; by a login alone.
    pub wait_event: Option<String>,
    /// What the client calls itself.
    pub application: Option<String>,
    /// The server's id of the query.
    pub query_id: Option<i64>,
    /// What it did.
    pub measures: TaskMeasures,
}

/// What one task did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskMeasures {
    /// How often it left a CPU.
    pub context_switches: Option<ContextSwitches>,
    /// Where its time went.
    pub time_in_state: Option<TimeInState>,
    /// Time waiting for a CPU, by that and the time on one; none where it wanted none.
    pub run_queue_wait_share: Option<f64>,
    /// Its CPU time.
    pub cpu: Option<Cpu>,
    /// Its memory; of an address space in the account of one task alone.
    pub memory: TaskMemory,
}

/// Memory of one task, in bytes; that of its address space is listed with one of its threads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TaskMemory {
    pub accounted: TaskAccounted,
    /// What its process holds of its own, if that was sampled.
    pub own_bytes: Option<u64>,
}

/// See [`TaskMemory`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// The tasks living at the end with most CPU time within the window, busiest first: those that serve one
/// connection each, where there are such. Servers of ours have none: their connections are all alike.
pub(super) fn busiest(run: &Run, basis: &Basis<'_>) -> Result<Vec<TaskDetail>, Problem> {
    if !run.kind.ran_already() {
        return Ok(Vec::new());
    }
    let mut tasks = tasks_of(run)?;
    let who = Who::of(run);
    let serves = |worked: &TaskWindow<'_>| who.serves(worked.role, worked.task);
    if tasks.iter().any(serves) {
        tasks.retain(serves);
    }
    tasks.sort_by_key(|worked| (Reverse(worked.did.cpu_ns), worked.task.tid));
    tasks.truncate(TASKS_MAX);
    let detail = |worked: &TaskWindow<'_>| detail(worked, run, &who, basis);
    Ok(tasks.iter().map(detail).collect())
}

fn detail(worked: &TaskWindow<'_>, run: &Run, who: &Who<'_>, basis: &Basis<'_>) -> TaskDetail {
    let task = worked.task;
    let named = who.connection(task).cloned();
    let label = named.as_ref().and_then(label);
    let connection = named.unwrap_or_default();
    TaskDetail {
        pid: task.pid,
        tid: task.tid,
        role: worked.role.to_owned(),
        label: label.unwrap_or_else(|| task.comm.to_string()),
        new: worked.new,
        user: connection.user,
        database: connection.database,
        peer: connection.peer,
        state: connection.state,
        wait: connection.wait,
        wait_event: connection.wait_event,
        application: connection.application,
        query_id: connection.query_id,
        measures: measures(worked, run, basis),
    }
}

fn measures(worked: &TaskWindow<'_>, run: &Run, basis: &Basis<'_>) -> TaskMeasures {
    let OfTotals {
        context_switches,
        time_in_state,
        cpu,
    } = basis.of_totals(&worked.did);
    let task = worked.task;
    let own = run.own.iter().flat_map(|own| &own.roles);
    let mut own = own.flat_map(|role| &role.sampled);
    let own = own.find(|process| process.pid == task.pid);
    TaskMeasures {
        context_switches,
        run_queue_wait_share: time_in_state.as_ref().and_then(TimeInState::waiting_share),
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
            own_bytes: own.map(crate::snapshot::OwnProcess::bytes),
        },
    }
}
