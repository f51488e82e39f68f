//! What runs on this host, and what of it is meant by a port, a pid, a data directory, a unit or a cgroup.

use super::{Chosen, Found, Identity};
use crate::attach::databases::{DATABASES, Database, servers};
use crate::attach::running::{Ports, Running};
use crate::snapshot::TargetKind;
use anyhow::{Result, bail};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

pub(super) type Server<'a> = (&'static Database, &'a Running);

/// All that there is to choose from.
pub struct Host<'a> {
    processes: &'a [Running],
    servers: Vec<Server<'a>>,
    pub(super) ports: Ports,
}

impl<'a> Host<'a> {
    /// A host with these processes.
    #[must_use]
    pub fn new(processes: &'a [Running]) -> Self {
        Self {
            processes,
            servers: servers(processes),
            ports: Ports::default(),
        }
    }

    /// All of them.
    pub(super) fn processes(&self) -> &'a [Running] {
        self.processes
    }

    /// The database servers among them.
    pub(super) fn servers(&self) -> &[Server<'a>] {
        &self.servers
    }

    /// All database servers that run here.
    #[must_use]
    pub fn all_databases(&self) -> Vec<Chosen> {
        let servers = self.servers.iter();
        servers.map(|server| self.target(server)).collect()
    }

    /// The one database server that runs here.
    pub(super) fn the_only(&self) -> Result<Chosen> {
        match &self.servers[..] {
            [] => {
                let names: Vec<_> = DATABASES.iter().map(|database| database.name).collect();
                bail!(
                    "found no database server here ({}); say what to watch with --pid, --port, --unit or --cgroup",
                    names.join(", ")
                )
            }
            [server] => Ok(self.target(server)),
            several => bail!(
                "found {} database servers; say which to watch, one or more of{}",
                several.len(),
                self.list(several)
            ),
        }
    }

    /// A line for each, with the option that chooses it.
    fn list(&self, some: &[Server<'_>]) -> String {
        let mut lines = String::new();
        for server @ (database, process) in some {
            // In network namespaces of their own, several may have the same one.
            let port = self.ports.of(process).first().copied();
            let port =
                port.filter(|port| self.matching(database.option, &port.to_string()).len() == 1);
            let which = port.map_or(process.pid, u32::from);
            let choice = format!("{} {which}", database.option);
            let mut particulars = vec![self.target(server).name, format!("pid {}", process.pid)];
            particulars.extend(process.directory().map(|path| path.display().to_string()));
            particulars.extend(process.unit());
            let _ = write!(lines, "\n  {choice:<18} {}", particulars.join(", "));
        }
        lines
    }

    fn target(&self, (database, process): &Server<'_>) -> Chosen {
        let port = self.ports.of(process).first().copied();
        let which = port.map_or_else(
            || format!(" pid {}", process.pid),
            |port| format!(":{port}"),
        );
        Chosen {
            name: format!("{}{which}", database.name),
            kind: database.kind,
            pids: vec![process.pid],
            found: Found::Server {
                option: database.option,
                identity: Identity::of(process, port),
            },
            restarts: Vec::new(),
        }
    }

    /// The server behind `--postgres` and its like.
    pub(super) fn database(&self, option: &str, which: &str) -> Result<Chosen> {
        let of_option = self.servers.iter().filter(|(it, _)| it.option == option);
        let of_option: Vec<Server<'_>> = of_option.copied().collect();
        let matching = self.matching(option, which);
        match &matching[..] {
            [server] => Ok(self.target(server)),
            [] if of_option.is_empty() => bail!("{option} {which}: no such server runs here"),
            [] if of_option.iter().any(|(_, process)| process.is_hidden()) => bail!(
                "{option} {which}: only root, or who has CAP_SYS_PTRACE, may see where servers of other users listen and work; use sudo, or one of{}",
                self.list(&of_option)
            ),
            [] => bail!(
                "{option} {which}: no such server runs here; there are{}",
                self.list(&of_option)
            ),
            // In network namespaces of their own, or a port that is the other's pid.
            several => bail!(
                "{option} {which}: these are {}; say which with {option} PID{}",
                several.len(),
                self.list(several)
            ),
        }
    }

    /// The servers of that option that are meant by a port, a pid, a data directory or a unit.
    fn matching(&self, option: &str, which: &str) -> Vec<Server<'_>> {
        let is_meant = |process: &Running| {
            if let Ok(number) = which.parse::<u32>() {
                let port = u16::try_from(number).ok();
                process.pid == number
                    || port.is_some_and(|port| self.ports.of(process).contains(&port))
            } else if which.contains('/') {
                process.works_in(Path::new(which))
            } else {
                process.cgroup_of_unit(&full_unit(which)).is_some()
            }
        };
        let servers = self.servers.iter();
        let meant =
            servers.filter(|(database, process)| database.option == option && is_meant(process));
        meant.copied().collect()
    }

    /// Whoever listens at a port.
    pub(super) fn at_port(&self, port: u16) -> Result<Chosen> {
        let listening = self
            .processes
            .iter()
            .filter(|it| self.ports.of(it).contains(&port));
        let (starters, listening): (Vec<&Running>, Vec<&Running>) =
            listening.partition(|process| starts_others(process));
        let first = first_ones(&listening, self.processes);
        match first[..] {
            [] if !starters.is_empty() => {
                bail!(
                    "--port {port}: only systemd listens there; the service behind it does not run yet"
                )
            }
            [] if self.processes.iter().any(Running::is_hidden) => bail!(
                "--port {port}: nobody is seen to listen there; only root, or who has CAP_SYS_PTRACE, sees the sockets of other users; use sudo"
            ),
            [] => bail!("--port {port}: nobody listens there"),
            [process] => {
                let known = self
                    .servers
                    .iter()
                    .find(|(_, server)| server.pid == process.pid);
                Ok(known
                    .map(|server| self.target(server))
                    .unwrap_or_else(|| Chosen {
                        name: format!("{}:{port}", process.name),
                        kind: TargetKind::Process,
                        pids: vec![process.pid],
                        found: Found::Port(Identity::of(process, Some(port))),
                        restarts: Vec::new(),
                    }))
            }
            _ => {
                let each = first.iter().map(|process| {
                    let mut servers = self.servers.iter();
                    let known = servers.find(|(_, server)| server.pid == process.pid);
                    let option = known.map_or("--pid", |(database, _)| database.option);
                    format!("{option} {} ({})", process.pid, process.name)
                });
                let each: Vec<_> = each.collect();
                bail!(
                    "--port {port}: several processes listen there; say which with {}",
                    each.join(" or ")
                )
            }
        }
    }

    /// All of a systemd unit.
    pub(super) fn of_unit(&self, unit: &str) -> Result<Chosen> {
        let name = full_unit(unit);
        let mut members = Vec::new();
        let mut cgroups = BTreeSet::new();
        for process in self.processes {
            if let Some(cgroup) = process.cgroup_of_unit(&name) {
                members.push(process);
                cgroups.insert(cgroup);
            }
        }
        if cgroups.len() > 1 {
            let cgroups: Vec<_> = cgroups.into_iter().collect();
            bail!(
                "--unit {unit}: several systemds have {name}; say which with --cgroup {}",
                cgroups.join(" or --cgroup ")
            );
        }
        if members.is_empty() {
            let template = format!("{}@", name.trim_end_matches(".service"));
            let units = self.processes.iter().filter_map(Running::unit);
            let instances: BTreeSet<_> = units.filter(|it| it.starts_with(&template)).collect();
            let instances: Vec<_> = instances.into_iter().collect();
            match instances.is_empty() {
                true => bail!("--unit {unit}: no process runs in {name}"),
                false => bail!(
                    "--unit {unit}: no process runs in {name} itself; there are {}",
                    instances.join(", ")
                ),
            }
        }
        let found = Found::Unit(unit.to_owned());
        Ok(self.many(name, &members, found))
    }

    /// All of a cgroup, and of those below it.
    pub(super) fn of_cgroup(&self, cgroup: &str) -> Result<Chosen> {
        let is_v1 = !Path::new("/sys/fs/cgroup/cgroup.procs").exists();
        let (controller, path) = in_hierarchy(cgroup, is_v1);
        let members = self.processes.iter();
        let members: Vec<&Running> = members
            .filter(|process| process.is_in_cgroup(controller, &path))
            .collect();
        if members.is_empty() {
            bail!(
                "--cgroup {cgroup}: no process is in that cgroup; name it as /proc/PID/cgroup does"
            );
        }
        let found = Found::Cgroup(cgroup.to_owned());
        Ok(self.many(path, &members, found))
    }

    /// Several processes as one target, and what descends from them.
    pub(super) fn many(&self, name: String, members: &[&Running], found: Found) -> Chosen {
        let first = first_ones(members, self.processes);
        Chosen {
            name,
            kind: TargetKind::Process,
            pids: first.iter().map(|process| process.pid).collect(),
            found,
            restarts: Vec::new(),
        }
    }
}

