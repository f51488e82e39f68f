//! Another tracer, started by a shell command and known by the programs it loads.
#![allow(dead_code, unreachable_pub)]

use super::programs;
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{Read, Seek},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Tracers that compile their programs take seconds, and more on a busy machine.
const LOAD_LIMIT: Duration = Duration::from_secs(60);
/// A tracer that loads nothing more for so long has loaded everything.
const QUIET: Duration = Duration::from_millis(1500);
const END_LIMIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// Ends what it has started when its input ends: when we say so, and also if we die. Not by SIGINT,
/// which a shell lets its background commands ignore.
const SCRIPT: &str = r#"eval "$1" & trap '' TERM; read -r _; kill -TERM 0; wait"#;

/// A tracer that runs; ended, with its whole process group, when dropped.
pub struct Peer {
    shell: Child,
    pub programs: BTreeSet<u32>,
}

impl Peer {
    /// Starts the command, `{pid}` in it replaced, and waits until it has loaded its programs.
    ///
    /// # Errors
    /// If it ends or loads nothing, with what it said.
    pub fn start(command: &str, pid: u32) -> Result<Self, String> {
        let before = programs::ids();
        let mut said = tempfile::tempfile().map_err(|error| error.to_string())?;
        let copy = |file: &File| file.try_clone().map_err(|error| error.to_string());
        let command = command.replace("{pid}", &pid.to_string());
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "sh", &command])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .env("PATH", path())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(copy(&said)?)
            .spawn()
            .map_err(|error| format!("cannot run sh: {error}"))?;
        let mut peer = Self {
            shell,
            programs: BTreeSet::new(),
        };
        if peer.wait_until_loaded(&before) {
            return Ok(peer);
        }
        let mut text = String::new();
        let _ = said.rewind();
        let _ = said.read_to_string(&mut text);
        Err(format!("loaded no BPF program; it said: {}", text.trim()))
    }

    /// The shell, and all in its process group.
    pub fn pids(&self) -> Vec<u32> {
        let group = self.shell.id();
        let entries = fs::read_dir("/proc").expect("proc").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok());
        pids.filter(|&pid| group_of(pid) == Some(group)).collect()
    }

    fn wait_until_loaded(&mut self, before: &BTreeSet<u32>) -> bool {
        let end = Instant::now() + LOAD_LIMIT;
        let mut changed = Instant::now();
        while Instant::now() < end {
            let pids = self.pids();
            let loaded = programs::new_of(before, &pids);
            if loaded != self.programs {
                self.programs = loaded;
                changed = Instant::now();
            } else if !self.programs.is_empty() && changed.elapsed() >= QUIET {
                return true;
            } else if pids.len() <= 1 && changed.elapsed() >= QUIET {
                // Only the shell is left.
                return false;
            }
            thread::sleep(LOOK);
        }
        !self.programs.is_empty()
    }

    /// Until the tracer and its programs are gone, or it is killed.
    fn end(&mut self) {
        drop(self.shell.stdin.take());
        let end = Instant::now() + END_LIMIT;
        while self.pids().len() > 1 && Instant::now() < end {
            thread::sleep(LOOK);
        }
        let group = self.shell.id() as i32;
        // SAFETY: sends a signal to a process group of ours, whose leader has not been waited for.
        unsafe { libc::killpg(group, libc::SIGKILL) };
        let _ = self.shell.wait();
        while !programs::ids().is_disjoint(&self.programs) && Instant::now() < end {
            thread::sleep(LOOK);
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Our own programs first: this one lies in a folder of theirs.
fn path() -> std::ffi::OsString {
    let own = std::env::current_exe().unwrap_or_default();
    let ours: Option<PathBuf> = own.ancestors().nth(2).map(Path::to_owned);
    let others = std::env::var_os("PATH").unwrap_or_default();
    let all = ours.into_iter().chain(std::env::split_paths(&others));
    std::env::join_paths(all).unwrap_or(others.clone())
}

/// The process group, field 5 of /proc/PID/stat: the third after the name in parentheses.
fn group_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(") ")?;
    let mut fields = after.split(' ');
    let state = fields.next()?;
    (state != "Z").then(|| fields.nth(1)?.parse().ok())?
}
