//! Whom the user wants to watch, among all that runs.

mod host;
mod identity;
mod plain;

use super::{process, running, running::Running};
use crate::snapshot::{Restart, TargetKind};
use anyhow::{Result, bail};
pub use host::Host;
pub use identity::{Identity, Since};
pub use plain::unasked;
use std::collections::BTreeSet;

/// What a user has asked for, each as often as they like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Pids of processes.
    pub pids: Vec<u32>,
    /// An option of [`DATABASES`](super::databases::DATABASES), and the port, pid, data directory or unit behind it.
    pub databases: Vec<(&'static str, String)>,
    /// TCP ports of servers of any kind.
    pub ports: Vec<u16>,
    /// Names of systemd units.
    pub units: Vec<String>,
    /// Paths of cgroups.
    pub cgroups: Vec<String>,
    /// Names of processes, or of their programs.
    pub names: Vec<String>,
}

/// Processes that are watched as one, with all that descends from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// What the report calls it.
    pub name: String,
    /// What it is.
    pub kind: TargetKind,
    /// Its processes: one, or the first ones of a unit or a cgroup; and those that were found later.
    pub pids: Vec<u32>,
    /// How it was found.
    pub found: Found,
    /// When it was there again after all of these had ended.
    pub restarts: Vec<Restart>,
}

/// How a target was found, and may be found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// By its pid, which is nobody else's.
    Pid,
    /// Among the database servers.
    Server {
        /// The option that chooses its like.
        option: &'static str,
        /// What tells it from these.
        identity: Identity,
    },
    /// By where it listens.
    Port(Identity),
    /// By the name of its unit.
    Unit(String),
    /// By the path of its cgroup.
    Cgroup(String),
    /// By the name of its processes, or of their program.
    Name(String),
}

impl Found {
    /// Whether it can be there again after it has ended.
    #[must_use]
    pub fn may_be_again(&self) -> bool {
        *self != Self::Pid
    }

    /// Whether processes can join it that none of its own has started.
    #[must_use]
    pub fn may_be_joined(&self) -> bool {
        matches!(self, Self::Unit(_) | Self::Cgroup(_) | Self::Name(_))
    }

    /// Its processes as they are now; none if it is not there, or cannot be told from others.
    #[must_use]
    pub fn again(&self, since: Since) -> Vec<u32> {
        let processes = running::all().unwrap_or_default();
        let host = Host::new(&processes);
        let found = match self {
            Self::Pid => return Vec::new(),
            Self::Server { option, identity } => {
                return host.server_again(option, identity, since);
            }
            Self::Port(identity) => return host.listener_again(identity, since),
            Self::Unit(unit) => host.of_unit(unit),
            Self::Cgroup(cgroup) => host.of_cgroup(cgroup),
            Self::Name(name) => host.named(name),
        };
        found.map(|found| found.pids).unwrap_or_default()
    }
}

/// The targets that were asked for; the one database server that runs here, if nothing was.
///
/// # Errors
/// If something that was asked for is not there, is more than one, or is a part of something else that was.
pub fn choose(asked: &Asked) -> Result<Vec<Chosen>> {
    let needs_more = asked.pids.is_empty() || asked.asks_for_more_than_pids();
    let processes = if needs_more {
        running::all()?
    } else {
        Vec::new()
    };
    let host = Host::new(&processes);
    let mut chosen = host.choose(asked)?;
    if chosen.is_empty() {
        chosen.push(host.the_only()?);
    }
    refuse_overlaps(&chosen)?;
    Ok(chosen)
}

impl Host<'_> {
    /// What of this was asked for, whether or not parts of it overlap.
    ///
    /// # Errors
    /// If something is not there, or is more than one.
    pub fn choose(&self, asked: &Asked) -> Result<Vec<Chosen>> {
        let mut chosen = Vec::new();
        for &pid in &asked.pids {
            chosen.push(Chosen {
                name: process::name_of(pid)?,
                kind: TargetKind::Process,
                pids: vec![pid],
                found: Found::Pid,
                restarts: Vec::new(),
            });
        }
        for (option, which) in &asked.databases {
            chosen.push(self.database(option, which)?);
        }
        for port in &asked.ports {
            chosen.push(self.at_port(*port)?);
        }
        for unit in &asked.units {
            chosen.push(self.of_unit(unit)?);
        }
        for cgroup in &asked.cgroups {
            chosen.push(self.of_cgroup(cgroup)?);
        }
        for name in &asked.names {
            chosen.push(self.named(name)?);
        }
        Ok(chosen)
    }

    /// All processes of that name, or of a program with that file name.
    fn named(&self, name: &str) -> Result<Chosen> {
        let is_it = |it: &&Running| it.name == name || it.program.as_deref() == Some(name);
        let members: Vec<_> = self.processes().iter().filter(is_it).collect();
        if members.is_empty() {
            bail!("--name {name}: no process or program is called so");
        }
        let found = Found::Name(name.to_owned());
        Ok(self.many(name.to_owned(), &members, found))
    }
}

impl Asked {
    fn asks_for_more_than_pids(&self) -> bool {
        !(self.databases.is_empty()
            && self.ports.is_empty()
            && self.units.is_empty()
            && self.cgroups.is_empty()
            && self.names.is_empty())
    }
}

/// No task can be in two targets.
fn refuse_overlaps(chosen: &[Chosen]) -> Result<()> {
    for (place, target) in chosen.iter().enumerate() {
        let others = chosen
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != place);
        let others: BTreeSet<u32> = others.flat_map(|(_, it)| &it.pids).copied().collect();
        for pid in &target.pids {
            if others.contains(pid) {
                bail!(
                    "pid {pid} ({}) is to be watched twice; leave out one of the two",
                    target.name
                );
            }
            let ancestors = process::ancestors(*pid);
            if let Some(ancestor) = ancestors.iter().find(|ancestor| others.contains(ancestor)) {
                bail!(
                    "cannot attach to pid {pid} ({}): it descends from pid {ancestor}, which includes it; leave out one of the two",
                    target.name
                );
            }
        }
    }
    Ok(())
}
