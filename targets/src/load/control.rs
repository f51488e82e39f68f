//! What steers a run from outside: signals, and the supervisor of a paced run.

use std::io::Write;

use anyhow::{Context, Result};
use rustix::io::Errno;

use super::poller::{EventFlags, Poller};
use super::summary::Summary;
use crate::signals::Signals;

/// Tokens from here on are the control's, below they are connections.
pub(crate) const FIRST_CONTROL_TOKEN: u64 = u64::MAX - 1;
const SIGNALS: u64 = u64::MAX - 1;
const STDIN: u64 = u64::MAX;

/// Signals, and lines from the supervisor.
#[derive(Debug)]
pub(crate) struct Control {
    /// None for a thread that nobody speaks to.
    signals: Option<Signals>,
    paced: bool,
    /// Newlines read and not yet used.
    lines: usize,
    /// Standard input has ended.
    ended: bool,
    /// The supervisor has nothing more to say: its end means nothing.
    over: bool,
    signal: Option<libc::c_int>,
}

/// What a paced run reports.
#[derive(Debug, serde::Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Event<'a> {
    /// So many connections are held and were answered.
    Connected {
        /// Connections held.
        connections: u32,
    },
    /// The measured window opens.
    Measuring,
    /// The measured window has closed.
    Measured,
    /// The run failed.
    Failed {
        /// Why.
        reason: &'a str,
    },
    /// The run is over.
    Done {
        /// What was measured.
        result: &'a Summary,
    },
}

impl Control {
    /// Takes signals, and standard input if the run is `paced`, as sources of `poller`.
    ///
    /// # Errors
    /// When they cannot be waited for.
    pub(crate) fn new(poller: &Poller, paced: bool) -> Result<Self> {
        let signals = Signals::catch(&[libc::SIGTERM, libc::SIGINT])?;
        poller
            .add(&signals, SIGNALS, EventFlags::IN)
            .context("cannot wait for signals")?;
        let mut control = Self {
            signals: Some(signals),
            paced,
            ..Self::none()
        };
        if paced {
            match poller.add(std::io::stdin(), STDIN, EventFlags::IN) {
                Ok(()) => {}
                // A file: all its lines are there.
                Err(Errno::PERM) => while control.read_lines() {},
                Err(error) => return Err(error).context("cannot wait for standard input"),
            }
        }
        Ok(control)
    }

    /// Of a thread that another one steers.
    pub(crate) fn none() -> Self {
        Self {
            signals: None,
            paced: false,
            lines: 0,
            ended: false,
            over: false,
            signal: None,
        }
    }

    /// Takes in what an event with a control token announces.
    pub(crate) fn take(&mut self, token: u64) {
        if token == STDIN {
            self.read_lines();
        }
        while let Some(signal) = self.signals.as_ref().and_then(Signals::next) {
            self.signal = Some(signal);
        }
    }

    /// Why the run is to end early, if it is.
    pub(crate) fn stop_reason(&self) -> Option<&'static str> {
        match self.signal {
            Some(libc::SIGINT) => Some("interrupted by SIGINT"),
            Some(_) => Some("ended by SIGTERM"),
            // Lines before the end are used up first.
            None if self.ended && self.lines == 0 && !self.over => Some("standard input ended"),
            None => None,
        }
    }

    /// Whether the supervisor has sent another line; uses it up.
    pub(crate) fn take_line(&mut self) -> bool {
        let there = self.lines > 0;
        self.lines -= usize::from(there);
        there
    }

    /// The same for the last line of all.
    pub(crate) fn take_last_line(&mut self) -> bool {
        self.over |= self.take_line();
        self.over
    }

    /// Whether a supervisor paces the run.
    pub(crate) fn is_paced(&self) -> bool {
        self.paced
    }

    /// Reports `event`, in a paced run.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(crate) fn report(&self, event: &Event<'_>) -> Result<()> {
        if !self.paced {
            return Ok(());
        }
        let mut output = std::io::stdout().lock();
        serde_json::to_writer(&mut output, event)
            .map_err(std::io::Error::from)
            .and_then(|()| output.write_all(b"\n"))
            .and_then(|()| output.flush())
            .context("cannot write to standard output")
    }

    /// Reads once; `false` at the end. Blocks unless an event announced input.
    fn read_lines(&mut self) -> bool {
        let mut bytes = [0_u8; 256];
        match rustix::io::read(std::io::stdin(), &mut bytes[..]) {
            Ok(0) | Err(_) => {
                self.ended = true;
                false
            }
            Ok(read) => {
                self.lines += bytes[..read].iter().filter(|&&byte| byte == b'\n').count();
                true
            }
        }
    }
}
