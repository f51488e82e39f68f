//! A watch, with a place for each target. A target that comes back gets its place again, in which the probes go
//! on counting. What roles a place has is settled when the probes are loaded.

use super::config::{Config, Wanted};
use crate::attach::choice::{Asked, Chosen};
use crate::attach::databases::DATABASES;
use crate::attach::rounds::Rounds;
use crate::attach::running::lives_in;
use crate::attach::telling::{Tellers, open_connections_of, roles_of, suit};
use crate::export::metrics::ledger::Seen;
use crate::roles::{OF_ANY, Roles};
use crate::sample::Sampler;
use crate::snapshot::Snapshot;
use anyhow::Result;
use std::collections::HashSet;

/// The probes, and who is watched where.
pub struct Places {
    pub(super) sampler: Sampler,
    /// In the order of the sampler's targets.
    pub(super) places: Vec<Place>,
    pub(super) tellers: Tellers,
    /// Of targets that may come to have other roles.
    pub(super) rounds: Rounds,
    /// What was seen that is of no target.
    pub(super) of_host: Seen,
}

/// Room for one target.
pub struct Place {
    /// What is to be there; none where a server is that was found.
    pub(super) wanted: Option<Wanted>,
    /// The target's label; none of a place that is free.
    pub(super) name: Option<String>,
    pub(super) roles: &'static Roles,
    /// What is there.
    pub(super) chosen: Option<Chosen>,
    /// The unit or the container that it lives in.
    pub(super) lives_in: Option<String>,
    /// The processes that it had when last read.
    pub(super) processes: HashSet<u32>,
    /// Connections that were open when they were counted last, if that can be known.
    pub(super) connections: Option<u64>,
    pub(super) seen: Seen,
    /// It had any when last read.
    pub(super) is_up: bool,
}

/// A place that is to be made.
pub(super) struct Planned {
    pub(super) wanted: Option<Wanted>,
    pub(super) roles: &'static Roles,
}

impl Planned {
    /// For a target of the configuration, which may be there, and may have had a place before.
    pub(super) fn wanted(wanted: &Wanted, chosen: Option<&Chosen>, before: &[Place]) -> Self {
        let is_it = |it: &&Place| it.wanted.as_ref() == Some(wanted);
        let before = before.iter().find(is_it).map(|it| it.roles);
        let roles = match chosen {
            Some(chosen) => before
                .filter(|roles| suit(roles, chosen))
                .unwrap_or_else(|| roles_of(chosen)),
            None => before.unwrap_or_else(|| likely_roles(&wanted.asked)),
        };
        Self {
            wanted: Some(wanted.clone()),
            roles,
        }
    }

    /// For a server that was found.
    pub(super) fn found(chosen: &Chosen) -> Self {
        Self {
            wanted: None,
            roles: roles_of(chosen),
        }
    }
}

/// The roles of what is not there yet, as far as it is known what it will be.
fn likely_roles(asked: &Asked) -> &'static Roles {
    let option = asked.databases.first().map(|(option, _)| *option);
    let database = DATABASES.iter().find(|it| Some(it.option) == option);
    database.map_or(&OF_ANY, |database| database.roles)
}

impl Places {
    /// Loads the probes for these places; nobody is watched yet.
    ///
    /// # Errors
    /// If the kernel refuses them.
    pub(super) fn load(config: &Config, planned: Vec<Planned>) -> Result<Self> {
        let mut roles: Vec<_> = planned.iter().map(|it| it.roles).collect();
        if roles.is_empty() {
            // Without a group there is no map to make.
            roles.push(&OF_ANY);
        }
        let place = |planned: Planned| Place {
            name: planned.wanted.as_ref().map(|wanted| wanted.name.clone()),
            wanted: planned.wanted,
            roles: planned.roles,
            chosen: None,
            lives_in: None,
            processes: HashSet::new(),
            connections: None,
            seen: Seen::default(),
            is_up: false,
        };
        Ok(Self {
            sampler: Sampler::load(&roles, &config.options())?,
            places: planned.into_iter().map(place).collect(),
            tellers: Tellers::new(roles.len()),
            rounds: Rounds::default(),
            of_host: Seen::default(),
        })
    }

    /// Who watches a process already.
    pub(super) fn watched_as(&self, pid: u32) -> Option<&str> {
        let place = self.places.iter().find(|place| place.has(pid))?;
        place.name.as_deref()
    }

    /// Whether tasks of any target tell later what they are.
    pub(super) fn has_tellers(&self) -> bool {
        self.places
            .iter()
            .any(|place| place.is_up && place.roles.told_later)
    }

    /// Counts the connections of targets that are there, as these snapshots of them show it.
    pub(super) fn count(&mut self, snapshots: &[Snapshot]) {
        for (place, snapshot) in self.places.iter_mut().zip(snapshots) {
            let chosen = place.chosen.as_ref();
            let open = chosen.and_then(|it| open_connections_of(it, snapshot));
            place.connections = open.and_then(Result::ok);
        }
    }

    /// Asks the tasks that are new what they are.
    ///
    /// # Errors
    /// If the kernel refuses to be read or told.
    pub(super) fn tell(&mut self) -> Result<()> {
        self.sampler.look()?;
        Ok(self.tellers.tell(&mut self.sampler)?)
    }
}

impl Place {
    pub(super) fn has(&self, pid: u32) -> bool {
        self.processes.contains(&pid)
    }

    /// Takes down who is there; true if it has just gone.
    pub(super) fn update(&mut self, snapshot: &Snapshot) -> bool {
        let tasks = snapshot.roles.iter().flat_map(|role| &role.tasks);
        self.processes = tasks.map(|task| task.pid).collect();
        let was_up = self.is_up;
        self.is_up = !self.processes.is_empty();
        was_up && !self.is_up
    }

    /// The kind of the target, while it is there, as labels have it.
    pub(super) fn kind_name(&self) -> Option<String> {
        let chosen = self.chosen.as_ref().filter(|_| self.is_up)?;
        let name = serde_json::to_value(chosen.kind).ok()?;
        name.as_str().map(str::to_owned)
    }

    /// Somebody else is there, or nobody.
    pub(super) fn follow(&mut self, chosen: Option<Chosen>) {
        let first = chosen.as_ref().and_then(|it| it.pids.first());
        self.lives_in = first.copied().and_then(lives_in);
        self.chosen = chosen;
    }

    /// It has gone; a server that was found leaves its place to another one.
    pub(super) fn clear(&mut self) {
        self.follow(None);
        self.connections = None;
        if self.wanted.is_none() {
            self.name = None;
        }
    }
}
