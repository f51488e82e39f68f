//! What a target's scheduler in user space did in the window: the switches that are none of the
//! kernel's.

use serde::{Deserialize, Serialize};

use super::error::{Problem, growth};
use super::measures::{Basis, per_request};
use super::method::method;
use super::target::lower_median;
use crate::snapshot::user_space::{Scheduler, UserSpace};
use crate::snapshot::{Run, Snapshot};

/// Tasks and switches of a scheduler in user space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserSpaceSwitches {
    /// What it counted; none if that could not be read in every repeat.
    pub counted: Option<Counted>,
    /// Why nothing is known.
    pub reason: Option<String>,
    /// How it was counted.
    pub method: String,
}

/// What a scheduler counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// Tasks alive when the window closed; over repeats the (lower) median.
    pub tasks_alive: u64,
    /// Tasks that began, from the beginning of the watch to the end of the window.
    pub tasks_begun: u64,
    /// How often a thread went on with a task.
    pub switches: u64,
    /// The same, for each answer that arrived in the window; none without a load generator.
    pub per_request: Option<f64>,
    /// The same, for each second of the window.
    pub per_second: f64,
    /// Switches whose time was taken.
    pub sampled: u64,
    /// Their mean, in seconds, without what taking the time adds; none of no samples.
    pub mean_seconds: Option<f64>,
    /// What taking the time adds to each of them, in seconds; over repeats the mean of the samples.
    pub clock_seconds: Option<f64>,
}

/// The sums over the windows of some runs.
#[derive(Default)]
struct Grown {
    begun: u64,
    switches: u64,
    sampled: u64,
    sampled_ns: u64,
    clock_ns: u64,
    /// When each window closed.
    alive: Vec<u64>,
}

/// Whether the counters of a run agree with each other.
pub(super) fn check(run: &Run) -> Result<(), Problem> {
    match [&run.before, &run.start, &run.end].map(counted) {
        [Some(before), Some(start), Some(end)] => Grown::default().add(before, start, end),
        _ => Ok(()),
    }
}

impl UserSpaceSwitches {
    /// None of runs of a target that has no such scheduler.
    pub(super) fn of<'a>(
        runs: impl Iterator<Item = &'a Run> + Clone,
        basis: &Basis<'_>,
    ) -> Result<Option<Self>, Problem> {
        let snapshots = runs
            .clone()
            .flat_map(|run| [&run.before, &run.start, &run.end]);
        let mut known = snapshots.filter_map(|snapshot| snapshot.user_space.as_ref());
        if known.clone().next().is_none() {
            return Ok(None);
        }
        let reason = known.find_map(|known| match known {
            UserSpace::Unseen(reason) => Some(reason.clone()),
            UserSpace::Counted(_) => None,
        });
        let mut grown = Some(Grown::default());
        for run in runs {
            match [&run.before, &run.start, &run.end].map(counted) {
                [Some(before), Some(start), Some(end)] => {
                    if let Some(grown) = &mut grown {
                        grown.add(before, start, end)?;
                    }
                }
                _ => grown = None,
            }
        }
        let missing = || "not recorded in every repeat".to_owned();
        Ok(Some(Self {
            reason: reason.or_else(|| grown.is_none().then(missing)),
            counted: grown.map(|grown| grown.figures(basis)),
            method: method(basis.recording, "user_space_switches"),
        }))
    }
}

fn counted(snapshot: &Snapshot) -> Option<&Scheduler> {
    match &snapshot.user_space {
        Some(UserSpace::Counted(scheduler)) => Some(scheduler),
        _ => None,
    }
}

impl Grown {
    /// Takes in a run: tasks from before its first connection, all else from when its window opened.
    fn add(
        &mut self,
        before: &Scheduler,
        start: &Scheduler,
        end: &Scheduler,
    ) -> Result<(), Problem> {
        let grown = |from, to, what: &str| growth(from, to, || format!("{what} in user space"));
        let sampled = grown(start.sampled, end.sampled, "switches timed")?;
        grown(before.tasks_ended, end.tasks_ended, "tasks ended")?;
        self.begun += grown(before.tasks_begun, end.tasks_begun, "tasks begun")?;
        self.switches += grown(start.switches, end.switches, "switches")?;
        self.sampled += sampled;
        self.sampled_ns += grown(start.sampled_ns, end.sampled_ns, "time of switches")?;
        self.clock_ns += sampled * end.clock_ns;
        // Counters of several threads, read one after the other: a task may have begun on one that was
        // read before it and ended on one that was read after.
        let alive = end.tasks_begun.saturating_sub(end.tasks_ended);
        self.alive.push(alive);
        Ok(())
    }

    fn figures(self, basis: &Basis<'_>) -> Counted {
        let samples = (self.sampled > 0).then_some(self.sampled as f64);
        let net_ns = self.sampled_ns as f64 - self.clock_ns as f64;
        Counted {
            tasks_alive: lower_median(self.alive),
            tasks_begun: self.begun,
            switches: self.switches,
            per_request: per_request(self.switches as f64, basis.answered),
            per_second: self.switches as f64 / basis.seconds,
            sampled: self.sampled,
            mean_seconds: samples.map(|samples| net_ns / samples / 1e9),
            clock_seconds: samples.map(|samples| self.clock_ns as f64 / samples / 1e9),
        }
    }
}
