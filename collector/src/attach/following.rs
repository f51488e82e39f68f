//! Keeps the watch of targets whole while their processes come and go: servers that are restarted, and what
//! joins a unit or a cgroup later.

use super::choice::{Chosen, Since};
use super::login::Logins;
use super::process::name_of;
use super::running::{lives_in, now_after_boot};
use super::telling::{Tellers, connections_of, open_connections_of, roles_of};
use crate::clock::now_ns;
use crate::roles::Roles;
use crate::sample::Sampler;
use crate::snapshot::{Restart, Snapshot, Unavailable, connections::Connections};
use anyhow::Result;
use probe_ebpf::probes::socket_waiters::WaitersBySocket;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::time::ClockId;
use std::collections::HashSet;
use std::fmt;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How often new tasks are asked what they are, and who has gone is looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How often the processes of this host are looked through for those that have joined a unit or a cgroup:
/// that takes some 30 us for each process that there is.
const JOIN: Duration = Duration::from_secs(5);

/// Targets, watched.
pub struct Following {
    targets: Vec<Target>,
    tellers: Tellers,
    logins: Logins,
    looked: Instant,
    joined: Instant,
}

/// One target.
struct Target {
    chosen: Chosen,
    /// A descriptor of each process that was watched first: a pid may come to be another's.
    held: Vec<OwnedFd>,
    lives_in: Option<String>,
    /// When it was found, and seen to be there last.
    since: Since,
    /// When it was seen to have ended.
    gone: Option<Instant>,
}

/// A target at the end of a watch.
pub struct Followed {
    /// It, with all processes that were watched first in it.
    pub chosen: Chosen,
    /// The unit or the container that it lives in.
    pub lives_in: Option<String>,
    /// Why there was nothing to watch in the end, if it may have been there again.
    pub gone: Option<String>,
    /// Who its connections are.
    pub connected: Option<Connections>,
    /// Why that cannot be known, of a target that has connections.
    pub unknown: Option<Unavailable>,
}

/// What became of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// All processes of the target of that number and name have ended.
    Ended(usize, String),
    /// It is there again, as this process.
    Back(usize, String, u32),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(_, name) => write!(f, "{name} has ended; looking for it every second"),
            Self::Back(_, name, pid) => write!(f, "{name} is there again, as process {pid}"),
        }
    }
}

