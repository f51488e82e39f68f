//! Runs connscope and what belongs to it, within bounds of time.
#![allow(dead_code, unreachable_pub)]

use std::{
    fs::{self, File},
    io::{Read, Seek},
    net::SocketAddr,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

pub const CONNSCOPE: &str = env!("CARGO_BIN_EXE_connscope");
/// Nothing that is tested takes longer.
const LIMIT: Duration = Duration::from_secs(60);
/// How often conditions are looked at.
const LOOK: Duration = Duration::from_millis(2);

/// The reference servers' program, which Cargo builds with the workspace only.
pub fn target() -> PathBuf {
    let path = Path::new(CONNSCOPE).with_file_name("connscope-target");
    assert!(
        path.is_file(),
        "{} is missing; build it with `cargo build --workspace --bins`, and --release if this \
         test is",
        path.display()
    );
    path
}

/// A connscope command of these words.
pub fn connscope(words: &str) -> Command {
    target();
    let mut command = Command::new(CONNSCOPE);
    command.args(words.split_whitespace());
    command
}

/// A shell command; `$CONNSCOPE` in it is the program under test.
pub fn shell(script: &str) -> Command {
    target();
    let mut command = Command::new("sh");
    command.args(["-c", script]).env("CONNSCOPE", CONNSCOPE);
    command
}

/// A program that runs, with its output going to files. Killed if the test ends before it.
pub struct Running {
    child: Child,
    stdout: File,
    stderr: File,
    begun: Instant,
}

impl Running {
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let stdout = tempfile::tempfile().expect("a temporary file");
        let stderr = tempfile::tempfile().expect("a temporary file");
        let copy = |file: &File| Stdio::from(file.try_clone().expect("a descriptor"));
        command
            .stdin(Stdio::null())
            .stdout(copy(&stdout))
            .stderr(copy(&stderr));
        // Whoever runs the tests in the background or under nohup has us ignore these.
        // SAFETY: between fork and exec, only system calls that allocate nothing.
        unsafe {
            command.pre_exec(|| {
                for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
                    libc::signal(signal, libc::SIG_DFL);
                }
                Ok(())
            })
        };
        let begun = Instant::now();
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            child,
            stdout,
            stderr,
            begun,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The child that has `word` among its arguments, as soon as there is one.
    #[track_caller]
    pub fn child(&self, word: &str) -> u32 {
        let found = || {
            let children = children(self.pid());
            children.into_iter().find(|&pid| has_argument(pid, word))
        };
        wait_for(&format!("a child with argument {word}"), found)
    }

    /// The reference server it has started.
    #[track_caller]
    pub fn server(&self) -> u32 {
        self.child("--listen")
    }

    /// The load generator it has started.
    #[track_caller]
    pub fn load(&self) -> u32 {
        self.child("--connect")
    }

    /// What it has said on stderr so far.
    pub fn said(&mut self) -> String {
        text(&mut self.stderr)
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(mut self) -> Ended {
        let end = Instant::now() + LIMIT;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                break status;
            }
            let said = text(&mut self.stderr);
            assert!(Instant::now() < end, "it does not end; it said {said:?}");
            thread::sleep(LOOK);
        };
        Ended {
            status,
            stdout: text(&mut self.stdout),
            stderr: text(&mut self.stderr),
            took: self.begun.elapsed(),
        }
    }

    /// Sends a signal and waits for the end; the time it took is that since the signal.
    #[track_caller]
    pub fn end_by(mut self, signal: i32) -> Ended {
        kill(self.pid(), signal);
        self.begun = Instant::now();
        self.finish()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What a program said, and how it ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Ended {
    #[track_caller]
    pub fn of(command: Command) -> Self {
        Running::start(command).finish()
    }

    /// Fails unless it exited with that status.
    #[track_caller]
    pub fn exits(self, status: i32) -> Self {
        assert_eq!(self.status.code(), Some(status), "{self:#?}");
        self
    }

    /// Fails unless it said exactly this on stderr.
    #[track_caller]
    pub fn says(self, line: &str) -> Self {
        assert_eq!(self.stderr, format!("{line}\n"), "{self:#?}");
        self
    }

    /// The one line it said on stderr.
    #[track_caller]
    pub fn line(&self) -> &str {
        let line = self.stderr.strip_suffix('\n').unwrap_or_default();
        assert!(!line.is_empty() && !line.contains('\n'), "{self:#?}");
        line
    }

    /// Its report, if that was JSON.
    #[track_caller]
    pub fn report(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    pub fn was_killed_by(&self, signal: i32) -> bool {
        self.status.signal() == Some(signal)
    }
}

/// A reference server that the test itself starts; ends with it.
pub struct Served {
    pub running: Running,
    pub address: SocketAddr,
}

impl Served {
    #[track_caller]
    pub fn start(model: &str) -> Self {
        let mut command = Command::new(target());
        command.args(["serve", "--model", model, "--listen", "127.0.0.1:0"]);
        let mut running = Running::start(command);
        let address = wait_for("a server", || {
            let said = text(&mut running.stdout);
            said.strip_prefix("listening on ")?.trim().parse().ok()
        });
        Self { running, address }
    }

    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// A load generator at work on it.
    #[track_caller]
    pub fn under_load(&self, options: &str) -> Running {
        let mut command = Command::new(target());
        command.args([
            "load",
            "--format",
            "json",
            "--connect",
            &self.address.to_string(),
        ]);
        command.args(options.split_whitespace());
        Running::start(command)
    }
}

/// Waits until something is there.
#[track_caller]
pub fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "no {what} came");
        thread::sleep(LOOK);
    }
}

pub fn kill(pid: u32, signal: i32) {
    // SAFETY: sends a signal, to a process that the test started or one that came of it.
    unsafe { libc::kill(pid as i32, signal) };
}

pub fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = fs::read_to_string(path).unwrap_or_default();
    children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

fn has_argument(pid: u32, word: &str) -> bool {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    arguments
        .split(|byte| *byte == 0)
        .any(|argument| argument == word.as_bytes())
}

/// All that was written to a file so far, whoever shares it.
fn text(file: &mut File) -> String {
    let mut text = Vec::new();
    let mut file = File::open(format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(file)
    ))
    .expect("a file of ours");
    file.rewind().expect("a regular file");
    file.read_to_end(&mut text).expect("a file of ours");
    String::from_utf8_lossy(&text).into_owned()
}

/// A figure of a report.
#[track_caller]
pub fn number(value: &serde_json::Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("a number, not {value}"))
}
