//! The load generator, `connscope-target load --paced`: phase by phase, each begun when we say so.

use crate::{
    attach::launched::{TargetBinary, how_it_ended, stop},
    interrupt::Interrupt,
    lines::{Lines, Silence},
    snapshot::Client,
};
use anyhow::{Context, Result, anyhow};
use serde::Deserialize;
use std::{
    io::Write,
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

/// How long the generator may take to end once it is asked to.
const STOP_LIMIT: Duration = Duration::from_secs(1);

/// What to offer.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Work profile, by the generator's name for it.
    pub workload: String,
    /// What keeps seats from being sold twice, by the generator's name for it.
    pub booking: String,
    /// Requests a second over all connections.
    pub rate: u32,
    /// Connections to hold.
    pub connections: u32,
    /// Steps in which they are added.
    pub ramp_steps: u32,
    /// Load before the measured window.
    pub warm_up: Duration,
    /// The measured window.
    pub duration: Duration,
    /// Private memory the server writes for each connection.
    pub touch: Option<String>,
    /// Whether to try how one request that burns CPU time holds the others up.
    pub stall: bool,
    /// Whether to try what a handler that crashes takes with it.
    pub crash: bool,
    /// How long the server may take to serve again after that.
    pub recovery: Duration,
}

impl Plan {
    fn command(&self, binary: &TargetBinary) -> Command {
        let mut command = binary.command();
        command
            .args(["load", "--paced", "--format", "json"])
            .arg(format!("--workload={}", self.workload))
            .arg(format!("--booking={}", self.booking))
            .args(["--connections", &self.connections.to_string()])
            .args(["--ramp-steps", &self.ramp_steps.to_string()])
            .args(["--rate", &self.rate.to_string()])
            .args(["--warm-up", &milliseconds(self.warm_up)])
            .args(["--duration", &milliseconds(self.duration)])
            .args(["--recovery", &milliseconds(self.recovery)]);
        if let Some(touch) = &self.touch {
            command.arg(format!("--touch={touch}"));
        }
        command.args(self.stall.then_some("--stall"));
        command.args(self.crash.then_some("--crash"));
        command
    }

    /// What the generator finds wrong with the plan, in one line. It reads its arguments up to
    /// `--help`, so that nothing is connected to.
    ///
    /// # Errors
    /// If the generator cannot be run.
    pub fn complaint(&self, binary: &TargetBinary) -> Result<Option<String>> {
        let mut command = self.command(binary);
        let output = command.arg("--help").stdin(Stdio::null()).output();
        let output = output.context("cannot start the load generator")?;
        if output.status.success() {
            return Ok(None);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let lines = said.lines().take_while(|line| !line.is_empty());
        let line = lines.map(str::trim).collect::<Vec<_>>().join(" ");
        Ok(Some(line.trim_start_matches("error: ").to_owned()))
    }
}

/// What the generator reports between phases.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// So many connections are open and at rest; waits for us.
    Connected {
        /// Open connections.
        connections: u32,
    },
    /// The measured window has opened.
    Measuring,
    /// It has closed; load goes on until we say so.
    Measured,
    /// The result; the last event.
    Done {
        /// What the clients saw.
        result: Box<Client>,
    },
    /// Something is wrong; a partial result may follow.
    Failed {
        /// What.
        reason: String,
    },
}

/// A running load generator.
#[derive(Debug)]
pub struct Load {
    child: Child,
    orders: ChildStdin,
    lines: Lines,
}

impl Load {
    /// Starts it; it begins to connect at once.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(binary: &TargetBinary, address: SocketAddr, plan: &Plan) -> Result<Self> {
        let mut command = plan.command(binary);
        command
            .args(["--connect", &address.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start the load generator")?;
        let orders = child
            .stdin
            .take()
            .ok_or_else(|| anyhow!("the load generator has no stdin"))?;
        let lines = Lines::of(
            child
                .stdout
                .take()
                .ok_or_else(|| anyhow!("the load generator has no stdout"))?,
        )?;
        Ok(Self {
            child,
            orders,
            lines,
        })
    }

    /// The next event.
    ///
    /// # Errors
    /// [`Silence`] if there is none: see [`Lines::next`].
    pub fn next(
        &self,
        limit: Duration,
        interrupt: &Interrupt,
        trouble: impl FnMut() -> Option<String>,
    ) -> Result<Event, Silence> {
        let line = self.lines.next(limit, interrupt, trouble)?;
        serde_json::from_str(&line).map_err(|error| {
            Silence::Other(format!(
                "cannot understand the load generator: {error}; is connscope-target of this version?"
            ))
        })
    }

    /// Lets it go on to the next phase.
    pub fn go_on(&mut self) {
        // If it is gone, the next wait for an event says so.
        let _ = self
            .orders
            .write_all(b"\n")
            .and_then(|()| self.orders.flush());
    }

    /// Ends it early and returns the partial result, if it has one, and what it complained of.
    pub fn end_early(self) -> (Option<Client>, Option<String>) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let (mut client, mut complaint) = (None, None);
        // Its own limit is the only one here: whoever asked us to end has waited long enough.
        while let Ok(event) = self.next(STOP_LIMIT, &Interrupt::default(), || None) {
            match event {
                Event::Done { result } => client = Some(*result),
                Event::Failed { reason } => complaint = Some(reason),
                _ => {}
            }
        }
        (client, complaint)
    }

    /// Why it ended: what it wrote to stderr, or else its status.
    pub fn last_words(&mut self) -> String {
        stop(&mut self.child, STOP_LIMIT);
        let status = self.child.wait();
        let mut said = String::new();
        if let Some(stderr) = self.child.stderr.as_mut() {
            let _ = std::io::Read::read_to_string(stderr, &mut said);
        }
        match (said.trim(), status) {
            ("", Ok(status)) => format!("the load generator {}", how_it_ended(status)),
            ("", Err(_)) => "the load generator ended".into(),
            (said, _) => said.trim_start_matches("connscope-target: ").to_owned(),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        stop(&mut self.child, STOP_LIMIT);
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}
