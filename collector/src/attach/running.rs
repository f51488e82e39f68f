//! The processes of this host, as far as they tell whose they are.

use anyhow::{Context as _, Result};
use procfs::net::TcpState;
use procfs::process::{FDTarget, Process, all_processes};
use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;

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
    /// The TCP ports that it listens at, in its own network namespace; none where we may not know.
    pub fn ports(&self) -> BTreeSet<u16> {
        let Ok(process) = self.process() else {
            return BTreeSet::new();
        };
        let Ok(descriptors) = process.fd() else {
            return BTreeSet::new();
        };
        let sockets: HashSet<u64> = descriptors
            .filter_map(|descriptor| match descriptor.ok()?.target {
                FDTarget::Socket(inode) => Some(inode),
                _ => None,
            })
            .collect();
        if sockets.is_empty() {
            return BTreeSet::new();
        }
        let tables = [process.tcp(), process.tcp6()].into_iter().flatten();
        tables
            .flatten()
            .filter(|entry| entry.state == TcpState::Listen && sockets.contains(&entry.inode))
            .map(|entry| entry.local_address.port())
            .collect()
    }

    /// Where it works, which for a database is its data directory; `None` where we may not know.
    pub fn directory(&self) -> Option<PathBuf> {
        self.process().ok()?.cwd().ok()
    }

    /// The systemd unit that it belongs to.
    pub fn unit(&self) -> Option<String> {
        self.cgroups().iter().find_map(|path| unit_of(path))
    }

    /// Whether it is in that cgroup of whichever hierarchy, or below it.
    pub fn is_in_cgroup(&self, path: &str) -> bool {
        self.cgroups().iter().any(|own| {
            let below = own.strip_prefix(path.trim_end_matches('/'));
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// Its cgroups, one in each hierarchy.
    fn cgroups(&self) -> Vec<String> {
        let cgroups = self.process().and_then(|process| process.cgroups());
        let cgroups = cgroups.map(|cgroups| cgroups.0).unwrap_or_default();
        cgroups.into_iter().map(|cgroup| cgroup.pathname).collect()
    }

    fn process(&self) -> procfs::ProcResult<Process> {
        Process::new(self.pid as i32)
    }
}

/// Of a cgroup like `/system.slice/postgresql@15-main.service` the last unit.
fn unit_of(cgroup: &str) -> Option<String> {
    let mut parts = cgroup.rsplit('/');
    let is_unit = |part: &&str| part.ends_with(".service") || part.ends_with(".scope");
    parts.find(is_unit).map(str::to_owned)
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
        assert!(own.ports().contains(&port), "{:?}", own.ports());
        drop(listener);
        assert!(!own.ports().contains(&port), "{:?}", own.ports());
    }
}
