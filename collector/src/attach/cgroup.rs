//! A memory cgroup of a target's own, in the hierarchy the host has (v1 or v2).

use crate::errors::in_words;
use anyhow::{Context, Result, bail};
use procfs::process::Process;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

/// Our cgroups carry the pid of the connscope that made them, so that one whose maker was killed
/// can be told from one in use.
const PREFIX: &str = "connscope-";

/// The version of the hierarchy that accounts memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Own hierarchy, `memory.usage_in_bytes`.
    V1,
    /// Unified hierarchy, `memory.current`.
    V2,
}

impl Version {
    /// As reports name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }

    /// The counter of a cgroup's memory.
    pub fn usage_file(self) -> &'static str {
        match self {
            Self::V1 => "memory.usage_in_bytes",
            Self::V2 => "memory.current",
        }
    }
}

/// The place under which we may make cgroups that account memory.
#[derive(Debug)]
pub struct Hierarchy {
    /// Which kind it is.
    pub version: Version,
    parent: PathBuf,
    /// We gave children a memory account (v2), and take it from them when dropped.
    switched_on: bool,
}

impl Hierarchy {
    /// Finds the host's hierarchy, makes it ready for cgroups of ours, and clears away what
    /// connscopes that were killed left in it.
    ///
    /// # Errors
    /// If no mounted hierarchy accounts memory, or none can be written, with the reason.
    pub fn find() -> Result<Self> {
        let mut found = Self::look()?;
        found.account_children()?;
        found.clear_stale();
        Ok(found)
    }

    /// Finds the host's hierarchy and changes nothing.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn look() -> Result<Self> {
        let mounts = Process::myself()
            .and_then(|process| process.mountinfo())
            .context("cannot read /proc/self/mountinfo")?;
        let mut reasons = Vec::new();
        for mount in mounts {
            let version = match mount.fs_type.as_str() {
                "cgroup" if mount.super_options.contains_key("memory") => Version::V1,
                "cgroup2" => Version::V2,
                _ => continue,
            };
            let found = Self {
                version,
                parent: mount.mount_point,
                switched_on: false,
            };
            match found.refused() {
                None => return Ok(found),
                Some(reason) => reasons.push(reason),
            }
        }
        if reasons.is_empty() {
            bail!("no memory cgroup hierarchy is mounted; mount cgroup2 on /sys/fs/cgroup");
        }
        bail!(reasons.join("; "))
    }

    /// Why no cgroup that accounts memory can be made here.
    fn refused(&self) -> Option<String> {
        let place = self.parent.display();
        if self.version == Version::V2 && !self.lists_memory("cgroup.controllers") {
            return Some(format!(
                "{place} has no memory controller (cgroup.controllers)"
            ));
        }
        let writable = rustix::fs::access(&self.parent, rustix::fs::Access::WRITE_OK);
        let why = |error: rustix::io::Errno| in_words(&error.into());
        let refused = |error| format!("cannot make a cgroup in {place}: {}", why(error));
        writable.err().map(refused)
    }

    /// Has the children of a v2 hierarchy account memory, if they do not yet.
    fn account_children(&mut self) -> Result<()> {
        const CONTROL: &str = "cgroup.subtree_control";
        if self.version == Version::V1 || self.lists_memory(CONTROL) {
            return Ok(());
        }
        let path = self.parent.join(CONTROL);
        fs::write(&path, "+memory").with_context(|| format!("cannot write {}", path.display()))?;
        self.switched_on = true;
        Ok(())
    }

    fn lists_memory(&self, file: &str) -> bool {
        let controllers = fs::read_to_string(self.parent.join(file)).unwrap_or_default();
        controllers
            .split_whitespace()
            .any(|controller| controller == "memory")
    }

    /// Removes empty cgroups whose maker is no more.
    fn clear_stale(&self) {
        let Ok(entries) = fs::read_dir(&self.parent) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let maker = name.to_str().and_then(|name| {
                name.strip_prefix(PREFIX)?
                    .split('-')
                    .next()?
                    .parse::<i32>()
                    .ok()
            });
            if maker.is_some_and(|pid| Process::new(pid).is_err()) {
                let _ = fs::remove_dir(entry.path());
            }
        }
    }

    /// Makes an empty cgroup.
    ///
    /// # Errors
    /// If the kernel refuses it.
    pub fn create(&self, name: &str) -> Result<Cgroup> {
        // Two servers of a model may run at once.
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}-{name}", std::process::id());
        let path = self.parent.join(name);
        fs::create_dir(&path).with_context(|| format!("cannot make cgroup {}", path.display()))?;
        Ok(Cgroup {
            path,
            version: self.version,
        })
    }
}

impl Drop for Hierarchy {
    fn drop(&mut self) {
        if self.switched_on {
            // Refused while somebody else's cgroup has come to rely on it, which is as it should be.
            let _ = fs::write(self.parent.join("cgroup.subtree_control"), "-memory");
        }
    }
}

/// A cgroup of ours; removed, with all that runs in it, when dropped.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    version: Version,
}

impl Cgroup {
    /// Bytes charged to it: pages, page tables, kernel stacks, sockets, and other kernel memory.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn bytes(&self) -> Result<u64> {
        let path = self.path.join(self.version.usage_file());
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        text.trim()
            .parse()
            .with_context(|| format!("cannot read {}: not a number", path.display()))
    }

    /// The file to which a process writes `0` to move into it.
    pub fn processes_file(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    fn kill_all(&self) {
        for pid in fs::read_to_string(self.processes_file())
            .unwrap_or_default()
            .split_whitespace()
        {
            if let Some(pid) = pid.parse().ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Processes leave a cgroup some time after they were killed.
        for _ in 0..200 {
            match fs::remove_dir(&self.path) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                    self.kill_all();
                    thread::sleep(Duration::from_millis(10));
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    eprintln!(
                        "connscope: cannot remove cgroup {}: {error}",
                        display(&self.path)
                    );
                    return;
                }
                _ => return,
            }
        }
        eprintln!(
            "connscope: cannot remove cgroup {}: processes in it do not end",
            display(&self.path)
        );
    }
}

fn display(path: &Path) -> std::path::Display<'_> {
    path.display()
}
