//! Whom the user wants to watch, among all that runs.

use super::databases::{DATABASES, Database, servers};
use super::process;
use super::running::{self, Running};
use crate::snapshot::TargetKind;
use anyhow::{Result, bail};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

/// What a user has asked for, each as often as they like.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Pids of processes.
    pub pids: Vec<u32>,
    /// An option of [`DATABASES`], and the port, pid, data directory or unit behind it.
    pub databases: Vec<(&'static str, String)>,
    /// TCP ports of servers of any kind.
    pub ports: Vec<u16>,
    /// Names of systemd units.
    pub units: Vec<String>,
    /// Paths of cgroups.
    pub cgroups: Vec<String>,
}

/// Processes that are watched as one, with all that descends from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// What the report calls it.
    pub name: String,
    /// What it is.
    pub kind: TargetKind,
    /// Its processes: one, or the first ones of a unit or a cgroup.
    pub pids: Vec<u32>,
}

/// The targets that were asked for; the one database server that runs here, if nothing was.
///
/// # Errors
/// If something that was asked for is not there, is more than one, or is a part of something else that was.
pub fn choose(asked: &Asked) -> Result<Vec<Chosen>> {
    let mut chosen = Vec::new();
    for &pid in &asked.pids {
        chosen.push(Chosen {
            name: process::name_of(pid)?,
            kind: TargetKind::Process,
            pids: vec![pid],
        });
    }
    let needs_more = chosen.is_empty() || asked.asks_for_more_than_pids();
    let processes = if needs_more {
        running::all()?
    } else {
        Vec::new()
    };
    let servers = servers(&processes);
    for (option, which) in &asked.databases {
        chosen.push(database(option, which, &servers)?);
    }
    for port in &asked.ports {
        chosen.push(at_port(*port, &processes, &servers)?);
    }
    for unit in &asked.units {
        chosen.push(of_unit(unit, &processes)?);
    }
    for cgroup in &asked.cgroups {
        chosen.push(of_cgroup(cgroup, &processes)?);
    }
    if chosen.is_empty() {
        chosen.push(the_only(&servers)?);
    }
    refuse_overlaps(&chosen)?;
    Ok(chosen)
}

impl Asked {
    fn asks_for_more_than_pids(&self) -> bool {
        !(self.databases.is_empty()
            && self.ports.is_empty()
            && self.units.is_empty()
            && self.cgroups.is_empty())
    }
}

type Server<'a> = (&'static Database, &'a Running);

