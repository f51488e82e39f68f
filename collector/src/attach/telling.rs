//! Asks the tasks of watched servers what they are.

use super::choice::{Chosen, unasked};
use super::databases::of_kind;
use super::runtimes;
use super::sockets::{counted, open_of_any};
use crate::roles::{self, Roles};
use crate::sample::Sampler;
use crate::snapshot::{Snapshot, TargetKind, Unavailable, connections::Connections};
use anyhow::Result;
use probe_ebpf::{Error, Unsettled, probes::socket_waiters::WaitersBySocket};

/// Knows what the tasks of one server are.
pub trait Telling {
    /// Tasks are asked for anew from now on; with what was seen of those that wait at sockets, where that was asked
    /// for.
    fn begin(&mut self, _waiters: Option<&WaitersBySocket>) {}

    /// The role of a task, by its place among those of the server; `None` while that cannot be told.
    fn role_of(&mut self, task: &Unsettled) -> Option<usize>;
}

/// The roles of a target.
#[must_use]
pub fn roles_of(target: &Chosen) -> &'static Roles {
    let of_database = of_kind(target.kind).map(|database| database.roles);
    let found = of_database.or_else(|| runtimes::roles_of(target));
    found.unwrap_or(&roles::OF_ANY)
}

/// Whether roles that were chosen for a target are right for what it is now: it has these, or no runtime of its own yet,
/// since it is a script still that starts the server.
#[must_use]
pub fn suit(roles: &'static Roles, target: &Chosen) -> bool {
    let now = roles_of(target);
    let is_plain = target.kind == TargetKind::Process && now == &roles::OF_ANY;
    now == roles || is_plain && runtimes::are_of_a_runtime(roles)
}

/// A line for each of these targets, as they are now, of whose tasks more would be told if they were chosen now or by
/// another option: a target may have been a script when the watch began.
#[must_use]
pub fn untold(targets: &[Chosen], sampler: &Sampler) -> Vec<Unavailable> {
    let mut untold = unasked(targets);
    let numbered = targets.iter().enumerate();
    let plain = numbered.filter(|(number, _)| sampler.roles(*number) == &roles::OF_ANY);
    untold.extend(plain.filter_map(|(_, it)| runtimes::came_late(it)));
    untold
}

/// Who the connections of a target are, as a snapshot that was just taken shows it; `None` if it has none since it
/// listens nowhere.
pub fn connections_of(
    target: &Chosen,
    snapshot: &Snapshot,
    waiters: Option<&WaitersBySocket>,
) -> Option<Result<Connections>> {
    let processes = snapshot.processes();
    match of_kind(target.kind) {
        Some(it) => Some((it.connections)(*target.pids.last()?, &processes, waiters)),
        None => open_of_any(&processes)
            .map(|it| it.map(counted))
            .transpose(),
    }
}

/// How many connections it has, likewise.
pub fn open_connections_of(target: &Chosen, snapshot: &Snapshot) -> Option<Result<u64>> {
    match of_kind(target.kind) {
        Some(it) => Some((it.open)(*target.pids.last()?, snapshot)),
        None => open_of_any(&snapshot.processes()).transpose(),
    }
}

fn telling_of(target: &Chosen, roles: &'static Roles) -> Option<Box<dyn Telling>> {
    match of_kind(target.kind) {
        Some(database) => Some((database.telling?)(*target.pids.last()?)),
        None => runtimes::telling_of(roles, &target.pids),
    }
}

/// Asks the tasks of all targets.
pub struct Tellers(Vec<Option<Box<dyn Telling>>>);

impl Tellers {
    /// Of so many targets, none of which has a process yet.
    #[must_use]
    pub fn new(targets: usize) -> Self {
        Self((0..targets).map(|_| None).collect())
    }

    /// The target of that number has these processes from now on; the roles are those that it has in the probes,
    /// whatever a process that has come may look like.
    pub fn follow(&mut self, number: usize, target: &Chosen, roles: &'static Roles) {
        self.0[number] = telling_of(target, roles);
    }

    /// Gives each task that can tell what it is its role: from the next reading on.
    ///
    /// # Errors
    /// If the kernel refuses to be told.
    pub fn tell(&mut self, sampler: &mut Sampler) -> Result<(), Error> {
        let waiters = sampler.socket_waiters();
        let told = self.0.iter_mut().flatten();
        told.for_each(|it| it.begin(waiters.as_ref()));
        sampler.tell(|target, task| self.0[target].as_mut()?.role_of(task))
    }
}
