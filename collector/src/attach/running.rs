//! The processes of this host, as far as they tell whose they are.

use super::process::has_ended;
use super::sockets::listening_ports;
use anyhow::{Context as _, Result};
use procfs::ProcessCGroup;
use procfs::process::{FDInfo, FDTarget, Process, all_processes};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its pid.
    pub pid: u32,
    /// The pid of its parent.
    pub parent: u32,
    /// The name of its main thread, 15 bytes at most.
    pub name: String,
    /// The file name of its program; `None` where we may not know it.
    pub program: Option<String>,
}

/// All that run now.
///
/// # Errors
/// If `/proc` cannot be read. Processes that end meanwhile are left out.
pub fn all() -> Result<Vec<Running>> {
    let processes = all_processes().context("cannot list the processes in /proc")?;
    let running = processes.filter_map(|process| {
        let process = process.ok()?;
        let stat = process.stat().ok()?;
        if has_ended(stat.state == 'Z', stat.num_threads.unsigned_abs()) {
            return None;
        }
        // Of a program that was replaced by a newer one, the kernel says that it is deleted.
        let program = process.exe().ok().and_then(|path| {
            let name = path.file_name()?.to_string_lossy().into_owned();
            Some(name.trim_end_matches(" (deleted)").to_owned())
        });
        Some(Running {
            pid: stat.pid.try_into().ok()?,
            parent: stat.ppid.try_into().unwrap_or(0),
            name: stat.comm,
            program,
        })
    });
    Ok(running.collect())
}

impl Running {
    /// Whether we may not know what it has open, and so where it listens.
    pub fn is_hidden(&self) -> bool {
        self.process().is_ok_and(|process| process.fd().is_err())
    }

    /// Where it works, which for a database is its data directory, by the name that it has for it; `None`
    /// where we may not know.
    pub fn directory(&self) -> Option<PathBuf> {
        self.process().ok()?.cwd().ok()
    }

    /// Whether it works there, whatever its file system calls that place.
    pub fn works_in(&self, path: &Path) -> bool {
        match fs::metadata(path) {
            Ok(there) => fs::metadata(format!("/proc/{}/cwd", self.pid))
                .is_ok_and(|own| (own.dev(), own.ino()) == (there.dev(), there.ino())),
            Err(_) => self.directory().is_some_and(|own| own == path),
        }
    }

    /// When it was started, in seconds since boot: up to a tick of the kernel's later, since it says whole ones.
    pub fn started_after_boot(&self) -> Option<f64> {
        let stat = self.process().ok()?.stat().ok()?;
        Some((stat.starttime + 1) as f64 / procfs::ticks_per_second() as f64)
    }

    /// The innermost systemd unit that it belongs to.
    pub fn unit(&self) -> Option<String> {
        let cgroups = self.cgroups();
        cgroups.iter().find_map(|cgroup| unit_of(&cgroup.pathname))
    }

    /// The cgroup of the systemd unit of that name, if it is in that unit.
    pub fn cgroup_of_unit(&self, unit: &str) -> Option<String> {
        let cgroups = self.cgroups();
        let found = |cgroup: &ProcessCGroup| up_to(&cgroup.pathname, unit);
        cgroups.iter().find_map(found)
    }

    /// Whether it is in that cgroup, or below it: of that controller's hierarchy, or of any.
    pub fn is_in_cgroup(&self, controller: Option<&str>, path: &str) -> bool {
        self.cgroups().iter().any(|own| {
            let below = own.pathname.strip_prefix(path.trim_end_matches('/'));
            let is_below = below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            is_below && controller.is_none_or(|controller| has(own, controller))
        })
    }

    fn cgroups(&self) -> Vec<ProcessCGroup> {
        self.process()
            .map(|process| cgroups_of(&process))
            .unwrap_or_default()
    }

    fn process(&self) -> procfs::ProcResult<Process> {
        Process::new(self.pid as i32)
    }
}

/// Seconds since boot, suspended or not, as [`Running::started_after_boot`] has them.
#[must_use]
pub fn now_after_boot() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// The network namespace of a process, as the kernel names it; `None` where we may not know.
pub(super) fn network_of(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/net")).ok()
}

