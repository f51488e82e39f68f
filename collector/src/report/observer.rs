//! What watching cost, and what it did not see.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::{Problem, growth};
use super::method::without_probe;
use super::window::totals_of;
use crate::snapshot::{self, Run, Snapshot};

/// By probe and by what it lost: how many. What was watched for and not lost is there with 0.
pub type Lost = BTreeMap<String, BTreeMap<String, u64>>;

/// Probes that look through windows only, and at what: what they miss is in no count of all.
pub(crate) const IN_WINDOWS: [(&str, &str); 2] =
    [("faults", "faults"), ("switch_latency", "switches")];

/// What connscope itself cost, from the first snapshot to the last of each run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observer {
    /// BPF programs, by name; none of them where the kernel's statistics cannot be switched on.
    pub programs: Vec<Program>,
    /// Of all programs: what they took of one CPU, by what they took while statistics were on; none
    /// where they never were.
    pub estimated_share_of_a_core: Option<f64>,
    /// Time that statistics were on, in seconds.
    pub sampled_seconds: f64,
    /// How often they were switched on for that; 0 where they were on all the time.
    pub samples: u64,
    /// Time that was watched, in seconds.
    pub watched_seconds: f64,
    /// BPF maps, by name, each with the most memory it was seen to have.
    pub maps: Vec<Map>,
    /// CPU time of the collector, user and system, in seconds.
    pub cpu_seconds: f64,
    /// The most memory it was seen to have resident, in bytes.
    pub rss_bytes: u64,
    /// How all this is measured.
    #[serde(default)]
    pub method: String,
}

/// What a BPF program cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// Its name in the kernel.
    pub name: String,
    /// The probe it belongs to.
    #[serde(default)]
    pub probe: String,
    /// Times it ran.
    pub runs: u64,
    /// Time that took, in seconds.
    pub run_seconds: f64,
    /// The same as a share of the time that statistics were on.
    pub estimated_share_of_a_core: Option<f64>,
}

/// What a BPF map takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// Its name in the kernel.
    pub name: String,
    /// Its memory, as the kernel accounts it; none where the kernel does not say.
    pub bytes: Option<u64>,
}

impl Observer {
    /// Takes in what watching one run cost.
    pub(super) fn add(&mut self, run: &Run) -> Result<(), Problem> {
        self.method = without_probe("observer").unwrap_or_default().to_owned();
        let cpu_ns = growth(run.before.observer_cpu_ns, run.end.observer_cpu_ns, || {
            "CPU time of connscope".to_owned()
        })?;
        self.cpu_seconds += cpu_ns as f64 / 1e9;
        for snapshot in [&run.before, &run.start, &run.end] {
            self.rss_bytes = self.rss_bytes.max(snapshot.observer_rss_bytes);
        }
        for program in &run.end.programs {
            let before = run
                .before
                .programs
                .iter()
                .find(|before| before.name == program.name);
            let (runs, ns) = before.map_or((0, 0), |before| (before.runs, before.run_ns));
            let name = |what: &str| format!("{what} of program {}", program.name);
            let runs = growth(runs, program.runs, || name("runs"))?;
            let run_ns = growth(ns, program.run_ns, || name("run time"))?;
            self.add_program(program, runs, run_ns as f64 / 1e9);
        }
        let (before, end) = (&run.before.statistics, &run.end.statistics);
        let on_ns = growth(before.on_ns, end.on_ns, || "time of statistics".to_owned())?;
        self.sampled_seconds += on_ns as f64 / 1e9;
        self.samples += growth(before.samples, end.samples, || {
            "samples of statistics".to_owned()
        })?;
        self.watched_seconds += run.end.at_ns.saturating_sub(run.before.at_ns) as f64 / 1e9;
        for snapshot in [&run.before, &run.start, &run.end] {
            self.add_maps(&snapshot.maps);
        }
        self.estimate();
        Ok(())
    }

    /// What the programs took of a CPU while statistics were on stands for all the time.
    fn estimate(&mut self) {
        let on = self.sampled_seconds;
        let share = |run_seconds: f64| (on > 0.0).then(|| run_seconds / on);
        for program in &mut self.programs {
            program.estimated_share_of_a_core = share(program.run_seconds);
        }
        let all = self.programs.iter().map(|program| program.run_seconds);
        self.estimated_share_of_a_core = match self.programs.is_empty() {
            true => None,
            false => share(all.sum()),
        };
    }

    /// Of the programs of a probe, together: what they took of one CPU; none where there are none, or it is not known.
    pub(crate) fn share_of_probe(&self, probe: &str) -> Option<f64> {
        let of_probe = self.programs.iter().filter(|it| it.probe == probe);
        let shares = of_probe.map(|program| program.estimated_share_of_a_core);
        shares.reduce(|sum, share| Some(sum? + share?))?
    }

    fn add_maps(&mut self, maps: &[snapshot::Map]) {
        let mut bytes = BTreeMap::<&str, Option<u64>>::new();
        for map in maps {
            // A sum of which a part is not known is not known.
            let sum = bytes.entry(&map.name).or_insert(Some(0));
            *sum = sum.zip(map.bytes).map(|(sum, bytes)| sum + bytes);
        }
        for (name, bytes) in bytes {
            match self.maps.iter_mut().find(|map| map.name == name) {
                Some(map) => map.bytes = map.bytes.max(bytes),
                None => self.maps.push(Map {
                    name: name.to_owned(),
                    bytes,
                }),
            }
        }
    }

    fn add_program(&mut self, program: &snapshot::Program, runs: u64, run_seconds: f64) {
        match self
            .programs
            .iter_mut()
            .find(|known| known.name == program.name)
        {
            Some(known) => {
                known.runs += runs;
                known.run_seconds += run_seconds;
            }
            None => self.programs.push(Program {
                name: program.name.clone(),
                probe: program.probe.clone(),
                runs,
                run_seconds,
                estimated_share_of_a_core: None,
            }),
        }
    }
}

/// Adds what the probes lost from the first snapshot of a run to its last. They do not know whose
/// it was: the figure is of all that was watched at the time.
pub(super) fn add_losses(lost: &mut Lost, run: &Run) -> Result<(), Problem> {
    for loss in &run.end.losses {
        let same = |before: &&crate::snapshot::Loss| {
            before.probe == loss.probe && before.what == loss.what
        };
        let before = run
            .before
            .losses
            .iter()
            .find(same)
            .map_or(0, |before| before.count);
        let count = growth(before, loss.count, || {
            format!("{} of probe {}", loss.what, loss.probe)
        })?;
        *entry(lost, &loss.probe, &loss.what) += count;
    }
    Ok(())
}

/// Adds the switches of one run's tasks that nothing showed.
pub(super) fn add_unseen(lost: &mut Lost, run: &Run) -> Result<(), Problem> {
    let unseen = |snapshot: &Snapshot| -> u64 {
        snapshot
            .roles
            .iter()
            .map(|role| totals_of(role).unseen)
            .sum()
    };
    let count = growth(unseen(&run.before), unseen(&run.end), || {
        "unseen switches".to_owned()
    })?;
    *entry(lost, "sched", UNSEEN) += count;
    Ok(())
}

/// The switches that the loss detector of the scheduler's probe missed.
const UNSEEN: &str = "switches of watched tasks that no tracepoint showed";

fn entry<'a>(lost: &'a mut Lost, probe: &str, what: &str) -> &'a mut u64 {
    lost.entry(probe.to_owned())
        .or_default()
        .entry(what.to_owned())
        .or_default()
}
