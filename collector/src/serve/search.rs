//! Looks for targets that are not there, or have other processes than they had.

use super::config::Config;
use super::places::{Place, Places, Planned};
use crate::attach::choice::{Asked, Chosen, Host};
use crate::attach::process;
use crate::attach::telling::{roles_of, suit};
use crate::roles::OF_ANY;
use anyhow::{Error, Result, bail};
use std::collections::HashMap;

/// What is said of a search.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Who is watched from now on, with the pids.
    pub(super) found: Vec<(String, Vec<u32>)>,
    /// Who is not there, and why.
    pub(super) missing: Vec<(String, String)>,
    /// Some have no place that is made for them: the probes have to be loaded anew.
    pub(super) needs_places: bool,
    /// Servers that there is no room for.
    pub(super) left: usize,
}

/// The places that are to be made for what is there now, instead of those that there were before.
pub(super) fn plan(config: &Config, host: &Host<'_>, before: &[Place]) -> Vec<Planned> {
    let mut pids = Vec::new();
    let mut planned = Vec::new();
    for wanted in &config.targets {
        let chosen = chosen(host, &wanted.asked).ok();
        pids.extend(chosen.iter().flat_map(|it| it.pids.clone()));
        planned.push(Planned::wanted(wanted, chosen.as_ref(), before));
    }
    let servers = host.all_databases().into_iter();
    let others = servers.filter(|it| !it.pids.iter().any(|pid| pids.contains(pid)));
    planned.extend(
        others
            .take(config.found_targets)
            .map(|it| Planned::found(&it)),
    );
    planned
}

fn chosen(host: &Host<'_>, asked: &Asked) -> Result<Chosen> {
    match host.choose(asked)?.pop() {
        Some(chosen) => Ok(chosen),
        None => bail!("nothing was asked for"),
    }
}

impl Places {
    /// Whether it is worth to look at all processes of the host.
    pub(super) fn misses_any(&self, config: &Config) -> bool {
        config.found_targets > 0 || self.places.iter().any(Place::misses)
    }

    /// Whether a target has come to have a runtime that names its threads: what starts it may have been a script when
    /// it was found. It is looked at less and less.
    pub(super) fn have_changed(&mut self) -> bool {
        self.rounds.begin();
        let plain = self
            .places
            .iter()
            .filter(|it| it.is_up && it.roles == &OF_ANY);
        let mut plain = plain.filter_map(|it| it.chosen.as_ref());
        plain.any(|chosen| {
            let first = chosen.pids.first().copied();
            self.rounds
                .find(first.unwrap_or_default(), || roles_of(chosen) != &OF_ANY)
        })
    }

    /// Looks for all that is missing; what was found is watched from now on.
    pub(super) fn search(&mut self, config: &Config, host: &Host<'_>) -> Findings {
        let mut findings = Findings::default();
        for number in 0..self.places.len() {
            let place = &self.places[number];
            let Some(wanted) = place.wanted.clone().filter(|_| place.misses()) else {
                continue;
            };
            let was_there = place.is_up || place.chosen.is_some();
            let taken = chosen(host, &wanted.asked).and_then(|it| self.take(number, &it));
            match taken {
                Ok(Taken::NoPlace) => findings.needs_places = true,
                Ok(Taken::Watched(pids)) if !was_there => findings.found.push((wanted.name, pids)),
                // Some of it is still watched.
                Ok(Taken::Watched(_)) => {}
                Err(_) if was_there && self.places[number].is_up => {}
                Err(error) => findings.missing.push((wanted.name, in_a_line(&error))),
            }
        }
        self.take_found(config, host, &mut findings);
        findings
    }

    /// Watches the processes of a target that are not watched yet.
    fn take(&mut self, number: usize, chosen: &Chosen) -> Result<Taken> {
        let is_another = self.places[number].chosen.as_ref() != Some(chosen);
        if is_another && !suit(self.places[number].roles, chosen) {
            return Ok(Taken::NoPlace);
        }
        let new = chosen
            .pids
            .iter()
            .filter(|pid| !self.places[number].has(**pid));
        let (mut added, mut failed) = (Vec::new(), None);
        for pid in new.copied().collect::<Vec<_>>() {
            if let Some(other) = self.watched_as(pid) {
                bail!("pid {pid} is watched as {other} already; leave out one of the two");
            }
            match self.sampler.add(number, pid) {
                Ok(_) => added.push(pid),
                // It was there a moment ago.
                Err(error) => failed = Some(error),
            }
        }
        if let (Some(error), true) = (failed, added.is_empty()) {
            return Err(error.into());
        }
        let place = &mut self.places[number];
        place.processes.extend(&added);
        if is_another {
            self.tellers.follow(number, chosen, place.roles);
            place.follow(Some(chosen.clone()));
        }
        Ok(Taken::Watched(chosen.pids.clone()))
    }

    /// Takes the database servers that no target is.
    fn take_found(&mut self, config: &Config, host: &Host<'_>, findings: &mut Findings) {
        let is_taken = |place: &&Place| place.wanted.is_none() && place.name.is_some();
        let mut taken = self.places.iter().filter(is_taken).count();
        if config.found_targets == 0 {
            return;
        }
        let mut names: HashMap<String, u32> = HashMap::new();
        for chosen in host.all_databases() {
            if chosen
                .pids
                .iter()
                .any(|pid| self.watched_as(*pid).is_some())
            {
                continue;
            }
            if taken == config.found_targets {
                findings.left += 1;
                continue;
            }
            // With another network namespace, another server may have the same port.
            let is_used = |name: &String| {
                names.contains_key(name)
                    || self.places.iter().any(|it| it.name.as_ref() == Some(name))
            };
            let name = match is_used(&chosen.name) {
                true => format!("{} pid {}", chosen.name, chosen.pids[0]),
                false => chosen.name.clone(),
            };
            let is_free = |it: &Place| {
                it.wanted.is_none() && it.name.is_none() && it.roles == roles_of(&chosen)
            };
            let Some(number) = self.places.iter().position(is_free) else {
                findings.needs_places = true;
                continue;
            };
            // It may have ended meanwhile.
            if let Ok(Taken::Watched(pids)) = self.take(number, &chosen) {
                self.places[number].name = Some(name.clone());
                names.insert(name.clone(), chosen.pids[0]);
                findings.found.push((name, pids));
                taken += 1;
            }
        }
    }
}

enum Taken {
    Watched(Vec<u32>),
    /// Its roles are not those of the place.
    NoPlace,
}

impl Place {
    /// Whether a target has not all the processes that it was found by, or may get more by itself.
    fn misses(&self) -> bool {
        let Some(wanted) = &self.wanted else {
            return false;
        };
        let asked = &wanted.asked;
        let may_grow = [&asked.units, &asked.cgroups, &asked.names]
            .into_iter()
            .any(|it| !it.is_empty());
        let is_there = |&pid: &u32| self.has(pid) && process::name_of(pid).is_ok();
        let is_whole = |chosen: &Chosen| chosen.pids.iter().all(is_there);
        may_grow || !self.chosen.as_ref().is_some_and(is_whole)
    }
}

/// The first line of it, without what is for the command line.
fn in_a_line(error: &Error) -> String {
    let why = format!("{error:#}");
    let line = why.lines().next().unwrap_or_default();
    line.trim_start_matches("--").to_owned()
}