/// What a process lives in, by its cgroup: the innermost systemd unit, which a container has too where systemd runs
/// it; else the last part of the path, which is the container's name or id; `None` at the root.
#[must_use]
pub fn lives_in(pid: u32) -> Option<String> {
    let process = Process::new(pid as i32).ok()?;
    let cgroups = cgroups_of(&process);
    let units = cgroups
        .iter()
        .filter_map(|cgroup| unit_of(&cgroup.pathname));
    let parts = cgroups.iter().filter_map(|cgroup| {
        let last = cgroup.pathname.rsplit('/').next()?;
        (!last.is_empty()).then(|| last.to_owned())
    });
    units.chain(parts).next()
}

/// The cgroups of a process, one in each hierarchy; first that which systemd puts its units in.
fn cgroups_of(process: &Process) -> Vec<ProcessCGroup> {
    let cgroups = process.cgroups().map(|cgroups| cgroups.0);
    let mut cgroups = cgroups.unwrap_or_default();
    cgroups.sort_by_key(|cgroup| !(has(cgroup, "systemd") || has(cgroup, "unified")));
    cgroups
}

/// Whether a cgroup is of the hierarchy with that directory in `/sys/fs/cgroup`.
fn has(cgroup: &ProcessCGroup, controller: &str) -> bool {
    match controller {
        "unified" => cgroup.hierarchy == 0,
        "systemd" => cgroup.controllers.iter().any(|it| it == "name=systemd"),
        several => several
            .split(',')
            .all(|one| cgroup.controllers.iter().any(|it| it == one)),
    }
}

/// Of a cgroup like `/system.slice/postgresql@15-main.service` the last unit.
fn unit_of(cgroup: &str) -> Option<String> {
    let mut parts = cgroup.rsplit('/');
    let is_unit = |part: &&str| part.ends_with(".service") || part.ends_with(".scope");
    parts.find(is_unit).map(str::to_owned)
}

/// A cgroup's path as far as the part of that name.
fn up_to(cgroup: &str, part: &str) -> Option<String> {
    let parts: Vec<_> = cgroup.split('/').collect();
    let place = parts.iter().position(|it| *it == part)?;
    Some(parts[..=place].join("/"))
}

/// Where processes listen. The tables of sockets are read once for each network namespace.
#[derive(Debug, Default)]
pub struct Ports(RefCell<HashMap<PathBuf, HashMap<u64, u16>>>);

impl Ports {
    /// The TCP ports that a process listens at, in its own network namespace; none where we may not know.
    pub fn of(&self, running: &Running) -> BTreeSet<u16> {
        let (Ok(process), Some(namespace)) = (running.process(), network_of(running.pid)) else {
            return BTreeSet::new();
        };
        let mut tables = self.0.borrow_mut();
        let table = tables
            .entry(namespace)
            .or_insert_with(|| listening_ports(&process));
        let Ok(descriptors) = process.fd() else {
            return BTreeSet::new();
        };
        let port = |descriptor: procfs::ProcResult<FDInfo>| match descriptor.ok()?.target {
            FDTarget::Socket(inode) => table.get(&inode).copied(),
            _ => None,
        };
        descriptors.filter_map(port).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_last_one() {
        let unit = |cgroup| unit_of(cgroup);
        assert_eq!(unit("/"), None);
        assert_eq!(unit("/user.slice"), None);
        assert_eq!(
            unit("/system.slice/system-postgresql.slice/postgresql@15-main.service").as_deref(),
            Some("postgresql@15-main.service")
        );
        assert_eq!(unit("/a.service/b.scope/inner").as_deref(), Some("b.scope"));
        let within = |unit| up_to("/a.slice/a.service/b.scope/inner", unit);
        assert_eq!(within("a.service").as_deref(), Some("/a.slice/a.service"));
        assert_eq!(within("c.service"), None);
    }

    #[test]
    fn this_process_is_one_of_them() {
        let own = all()
            .expect("/proc")
            .into_iter()
            .find(|it| it.pid == std::process::id());
        let own = own.expect("it runs");
        assert_eq!(own.parent, std::os::unix::process::parent_id());
        assert_eq!(own.directory(), std::env::current_dir().ok());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let ports = || Ports::default().of(&own);
        assert!(ports().contains(&port), "{:?}", ports());
        drop(listener);
        assert!(!ports().contains(&port), "{:?}", ports());
        assert!(own.works_in(Path::new(".")) && !own.works_in(Path::new("/proc")));
        assert!(own.works_in(&own.directory().expect("a directory")));
    }
}
