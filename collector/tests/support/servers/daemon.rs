//! A server's first process, ended when dropped.

use super::site::Site;
use crate::program::kill;
use std::{
    fs::{self, File},
    net::{TcpListener, TcpStream},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

/// How long a server may take until it answers, and until it has ended: a busy host has others to serve.
const LIMIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(10);

pub struct Daemon {
    child: Child,
    /// Ends it at once and in order: nothing of it may stay behind.
    stop: i32,
    folder: PathBuf,
    pub port: u16,
}

impl Daemon {
    /// Starts what `command` makes of a port and a signal by which it is ended, and waits until it answers.
    #[track_caller]
    pub fn start<T>(
        site: &Site,
        port: u16,
        stop: i32,
        command: Command,
        answer: impl Fn(u16) -> Option<T>,
    ) -> Self {
        let folder = site.path("");
        let mut daemon = Self {
            child: spawn(&folder, command),
            stop,
            folder,
            port,
        };
        daemon.wait_until_it_answers(answer);
        daemon
    }

    /// Starts another process in place of one that has ended.
    #[track_caller]
    pub fn again<T>(&mut self, command: Command, answer: impl Fn(u16) -> Option<T>) {
        self.child = spawn(&self.folder, command);
        self.wait_until_it_answers(answer);
    }

    #[track_caller]
    fn wait_until_it_answers<T>(&mut self, answer: impl Fn(u16) -> Option<T>) {
        let end = Instant::now() + LIMIT;
        while answer(self.port).is_none() {
            let ended = self.child.try_wait().expect("a child of ours");
            assert_eq!(ended, None, "it said {}", self.said());
            let in_time = Instant::now() < end;
            assert!(in_time, "it does not answer: {}", self.said());
            thread::sleep(LOOK);
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it has said so far.
    pub fn said(&self) -> String {
        let said = fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Sends a signal and waits for the end of the process.
    #[track_caller]
    pub fn end_by(&mut self, signal: i32) -> ExitStatus {
        kill(self.pid(), signal);
        let ended = self.ends();
        ended.unwrap_or_else(|| panic!("it does not end: {}", self.said()))
    }

    fn ends(&mut self) -> Option<ExitStatus> {
        let end = Instant::now() + LIMIT;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            if Instant::now() > end {
                return None;
            }
            thread::sleep(LOOK);
        }
    }
}

/// What it says is added to the file `log` in its folder.
#[track_caller]
fn spawn(folder: &Path, mut command: Command) -> Child {
    let file = File::options()
        .append(true)
        .create(true)
        .open(folder.join("log"));
    let file = file.expect("a folder of ours");
    command
        .stdout(file.try_clone().expect("a descriptor"))
        .stderr(file);
    command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            kill(self.pid(), self.stop);
            if self.ends().is_none() {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
        // Of a server that was killed, its other processes see by and by that they are orphans.
        let end = Instant::now() + LIMIT;
        loop {
            let left = at_work_in(&self.folder);
            if left.is_empty() {
                return;
            }
            if Instant::now() > end {
                left.into_iter().for_each(|pid| kill(pid, libc::SIGKILL));
            }
            thread::sleep(LOOK);
        }
    }
}

/// Those whose working directory is that folder or the data directory in it.
fn at_work_in(folder: &Path) -> Vec<u32> {
    let identity = |path: &Path| fs::metadata(path).map(|it| (it.dev(), it.ino())).ok();
    let folders = [identity(folder), identity(&folder.join("data"))];
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let at_work = entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let there = identity(&entry.path().join("cwd"))?;
        folders.contains(&Some(there)).then_some(pid)
    });
    at_work.collect()
}

/// A port on 127.0.0.1 that nobody has, and that the kernel gives to no client.
#[track_caller]
pub fn free_port() -> u16 {
    let first = 20_000 + (std::process::id() % 9_000) as u16;
    let mut ports = first..32_000;
    let free = ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.expect("a free port")
}

/// Whether anybody listens there.
pub fn listens(port: u16) -> Option<TcpStream> {
    TcpStream::connect(("127.0.0.1", port)).ok()
}
