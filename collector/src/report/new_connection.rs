//! What one more connection costs a server that makes a process or a thread for each: the call that
//! makes it, the time until it runs, the pages copied after a fork, and what it holds.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::calls::CallLatency;
use super::distribution::Distribution;
use super::spread::median;
use super::target::Role;
use crate::snapshot::{OwnProcess, Run, TargetKind, Task};

/// What is made for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Made {
    /// A process, by `fork`.
    Process,
    /// A thread, by `pthread_create`.
    Thread,
}

impl Made {
    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Thread => "thread",
        }
    }
}

/// What connections cost to make, and to have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewConnection {
    /// What is made for each.
    pub made: Made,
    /// The role of the task that makes them.
    pub creator: String,
    /// How many processes or threads it made while it was watched.
    pub created: u64,
    /// Of these, those that turned out to be something else, such as a worker.
    pub of_other_roles: u64,
    /// Of those of other roles, those that helped a connection for a while: PostgreSQL's parallel workers.
    pub helpers: u64,
    /// Of the others, those that ended, or the window did, before they told what they are: of PostgreSQL, parallel
    /// workers among them. 0 where tasks never tell.
    pub unsettled: u64,
    /// All that are not of other roles, a second.
    pub connections_per_second: Option<f64>,
    /// The call, as its caller sees it, without what the probes add; of all that was made.
    pub call: Option<Times>,
    /// From there until it first runs; of all that was made.
    pub first_run: Option<Times>,
    /// Pages copied on write by those that were made, and by connections that were there; none where
    /// faults were not looked at by class, and of threads.
    pub copied_pages: Option<CopiedPages>,
    /// What each connection holds.
    pub memory: ConnectionMemory,
}

/// A time, of which there are samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Times {
    pub count: u64,
    pub mean_seconds: f64,
    pub p50_seconds: Option<f64>,
    pub p99_seconds: Option<f64>,
}

/// Pages copied on write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CopiedPages {
    /// All of them, estimated from windows.
    pub estimated_total: f64,
    /// Lower and upper bound of the 95 % interval.
    pub confidence_95: [f64; 2],
    /// The same for each that was made; none if none was.
    pub per_connection: Option<f64>,
    /// How long windows were open, in seconds.
    pub window_seconds: Option<f64>,
}

/// What one connection holds: medians over those sampled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConnectionMemory {
    /// Processes that were sampled.
    pub sampled: u64,
    /// All that a process holds of its own, in bytes; this and the next none of threads.
    pub own_bytes: Option<f64>,
    /// Of it, page tables.
    pub page_table_bytes: Option<f64>,
    /// The kernel stack of its task.
    pub kernel_stack_bytes: Option<f64>,
    /// What one more connection adds to the whole server, where that was measured.
    pub marginal_bytes: Option<f64>,
}

/// Who makes tasks for connections, and what those are.
pub(super) struct Parts {
    creator: &'static str,
    /// What tasks are that were made for a connection, until they tell what they are and then.
    newborn: &'static [&'static str],
    /// What they are while they serve one.
    pub(super) serving: &'static [&'static str],
    /// What those are that help it, which may end as soon as those that serve one.
    helping: &'static [&'static str],
    made: Made,
}

/// Of PostgreSQL, where all that starts soon serves a client or tells that it does not.
const POSTGRESQL: Parts = Parts {
    creator: "postmaster",
    newborn: &["starting", "client"],
    serving: &["starting", "client"],
    helping: &["parallel_worker"],
    made: Made::Process,
};
/// Of MySQL, whose threads are `other` until they tell what they are; so are some of its own.
const MYSQL: Parts = Parts {
    creator: "main",
    newborn: &["other", "connection"],
    serving: &["connection"],
    helping: &[],
    made: Made::Thread,
};
/// Of one whose tasks do not tell what they are.
const PROCESSES: Parts = Parts {
    creator: "main",
    newborn: &["child"],
    serving: &["child"],
    helping: &[],
    made: Made::Process,
};
const THREADS: Parts = Parts {
    creator: "main",
    newborn: &["thread"],
    serving: &["thread"],
    helping: &[],
    made: Made::Thread,
};