fn the_only(servers: &[Server<'_>]) -> Result<Chosen> {
    match servers {
        [] => {
            let names: Vec<_> = DATABASES.iter().map(|database| database.name).collect();
            bail!(
                "found no database server here ({}); say what to watch with --pid, --port, --unit or --cgroup",
                names.join(", ")
            )
        }
        [server] => Ok(target(server)),
        several => bail!(
            "found {} database servers; say which to watch, one or more of{}",
            several.len(),
            list(several)
        ),
    }
}

/// A line for each, with the option that chooses it.
fn list(servers: &[Server<'_>]) -> String {
    let mut lines = String::new();
    for (database, process) in servers {
        let port = process.ports().first().copied();
        let which = port.map_or(process.pid, u32::from);
        let choice = format!("{} {which}", database.option);
        let mut particulars = vec![database.name.to_owned(), format!("pid {}", process.pid)];
        particulars.extend(process.directory().map(|path| path.display().to_string()));
        particulars.extend(process.unit());
        let _ = write!(lines, "\n  {choice:<18} {}", particulars.join(", "));
    }
    lines
}

fn target((database, process): &Server<'_>) -> Chosen {
    let port = process.ports().first().copied();
    let which = port.map_or_else(
        || format!(" pid {}", process.pid),
        |port| format!(":{port}"),
    );
    Chosen {
        name: format!("{}{which}", database.name),
        kind: database.kind,
        pids: vec![process.pid],
    }
}

/// The server behind `--postgres` and its like.
fn database(option: &str, which: &str, servers: &[Server<'_>]) -> Result<Chosen> {
    let of_option: Vec<Server<'_>> = servers
        .iter()
        .filter(|(database, _)| database.option == option)
        .copied()
        .collect();
    let matching: Vec<Server<'_>> = of_option
        .iter()
        .filter(|(_, process)| is(process, which))
        .copied()
        .collect();
    match matching[..] {
        [server] => Ok(target(&server)),
        [] if of_option.is_empty() => bail!("{option} {which}: no such server runs here"),
        [] => bail!(
            "{option} {which}: no such server runs here; there are{}",
            list(&of_option)
        ),
        // In network namespaces of their own, or a port that is the other's pid.
        _ => bail!(
            "{option} {which}: these are {}; use --pid{}",
            matching.len(),
            list(&matching)
        ),
    }
}

/// Whether a server is meant by a port, a pid, a data directory or a unit.
fn is(process: &Running, which: &str) -> bool {
    if let Ok(number) = which.parse::<u32>() {
        let port = u16::try_from(number).ok();
        return process.pid == number || port.is_some_and(|port| process.ports().contains(&port));
    }
    if which.contains('/') {
        let path = Path::new(which).canonicalize();
        return path.is_ok_and(|path| process.directory() == Some(path));
    }
    process.unit().is_some_and(|unit| unit == full_unit(which))
}

/// systemd takes a name without a suffix for a service.
fn full_unit(name: &str) -> String {
    match name.ends_with(".service") || name.ends_with(".scope") {
        true => name.to_owned(),
        false => format!("{name}.service"),
    }
}

fn at_port(port: u16, processes: &[Running], servers: &[Server<'_>]) -> Result<Chosen> {
    let listening: Vec<&Running> = processes
        .iter()
        .filter(|process| process.ports().contains(&port))
        .collect();
    let first = first_ones(&listening, processes);
    match first[..] {
        [] => {
            bail!("--port {port}: nobody listens there, or only processes that we may not look at")
        }
        [process] => {
            let known = servers.iter().find(|(_, server)| server.pid == process.pid);
            Ok(known.map(target).unwrap_or_else(|| Chosen {
                name: format!("{}:{port}", process.name),
                kind: TargetKind::Process,
                pids: vec![process.pid],
            }))
        }
        _ => {
            let pids: Vec<_> = first.iter().map(|it| it.pid.to_string()).collect();
            bail!(
                "--port {port}: several processes listen there, pids {}; use --pid",
                pids.join(", ")
            )
        }
    }
}

fn of_unit(unit: &str, processes: &[Running]) -> Result<Chosen> {
    let name = full_unit(unit);
    let of_unit = |process: &&Running| process.unit().as_deref() == Some(&name);
    let members: Vec<&Running> = processes.iter().filter(of_unit).collect();
    if members.is_empty() {
        bail!("--unit {unit}: no process runs in {name}; see `systemctl status {name}`");
    }
    Ok(many(name, &members, processes))
}

fn of_cgroup(cgroup: &str, processes: &[Running]) -> Result<Chosen> {
    let path = in_hierarchy(cgroup);
    let members: Vec<&Running> = processes
        .iter()
        .filter(|process| process.is_in_cgroup(&path))
        .collect();
    if members.is_empty() {
        bail!("--cgroup {cgroup}: no process is in that cgroup; name it as /proc/PID/cgroup does");
    }
    Ok(many(path, &members, processes))
}

/// A cgroup's path as `/proc/PID/cgroup` has it, given that or the path of its directory.
fn in_hierarchy(cgroup: &str) -> String {
    let mounted = cgroup.strip_prefix("/sys/fs/cgroup");
    let path = mounted.unwrap_or(cgroup);
    // Of the first hierarchy's version, each controller has a directory of its own there.
    let is_v1 = mounted.is_some() && !Path::new("/sys/fs/cgroup/cgroup.procs").exists();
    let path = match path.trim_matches('/').split_once('/') {
        Some((_, below)) if is_v1 => below,
        None if is_v1 => "",
        _ => path.trim_matches('/'),
    };
    format!("/{path}")
}

fn many(name: String, members: &[&Running], processes: &[Running]) -> Chosen {
    let first = first_ones(members, processes);
    Chosen {
        name,
        kind: TargetKind::Process,
        pids: first.iter().map(|process| process.pid).collect(),
    }
}

/// Those of them that do not descend from another one.
fn first_ones<'a>(some: &[&'a Running], processes: &[Running]) -> Vec<&'a Running> {
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

/// No task can be in two targets.
fn refuse_overlaps(chosen: &[Chosen]) -> Result<()> {
    let all: Vec<u32> = chosen.iter().flat_map(|it| &it.pids).copied().collect();
    for target in chosen {
        for pid in &target.pids {
            if all.iter().filter(|other| *other == pid).count() > 1 {
                bail!(
                    "pid {pid} ({}) is to be watched twice; leave out one of the two",
                    target.name
                );
            }
            let ancestors = process::ancestors(*pid);
            if let Some(ancestor) = ancestors.iter().find(|ancestor| all.contains(ancestor)) {
                bail!(
                    "cannot attach to pid {pid} ({}): it descends from pid {ancestor}, which includes it; leave out one of the two",
                    target.name
                );
            }
        }
    }
    Ok(())
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
        assert_eq!(
            in_hierarchy("/system.slice/redis.service/"),
            "/system.slice/redis.service"
        );
        assert_eq!(in_hierarchy("a/b"), "/a/b");
    }

    #[test]
    fn nothing_to_choose_from_is_said_with_a_remedy() {
        let error = the_only(&[]).expect_err("none").to_string();
        assert!(
            error.starts_with(
                "found no database server here (PostgreSQL, MySQL, MariaDB, Redis, PgBouncer); say"
            ),
            "{error}"
        );
    }
}
