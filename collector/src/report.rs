//! Snapshots into figures: a pure function from a [`Recording`] to a [`Report`], which is, field
//! by field, the JSON that `docs/json.md` describes.
//!
//! Times are in seconds and sizes in bytes. What could not be measured is none, never zero.

use serde::{Deserialize, Serialize};

use crate::snapshot::{Host, Recording, Run, TargetKind, Unavailable};

pub mod blocked;
pub mod calibration;
pub mod calls;
pub mod claims;
pub mod client;
pub mod connections;
pub mod counters;
pub mod creations;
pub mod depth;
pub mod detail;
pub mod distribution;
mod error;
pub mod faults;
pub mod findings;
pub mod histogram;
mod in_kernel;
pub mod line;
pub mod marginal;
pub mod measures;
pub mod memory;
pub mod method;
pub mod new_connection;
pub mod observer;
pub mod own;
pub mod ranking;
mod share;
pub mod spread;
pub mod stacks;
pub mod student;
pub mod switch_latency;
mod target;
pub mod timeline;
pub mod tlb;
pub mod user_space;
mod window;
pub mod written;

pub use error::{Error, Problem};
pub use target::{Restart, Role, Target};

use findings::{Examined, Finding, Watch};
use observer::{Lost, Observer, add_losses, add_unseen};
use ranking::Ranking;
use target::targets;
use window::Window;
pub(crate) use window::totals_of;

/// Version of the report's fields. Fields are added without changing it, never renamed.
pub const SCHEMA: u32 = 1;

/// What a recording says, in figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The command that made the recording, as a user types it.
    pub command: String,
    /// Why the recording ended before its time, if it did.
    pub incomplete: Option<String>,
    /// The machine it was made on.
    pub host: Host,
    /// Length of the longest window, in seconds; none where nothing was watched.
    pub window_seconds: Option<f64>,
    /// One entry for each target and number of connections.
    pub targets: Vec<Target>,
    /// The order of the servers compared; none of fewer than two, or of running processes.
    #[serde(skip_deserializing)]
    pub ranking: Option<Ranking>,
    /// What could not be measured, and why.
    pub unavailable: Vec<Unavailable>,
    /// What was not seen, by probe.
    pub lost: Lost,
    /// What watching cost.
    pub observer: Observer,
    /// What stands out, of running servers.
    #[serde(skip_deserializing)]
    pub findings: Vec<Finding>,
    /// Each rule that could have found something, of each target, and what it looked at.
    #[serde(skip_deserializing)]
    pub rules: Vec<Examined>,
}

/// Whether a run can be reported on.
///
/// # Errors
/// [`Error`] if it has no window, or its snapshots contradict each other.
pub fn check(run: &Run) -> Result<(), Error> {
    let check = || {
        Window::of(run)?;
        add_unseen(&mut Lost::new(), run)?;
        add_losses(&mut Lost::new(), run)?;
        counters::check(run)?;
        user_space::check(run)?;
        Observer::default().add(run)
    };
    check().map_err(|problem| problem.of(run))
}

/// The figures of a recording.
///
/// # Errors
/// [`Error`] if a run has no window, or its snapshots contradict each other.
pub fn build(recording: &Recording) -> Result<Report, Error> {
    let windows = recording
        .runs
        .iter()
        .map(|run| Window::of(run).map_err(|problem| problem.of(run)))
        .collect::<Result<Vec<_>, _>>()?;
    let mut lost = Lost::new();
    let mut observer = Observer::default();
    for (index, run) in recording.runs.iter().enumerate() {
        add_unseen(&mut lost, run).map_err(|problem| problem.of(run))?;
        // Of targets watched at once the probes' losses and the cost are the same.
        if !recording.runs[..index]
            .iter()
            .any(|other| watched_at_once(other, run))
        {
            add_losses(&mut lost, run).map_err(|problem| problem.of(run))?;
            observer.add(run).map_err(|problem| problem.of(run))?;
        }
    }
    let window_seconds = windows.iter().map(|window| window.seconds).reduce(f64::max);
    let targets = targets(windows, recording)?;
    let (findings, rules) = findings::of(&Watch {
        targets: &targets,
        host: &recording.host,
        lost: &lost,
        observer: &observer,
    });
    Ok(Report {
        schema: SCHEMA,
        command: recording.command.clone(),
        incomplete: recording.incomplete.clone(),
        host: recording.host.clone(),
        window_seconds,
        ranking: Ranking::of(&targets),
        targets,
        unavailable: recording.unavailable.clone(),
        lost,
        observer,
        findings,
        rules,
    })
}

/// Whether two runs are of one watch: their snapshots were taken at the same instants.
fn watched_at_once(one: &Run, other: &Run) -> bool {
    (one.before.at_ns, one.end.at_ns) == (other.before.at_ns, other.end.at_ns)
}

impl Report {
    /// Whether the report is of servers started to be compared, rather than of running processes.
    #[must_use]
    pub fn compares(&self) -> bool {
        self.targets
            .iter()
            .any(|target| target.kind == TargetKind::Reference)
    }
}