impl Parts {
    /// Those of a target; none of one that makes no task for a connection.
    pub(super) fn of(kind: TargetKind, roles: &[Role]) -> Option<Self> {
        let has = |name: &str| roles.iter().any(|role| role.role == name);
        let created = |figure: fn(&super::creations::Creations) -> u64| {
            let main = roles.iter().find(|role| role.role == "main");
            main.and_then(|role| role.measures.creations.as_ref())
                .map_or(0, figure)
        };
        match kind {
            TargetKind::Reference | TargetKind::Redis | TargetKind::Pgbouncer => None,
            TargetKind::Postgresql if has("client") => Some(POSTGRESQL),
            TargetKind::Postgresql => Some(PROCESSES),
            TargetKind::Mysql | TargetKind::Mariadb if has("connection") => Some(MYSQL),
            TargetKind::Mysql | TargetKind::Mariadb => Some(THREADS),
            TargetKind::Process => {
                match (created(|c| c.process.count), created(|c| c.thread.count)) {
                    (0, 0) => None,
                    (processes, threads) if processes >= threads => Some(PROCESSES),
                    _ => Some(THREADS),
                }
            }
        }
    }
}

impl NewConnection {
    /// What it costs this target, watched in these runs.
    pub(super) fn of(runs: &[&Run], roles: &[Role], marginal: Option<f64>) -> Option<Self> {
        let parts = Parts::of(runs.first()?.kind, roles)?;
        let creator = roles.iter().find(|role| role.role == parts.creator)?;
        let newborn = || {
            let named = |role: &&Role| parts.newborn.contains(&role.role.as_str());
            roles.iter().filter(named)
        };
        let creations = creator.measures.creations.as_ref()?;
        let latency = creations.latency.as_ref();
        let (created, call) = match parts.made {
            Made::Process => (creations.process.count, latency.map(|it| &it.fork)),
            Made::Thread => (creations.thread.count, latency.map(|it| &it.thread)),
        };
        let share = latency.map_or(0.0, |latency| latency.probe_share_seconds);
        let first_runs = newborn().filter_map(|role| {
            let creations = role.measures.creations.as_ref()?;
            creations.first_run.as_ref()
        });
        let others: u64 = runs.iter().map(|run| others(run, &parts)).sum();
        let others = others.min(created);
        let helpers: u64 = runs.iter().map(|run| helpers(run, &parts)).sum();
        let connections = created - others;
        let unsettled: u64 = runs.iter().map(|run| unsettled(run, &parts)).sum();
        let watched = |run: &&Run| (run.end.at_ns - run.before.at_ns) as f64 / 1e9;
        let watched: f64 = runs.iter().map(watched).sum();
        Some(Self {
            made: parts.made,
            creator: parts.creator.to_owned(),
            created,
            of_other_roles: others,
            helpers: helpers.min(others),
            unsettled: unsettled.min(connections),
            connections_per_second: (watched > 0.0).then(|| connections as f64 / watched),
            call: call.and_then(|call| Times::of_calls(call, share)),
            // More of them are those of what others made too.
            first_run: first_runs
                .max_by_key(|first| first.count)
                .filter(|first| first.count <= created)
                .and_then(Times::of),
            copied_pages: match parts.made {
                Made::Process => CopiedPages::of(newborn(), connections),
                Made::Thread => None,
            },
            memory: ConnectionMemory::of(runs, &parts, marginal),
        })
    }

    /// What the calls that make them take of one CPU.
    #[must_use]
    pub fn calls_share_of_a_core(&self) -> Option<f64> {
        Some(self.connections_per_second? * self.call.as_ref()?.mean_seconds)
    }
}

/// Processes or threads made in the run that are neither new nor serve a connection.
fn others(run: &Run, parts: &Parts) -> u64 {
    let known = |name: &str| name == parts.creator || parts.newborn.contains(&name);
    made_in_roles(run, parts, |name| !known(name))
}

/// Those that told that they help a connection.
fn helpers(run: &Run, parts: &Parts) -> u64 {
    made_in_roles(run, parts, |name| parts.helping.contains(&name))
}

/// Those that never told what they are, where tasks tell.
fn unsettled(run: &Run, parts: &Parts) -> u64 {
    match parts.newborn {
        [untold, _, ..] => made_in_roles(run, parts, |name| name == *untold),
        _ => 0,
    }
}

