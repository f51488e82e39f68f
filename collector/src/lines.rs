//! What a child process says, line by line.

use crate::interrupt::{Interrupt, POLL};
use std::{
    io::{self, BufRead, BufReader},
    process::ChildStdout,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

/// Why no line came.
#[derive(Debug, thiserror::Error)]
pub enum Silence {
    /// The stream ended.
    #[error("it ended")]
    Ended,
    /// Nothing in the time allowed.
    #[error("it said nothing for {0:?}")]
    TimedOut(Duration),
    /// We were asked to end.
    #[error("interrupted by {0}")]
    Interrupted(&'static str),
    /// What the caller watches for happened.
    #[error("{0}")]
    Other(String),
}

/// The lines a child writes, waited for with an eye on the clock and on signals.
#[derive(Debug)]
pub struct Lines(Receiver<String>);

impl Lines {
    /// Of a child's stdout.
    ///
    /// # Errors
    /// If no thread can be started to read them.
    pub fn of(stdout: ChildStdout) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        thread::Builder::new().spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self(receiver))
    }

    /// The next line.
    ///
    /// # Errors
    /// [`Silence`], if none comes: at the end, in time, before a signal, or before `trouble` has
    /// something to say.
    pub fn next(
        &self,
        limit: Duration,
        interrupt: &Interrupt,
        mut trouble: impl FnMut() -> Option<String>,
    ) -> Result<String, Silence> {
        let end = Instant::now() + limit;
        loop {
            match self.0.recv_timeout(POLL) {
                Ok(line) => return Ok(line),
                Err(RecvTimeoutError::Disconnected) => return Err(Silence::Ended),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(signal) = interrupt.signal() {
                return Err(Silence::Interrupted(signal));
            }
            if let Some(trouble) = trouble() {
                return Err(Silence::Other(trouble));
            }
            if Instant::now() >= end {
                return Err(Silence::TimedOut(limit));
            }
        }
    }
}
