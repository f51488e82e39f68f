//! The connections of a server, and which of its tasks serve them.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::snapshot::connections::Connection;
use crate::snapshot::{Run, Task, Totals};

/// Roles whose tasks serve one connection each. Threads among them may be kept for the next one, so
/// they are no count of connections.
const ROLES: [&str; 2] = ["client", "connection"];
/// Of these, the role of processes, which end with their connection.
const PROCESSES: &str = "client";
/// What servers call a connection that asks for nothing.
const IDLE: [&str; 2] = ["idle", "sleep"];

/// How many connections there were when the window closed, and of how many it is known whose they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connected {
    /// All that clients held open.
    pub open: u64,
    /// Those of which it is known who they are.
    pub named: u64,
    /// The others.
    pub unnamed: u64,
    /// Those whose task did not run at all in the window; none where no task is known to serve one.
    pub idle: Option<u64>,
    /// What told it.
    pub method: String,
}

/// Who the connections are, by the task that serves each.
pub(super) struct Who<'a>(HashMap<(u32, u32), &'a Connection>);

impl<'a> Who<'a> {
    /// Those of a run; nobody where it is not known.
    pub(super) fn of(run: &'a Run) -> Self {
        let named = run.connected.iter().flat_map(|connected| &connected.named);
        Self(named.map(|one| ((one.pid, one.tid), one)).collect())
    }

    /// The connection that a task serves, if that is known.
    pub(super) fn connection(&self, task: &Task) -> Option<&'a Connection> {
        self.0.get(&(task.pid, task.tid)).copied()
    }

    /// Whether a task serves one connection, or did so last.
    pub(super) fn serves(&self, role: &str, task: &Task) -> bool {
        ROLES.contains(&role) && is_whole(role, task) || self.connection(task).is_some()
    }

    /// Whether a task serves one connection now.
    fn serves_now(&self, role: &str, task: &Task) -> bool {
        role == PROCESSES && is_whole(role, task) || self.connection(task).is_some()
    }
}

/// Threads of a process that serves a connection serve none: io_uring has workers there.
fn is_whole(role: &str, task: &Task) -> bool {
    role != PROCESSES || task.pid == task.tid
}

impl Connected {
    /// Those of a run that tells.
    pub(super) fn of(run: &Run) -> Option<Self> {
        let connected = run.connected.as_ref()?;
        Some(Self {
            open: connected.open,
            named: connected.named.len() as u64,
            unnamed: connected.unnamed,
            idle: idle(run),
            method: connected.method.clone(),
        })
    }
}

/// Connections that were open when the window of a run closed, where that is known.
pub(super) fn open(run: &Run) -> Option<u32> {
    u32::try_from(run.connected.as_ref()?.open).ok()
}

/// Connections whose task did nothing in the window, but for those that the server calls busy.
fn idle(run: &Run) -> Option<u64> {
    let who = Who::of(run);
    let at_start: HashMap<(u32, u64), &Totals> = tasks(&run.start.roles)
        .map(|(_, task)| ((task.tid, task.started_ns), &task.totals))
        .collect();
    let serving = tasks(&run.end.roles).filter(|(role, task)| who.serves_now(role, task));
    let serving: Vec<_> = serving.collect();
    let rests = |task: &Task| {
        let before = at_start.get(&(task.tid, task.started_ns));
        // One that has stayed on its CPU all the time has not arrived there anew.
        let did = |totals: &Totals| (totals.arrivals, totals.running_ns);
        let rested = before.is_some_and(|before| did(before) == did(&task.totals));
        let state = who.connection(task).and_then(|one| one.state.as_deref());
        let is_idle = |state: &str| IDLE.iter().any(|idle| state.eq_ignore_ascii_case(idle));
        rested && state.is_none_or(is_idle)
    };
    let resting = serving.iter().filter(|(_, task)| rests(task)).count();
    (!serving.is_empty()).then_some(resting as u64)
}

fn tasks(roles: &[crate::snapshot::Role]) -> impl Iterator<Item = (&str, &Task)> {
    roles.iter().flat_map(|role| {
        let tasks = role.tasks.iter();
        tasks.map(|task| (role.name.as_str(), task))
    })
}

/// `user db peer`, as far as it is known.
pub(super) fn label(connection: &Connection) -> Option<String> {
    let parts = [&connection.user, &connection.database, &connection.peer];
    let parts: Vec<&str> = parts
        .into_iter()
        .filter_map(|part| part.as_deref())
        .collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}