/// Processes or threads made in the run that were of these roles in its end, or in their own.
fn made_in_roles(run: &Run, parts: &Parts, is_one: impl Fn(&str) -> bool) -> u64 {
    // What a server that was started anew had made by the time it was found again was not counted as made.
    let found_ns = run.restarts.iter().map(|restart| restart.at_ns).max();
    let roles = run.end.roles.iter().zip(&run.before.roles);
    let roles = roles.filter(|(role, _)| is_one(&role.name));
    roles
        .map(|(end, before)| {
            let own_one = |task: &&Task| parts.made == Made::Thread || task.pid == task.tid;
            let id = |task: &Task| (task.tid, task.started_ns);
            let was: HashSet<_> = before.tasks.iter().filter(own_one).map(id).collect();
            let is = end.tasks.iter().filter(own_one);
            let is: HashSet<_> = is.map(id).collect();
            let ended = end.ended_tasks.saturating_sub(before.ended_tasks);
            let left = was.difference(&is).count() as u64;
            let seen_made =
                |(_, started_ns): &&(u32, u64)| found_ns.is_none_or(|ns| *started_ns > ns);
            let new = is.difference(&was).filter(seen_made).count() as u64;
            new + ended.saturating_sub(left)
        })
        .sum()
}

impl Times {
    fn of(samples: &Distribution) -> Option<Self> {
        (samples.count > 0).then(|| Self {
            count: samples.count,
            mean_seconds: samples.sum_seconds / samples.count as f64,
            p50_seconds: samples.p50_seconds,
            p99_seconds: samples.p99_seconds,
        })
    }

    fn of_calls(call: &CallLatency, probe_share_seconds: f64) -> Option<Self> {
        let raw = Self::of(&call.distribution)?;
        Some(Self {
            mean_seconds: (raw.mean_seconds - probe_share_seconds).max(0.0),
            p50_seconds: call.corrected_p50_seconds,
            p99_seconds: call.corrected_p99_seconds,
            ..raw
        })
    }
}

impl CopiedPages {
    /// Of these roles, by so many connections. Of a role that no window showed, the share of the others
    /// is the best guess.
    fn of<'a>(roles: impl Iterator<Item = &'a Role>, connections: u64) -> Option<Self> {
        let (mut known, mut of, mut unknown) = (0.0, 0.0, 0.0);
        let (mut bounds, mut window_seconds) = ([0.0, 0.0], None);
        for role in roles {
            let faults = role.measures.faults.as_ref()?;
            let class = faults.by_class.as_ref()?.get("cow_copy");
            let all = (faults.minor + faults.major) as f64;
            match class.and_then(|class| class.estimated_total) {
                Some(total) => {
                    known += total;
                    of += all;
                }
                None => unknown += all,
            }
            let [lower, upper] = class.map_or([0.0, all], |class| class.confidence_95);
            bounds = [bounds[0] + lower, bounds[1] + upper];
            window_seconds = faults.window_seconds;
        }
        let guess = match (unknown > 0.0, of > 0.0) {
            (false, _) => 0.0,
            (true, true) => unknown * known / of,
            (true, false) => return None,
        };
        let estimated_total = known + guess;
        Some(Self {
            estimated_total,
            confidence_95: bounds,
            per_connection: (connections > 0).then(|| estimated_total / connections as f64),
            window_seconds,
        })
    }
}

impl ConnectionMemory {
    fn of(runs: &[&Run], parts: &Parts, marginal_bytes: Option<f64>) -> Self {
        // What has just begun does not hold yet what a connection does.
        let serving = parts.serving.last().copied().unwrap_or_default();
        let own = runs.iter().filter_map(|run| run.own.as_ref());
        let roles = own.flat_map(|own| &own.roles);
        let sampled = roles.filter(|role| role.name == serving);
        let sampled: Vec<&OwnProcess> = sampled.flat_map(|role| &role.sampled).collect();
        let middle = |figure: fn(&OwnProcess) -> u64| {
            let values: Vec<f64> = sampled.iter().map(|it| figure(it) as f64).collect();
            median(&values)
        };
        let roles = runs.iter().flat_map(|run| &run.end.roles);
        let tasks = roles.filter(|role| role.name == serving);
        let stacks = tasks.flat_map(|role| &role.tasks);
        let stacks: Vec<f64> = stacks.map(|task| task.kernel_stack_bytes as f64).collect();
        Self {
            sampled: sampled.len() as u64,
            own_bytes: middle(OwnProcess::bytes),
            page_table_bytes: middle(|process| process.page_table_bytes),
            kernel_stack_bytes: median(&stacks),
            marginal_bytes,
        }
    }
}