impl Following {
    /// The roles that the sampler is to have groups for, by target.
    #[must_use]
    pub fn roles(targets: &[Chosen]) -> Vec<&'static Roles> {
        targets.iter().map(roles_of).collect()
    }

    /// Begins to watch all of them. Of several processes of one some may have ended by now.
    ///
    /// # Errors
    /// If none of a target's can be watched.
    pub fn begin(targets: Vec<Chosen>, sampler: &mut Sampler, logins: Logins) -> Result<Self> {
        let mut following = Self {
            tellers: Tellers::new(targets.len()),
            targets: Vec::new(),
            logins,
            looked: Instant::now(),
            joined: Instant::now(),
        };
        for (number, chosen) in targets.into_iter().enumerate() {
            let held = chosen.pids.iter().filter_map(|pid| hold(*pid)).collect();
            add(sampler, number, &chosen.pids)?;
            let roles = sampler.roles(number);
            following.tellers.follow(number, &chosen, roles);
            following.targets.push(Target {
                lives_in: chosen.pids.first().copied().and_then(lives_in),
                chosen,
                held,
                since: since_now(),
                gone: None,
            });
        }
        sampler.look()?;
        following.tellers.tell(sampler)?;
        Ok(following)
    }

    /// The targets, each with all processes that were watched first in it.
    pub fn targets(&self) -> impl ExactSizeIterator<Item = &Chosen> {
        self.targets.iter().map(|target| &target.chosen)
    }

    /// Whether every process that was watched first, of every target, has ended.
    #[must_use]
    pub fn all_ended(&self) -> bool {
        self.targets.iter().all(Target::has_ended)
    }

    /// The same of the target of that number.
    #[must_use]
    pub fn has_ended(&self, number: usize) -> bool {
        self.targets[number].has_ended()
    }

    /// Whether some of the targets may be there again after they have ended.
    pub fn may_come_back(&self) -> bool {
        self.targets
            .iter()
            .any(|target| target.chosen.found.may_be_again())
    }

    /// The logins to them.
    #[must_use]
    pub fn logins(&self) -> &Logins {
        &self.logins
    }

    /// Who the connections of the target of that number are, with a snapshot of it that was just taken, and what was seen
    /// of the threads that wait at sockets; `None` if it listens nowhere.
    pub fn connections(
        &mut self,
        number: usize,
        snapshot: &Snapshot,
        waiters: Option<&WaitersBySocket>,
    ) -> Option<Result<Connections>> {
        let targets: Vec<_> = self.targets.iter().map(|target| &target.chosen).collect();
        let mut connections = connections_of(targets[number], snapshot, waiters)?;
        if let Ok(connections) = &mut connections {
            self.logins.join(&targets, number, connections);
        }
        Some(connections)
    }

    /// How many connections it has, likewise; none where that cannot be known.
    #[must_use]
    pub fn open_connections(&self, number: usize, snapshot: &Snapshot) -> Option<u32> {
        let target = &self.targets[number];
        if target.gone.is_some() || self.has_ended(number) {
            return None;
        }
        let open = open_connections_of(&target.chosen, snapshot)?.ok()?;
        u32::try_from(open).ok()
    }

    /// The targets as they are in the end, with a snapshot that was just taken of each; and the logins, of which some
    /// may have failed just now.
    #[must_use]
    pub fn end(
        mut self,
        snapshots: &[Snapshot],
        waiters: Option<&WaitersBySocket>,
    ) -> (Vec<Followed>, Logins) {
        let numbered = snapshots.iter().enumerate();
        let connected: Vec<_> = numbered
            .map(|(number, snapshot)| {
                let is_there = self.targets[number].gone.is_none();
                is_there
                    .then(|| self.connections(number, snapshot, waiters))
                    .flatten()
            })
            .collect();
        let targets = self.targets.into_iter().zip(connected);
        let followed = targets.map(|(target, connected)| target.end(connected.transpose()));
        (followed.collect(), self.logins)
    }

    /// Whether it is time to look again.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.looked.elapsed() >= LOOK
    }

    /// With a snapshot of each target that was just taken: asks new tasks what they are, looks for those that have gone, and takes in those that have
    /// joined.
    ///
    /// # Errors
    /// If the kernel refuses to be read.
    pub fn keep(&mut self, sampler: &mut Sampler, snapshots: &[Snapshot]) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        self.tellers.tell(sampler)?;
        let join = self.joined.elapsed() >= JOIN;
        for (number, snapshot) in snapshots.iter().enumerate() {
            self.keep_one(number, snapshot, join, sampler, &mut events)?;
        }
        if join {
            self.joined = Instant::now();
        }
        self.looked = Instant::now();
        Ok(events)
    }

    fn keep_one(
        &mut self,
        number: usize,
        snapshot: &Snapshot,
        join: bool,
        sampler: &mut Sampler,
        events: &mut Vec<Event>,
    ) -> Result<()> {
        let target = &mut self.targets[number];
        let name = target.chosen.name.clone();
        if !target.chosen.found.may_be_again() {
            return Ok(());
        }
        // Before it is looked whether it has ended.
        let now = now_after_boot();
        target.held.retain(|process| !is_over(process));
        if !target.held.is_empty() {
            target.since.alive = now;
        }
        if !(target.has_ended() || join && target.chosen.found.may_be_joined()) {
            return Ok(());
        }
        let tasks = snapshot.roles.iter().flat_map(|role| &role.tasks);
        let watched: HashSet<u32> = tasks.map(|task| task.pid).collect();
        for pid in target.chosen.found.again(target.since) {
            // What descends from those that were watched first is the target alone once they have ended.
            let is_watched = watched.contains(&pid);
            if is_watched && !target.has_ended() {
                continue;
            }
            let Some(held) = hold(pid) else { continue };
            if !is_watched {
                // It may have ended just now, or descend from one that is watched since the snapshot.
                if sampler.add(number, pid).is_err() {
                    continue;
                }
                target.say_ended(number, events);
            }
            target.held.push(held);
            target.chosen.pids.push(pid);
            let roles = sampler.roles(number);
            self.tellers.follow(number, &target.chosen, roles);
            if target.gone.take().is_some() {
                target.since = since_now();
                target.chosen.restarts.push(Restart {
                    at_ns: now_ns(ClockId::Monotonic),
                    pid,
                });
                events.push(Event::Back(number, name.clone(), pid));
            }
        }
        target.say_ended(number, events);
        Ok(())
    }
}

impl Target {
    fn end(self, connected: Result<Option<Connections>>) -> Followed {
        let unknown = connected.as_ref().err();
        let unknown = unknown.map(|error| unknown_connections(&self.chosen.name, error));
        Followed {
            connected: connected.ok().flatten(),
            unknown,
            gone: self.gone.map(|gone| {
                let ago = gone.elapsed();
                format!("it ended {ago:.1?} before the end, and was not there again")
            }),
            lives_in: self.lives_in,
            chosen: self.chosen,
        }
    }

    fn has_ended(&self) -> bool {
        self.held.iter().all(is_over)
    }

    /// Says so once, if it has.
    fn say_ended(&mut self, number: usize, events: &mut Vec<Event>) {
        if self.gone.is_none() && self.has_ended() {
            self.gone = Some(Instant::now());
            events.push(Event::Ended(number, self.chosen.name.clone()));
        }
    }
}

/// That the connections of the target of that name cannot be told.
#[must_use]
pub fn unknown_connections(target: &str, error: &anyhow::Error) -> Unavailable {
    Unavailable {
        measure: "connected".to_owned(),
        reason: format!("{target}: {error:#}"),
    }
}

/// A descriptor of a process that tells when it has ended; `None` if it has.
fn hold(pid: u32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    pidfd_open(pid, PidfdFlags::NONBLOCK).ok()
}

fn is_over(process: &OwnedFd) -> bool {
    let mut asked = [PollFd::new(process, PollFlags::IN)];
    poll(&mut asked, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

fn add(sampler: &mut Sampler, target: usize, pids: &[u32]) -> Result<()> {
    let mut gone = Vec::new();
    for &pid in pids {
        if let Err(error) = sampler.add(target, pid) {
            // It was there a moment ago; how it has ended says more.
            gone.push(name_of(pid).err().ok_or(error)?);
        }
    }
    match gone.pop() {
        Some(ended) if gone.len() + 1 == pids.len() => Err(ended),
        _ => Ok(()),
    }
}

fn since_now() -> Since {
    let now = now_after_boot();
    Since {
        found: now,
        alive: now,
    }
}