/// systemd holds the sockets of services that it starts when somebody comes.
pub(super) fn starts_others(process: &Running) -> bool {
    process.pid == 1 || process.name == "systemd"
}

/// systemd takes a name without a suffix for a service.
fn full_unit(name: &str) -> String {
    match name.ends_with(".service") || name.ends_with(".scope") {
        true => name.to_owned(),
        false => format!("{name}.service"),
    }
}

/// A cgroup's path as `/proc/PID/cgroup` has it, and the controller whose hierarchy it is in, given that
/// path or the one of its directory. Of the first version, each hierarchy has a directory of its own.
fn in_hierarchy(cgroup: &str, is_v1: bool) -> (Option<&str>, String) {
    let Some(mounted) = cgroup.strip_prefix("/sys/fs/cgroup") else {
        return (None, format!("/{}", cgroup.trim_matches('/')));
    };
    let mounted = mounted.trim_matches('/');
    if !is_v1 {
        return (None, format!("/{mounted}"));
    }
    let (controller, path) = mounted.split_once('/').unwrap_or((mounted, ""));
    (Some(controller), format!("/{path}"))
}

/// Those of them that do not descend from another one.
pub(super) fn first_ones<'a>(some: &[&'a Running], processes: &[Running]) -> Vec<&'a Running> {
    let pids: BTreeSet<u32> = some.iter().map(|process| process.pid).collect();
    let parent_of = |pid: u32| {
        let process = processes.iter().find(|process| process.pid == pid)?;
        Some(process.parent).filter(|parent| *parent > 0)
    };
    let descends = |process: &Running| {
        std::iter::successors(parent_of(process.pid), |pid| parent_of(*pid))
            .any(|ancestor| pids.contains(&ancestor))
    };
    let first = some.iter().filter(|process| !descends(process));
    first.copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, parent: u32) -> Running {
        Running {
            pid,
            parent,
            name: format!("p{pid}"),
            program: None,
        }
    }

    #[test]
    fn the_first_ones_stand_for_all_that_descend_from_them() {
        let processes: Vec<_> = [(1, 0), (2, 1), (3, 2), (4, 3), (5, 1), (6, 5)]
            .map(|(pid, parent)| process(pid, parent))
            .into();
        let first = |pids: &[u32]| {
            let some: Vec<&Running> = processes
                .iter()
                .filter(|process| pids.contains(&process.pid))
                .collect();
            let first = first_ones(&some, &processes);
            first.iter().map(|process| process.pid).collect::<Vec<_>>()
        };
        assert_eq!(first(&[2, 3, 4]), [2]);
        // With one between them that is not meant.
        assert_eq!(first(&[2, 4, 6]), [2, 6]);
        assert_eq!(first(&[3, 5, 6]), [3, 5]);
    }

    #[test]
    fn units_and_cgroups_by_the_names_that_people_have_for_them() {
        assert_eq!(full_unit("redis"), "redis.service");
        assert_eq!(
            full_unit("postgresql@15-main.service"),
            "postgresql@15-main.service"
        );
        for is_v1 in [false, true] {
            let path = in_hierarchy("/system.slice/redis.service/", is_v1);
            assert_eq!(path, (None, "/system.slice/redis.service".to_owned()));
        }
        let path = in_hierarchy("/sys/fs/cgroup/a/b", false);
        assert_eq!(path, (None, "/a/b".to_owned()));
        let path = in_hierarchy("/sys/fs/cgroup/cpu,cpuacct/b", true);
        assert_eq!(path, (Some("cpu,cpuacct"), "/b".to_owned()));
    }
}
