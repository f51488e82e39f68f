//! Perf counters of a target: what they counted in the window, beside our own figures.

use serde::{Deserialize, Serialize};

use super::error::{Problem, growth};
use super::method::method;
use crate::snapshot::counters::{Counters, HARDWARE, Reading, SOFTWARE};
use crate::snapshot::{Recording, Run};

/// What the kernel's counters say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct SoftwareCounters {
    pub context_switches: u64,
    pub cpu_migrations: u64,
    pub page_faults: u64,
    pub task_clock_seconds: f64,
    /// Tasks that came while the counters were opened; over repeats their sum.
    pub uncertain_tasks: u64,
    /// How it was counted.
    pub method: String,
}

/// What the CPU's counters say; none of an event that it cannot count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct HardwareCounters {
    pub cycles: Option<f64>,
    pub instructions: Option<f64>,
    pub dtlb_load_misses: Option<f64>,
    pub cache_misses: Option<f64>,
    /// The smallest share of the tasks' time on a CPU in which one of them counted.
    pub counted_share: Option<f64>,
    /// Tasks that came while the counters were opened; over repeats their sum.
    pub uncertain_tasks: u64,
    /// How it was counted.
    pub method: String,
}

type Source = fn(&Counters) -> Option<&Vec<Option<Reading>>>;

/// The sums over the windows of some runs.
struct Grown {
    readings: Vec<Option<Reading>>,
    uncertain_tasks: u64,
}

const SOFTWARE_SOURCE: Source = |counters| counters.software.as_ref();
const HARDWARE_SOURCE: Source = |counters| counters.hardware.as_ref();

/// Whether the counters of a run agree with each other.
pub(super) fn check(run: &Run) -> Result<(), Problem> {
    Grown::of([run].into_iter(), SOFTWARE_SOURCE, &SOFTWARE)?;
    Grown::of([run].into_iter(), HARDWARE_SOURCE, &HARDWARE)?;
    Ok(())
}

impl SoftwareCounters {
    /// None unless every run has them.
    pub(super) fn of<'a>(
        runs: impl Iterator<Item = &'a Run>,
        recording: &Recording,
    ) -> Result<Option<Self>, Problem> {
        let Some(grown) = Grown::of(runs, SOFTWARE_SOURCE, &SOFTWARE)? else {
            return Ok(None);
        };
        let counts: Option<Vec<u64>> = grown.readings.iter().map(|r| Some((*r)?.count)).collect();
        let Some(&[context_switches, cpu_migrations, page_faults, clock_ns]) = counts.as_deref()
        else {
            return Ok(None);
        };
        Ok(Some(Self {
            context_switches,
            cpu_migrations,
            page_faults,
            task_clock_seconds: clock_ns as f64 / 1e9,
            uncertain_tasks: grown.uncertain_tasks,
            method: method(recording, "software_counters"),
        }))
    }
}

impl HardwareCounters {
    /// None unless every run has them.
    pub(super) fn of<'a>(
        runs: impl Iterator<Item = &'a Run>,
        recording: &Recording,
    ) -> Result<Option<Self>, Problem> {
        let Some(grown) = Grown::of(runs, HARDWARE_SOURCE, &HARDWARE)? else {
            return Ok(None);
        };
        let &[cycles, instructions, dtlb_load_misses, cache_misses] = grown.readings.as_slice()
        else {
            return Ok(None);
        };
        let shares = grown.readings.iter().flatten().filter_map(counted_share);
        Ok(Some(Self {
            cycles: cycles.and_then(scaled),
            instructions: instructions.and_then(scaled),
            dtlb_load_misses: dtlb_load_misses.and_then(scaled),
            cache_misses: cache_misses.and_then(scaled),
            counted_share: shares.reduce(f64::min),
            uncertain_tasks: grown.uncertain_tasks,
            method: method(recording, "hardware_counters"),
        }))
    }
}

impl Grown {
    fn of<'a>(
        runs: impl Iterator<Item = &'a Run>,
        source: Source,
        names: &[&str],
    ) -> Result<Option<Self>, Problem> {
        let mut sum = None;
        for run in runs {
            let (Some(start), Some(end)) = (&run.start.counters, &run.end.counters) else {
                return Ok(None);
            };
            let (Some(from), Some(to)) = (source(start), source(end)) else {
                return Ok(None);
            };
            let sum = sum.get_or_insert_with(|| Self {
                readings: vec![Some(Reading::default()); names.len()],
                uncertain_tasks: 0,
            });
            sum.uncertain_tasks += end.uncertain_tasks;
            let each = sum.readings.iter_mut().zip(names).zip(from.iter().zip(to));
            for ((sum, name), (from, to)) in each {
                *sum = match (*sum, from, to) {
                    (Some(sum), Some(from), Some(to)) => Some(add(sum, from, to, name)?),
                    _ => None,
                };
            }
        }
        Ok(sum)
    }
}

fn add(sum: Reading, from: &Reading, to: &Reading, name: &str) -> Result<Reading, Problem> {
    let grown = |from, to, what| growth(from, to, || format!("{what} of counter {name}"));
    Ok(Reading {
        count: sum.count + grown(from.count, to.count, "count")?,
        enabled_ns: sum.enabled_ns + grown(from.enabled_ns, to.enabled_ns, "enabled time")?,
        running_ns: sum.running_ns + grown(from.running_ns, to.running_ns, "running time")?,
    })
}

/// The count of the whole time, from the time in which it counted; none if that is none.
fn scaled(reading: Reading) -> Option<f64> {
    counted_share(&reading).and_then(|share| match share {
        0.0 => None,
        share => Some(reading.count as f64 / share),
    })
}

fn counted_share(reading: &Reading) -> Option<f64> {
    let (running, enabled) = (reading.running_ns as f64, reading.enabled_ns as f64);
    (reading.enabled_ns > 0).then(|| running / enabled)
}
