//! Starts a worker for an operation and listens to it, until it is done or a signal comes.

use super::{Operation, WORKER};
use crate::{
    attach::bound::bind,
    errors::in_words,
    interrupt::Interrupt,
    lines::{Lines, Silence},
    series::{Finding, Missing},
};
use anyhow::{Context, Result, anyhow};
use std::{
    io::Read,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// How long a worker may say nothing: the longest series is a thousand times shorter.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures an operation. What it found until it ended is kept, and what ended it is among the
/// findings; only a signal to us is an error.
///
/// # Errors
/// With the findings so far, if a signal came.
pub fn measure(
    operation: &Operation,
    quick: bool,
    interrupt: &Interrupt,
) -> Result<Vec<Finding>, Vec<Finding>> {
    let mut findings = Vec::new();
    let trouble = match Worker::start(operation, quick) {
        Ok(mut worker) => loop {
            match worker.next(interrupt) {
                Ok(Some(finding)) => findings.push(finding),
                Ok(None) => break worker.trouble(),
                Err(Silence::Interrupted(_)) => return Err(findings),
                Err(silence) => break Some(silence.to_string()),
            }
        },
        Err(error) => Some(format!("{error:#}")),
    };
    if let Some(reason) = trouble {
        findings.push(Finding::Missing(Missing {
            operation: operation.name.into(),
            variant: None,
            reason,
        }));
    }
    Ok(findings)
}

/// A process that measures; killed when this is dropped, and all that it has forked with it.
struct Worker {
    child: Child,
    lines: Lines,
}

impl Worker {
    fn start(operation: &Operation, quick: bool) -> Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("connscope")
            .args([WORKER, operation.name])
            .args(quick.then_some("--quick"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = bind(&mut command)
            .spawn()
            .map_err(|error| anyhow!("cannot start a worker: {}", in_words(&error)))?;
        let stdout = child.stdout.take().context("a worker has no stdout")?;
        Ok(Self {
            child,
            lines: Lines::of(stdout)?,
        })
    }

    /// What it says next; nothing at its end.
    fn next(&self, interrupt: &Interrupt) -> Result<Option<Finding>, Silence> {
        let line = match self.lines.next(PATIENCE, interrupt, || None) {
            Ok(line) => line,
            Err(Silence::Ended) => return Ok(None),
            Err(silence) => return Err(silence),
        };
        serde_json::from_str(&line)
            .map(Some)
            .map_err(|error| Silence::Other(format!("a worker said what makes no sense: {error}")))
    }

    /// Why it ended, unless it was done.
    fn trouble(&mut self) -> Option<String> {
        let status = match self.child.wait() {
            Ok(status) if status.success() => return None,
            Ok(status) => status,
            Err(error) => return Some(in_words(&error)),
        };
        let mut said = String::new();
        if let Some(stderr) = self.child.stderr.as_mut() {
            let _ = stderr.read_to_string(&mut said);
        }
        Some(match (status.signal(), said.trim()) {
            (Some(libc::SIGKILL), _) => "it was killed; memory may have run out".into(),
            (Some(signal), _) => format!("it was killed by signal {signal}"),
            (None, said) => said.trim_start_matches("connscope: ").to_owned(),
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        // What it has forked is in its group.
        if let Some(group) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }
}
