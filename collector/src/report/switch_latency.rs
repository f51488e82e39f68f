//! Direct latency of context switches, raw and with the instrument's own share taken off.
//!
//! Of switches timed by stamps in the kernel the instrument's share is known one by one, and has been
//! taken off each: they come twice, with it and without, as recorded by one event and by none.
//!
//! Each event that records switches makes them longer by about the same time. So the medians with
//! one, two and three recording events lie on a line, and where it meets none is the corrected
//! median. What that takes off the median is taken off the other percentiles too: those of a sum are
//! not the sums of percentiles, so a line of its own through each would take off too much.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::distribution::Distribution;
use super::error::Problem;
use super::histogram::{Samples, bucket_edges};
use super::window::Window;
use crate::snapshot::{self, Role, Run, Snapshot, SwitchKind};

/// The probe's name in the recording, and the measure's.
pub(super) const NAME: &str = "switch_latency";

/// Fewer samples than this with a number of recording events make no median to extrapolate from: it
/// would be off by more than a fifth of what switches vary by.
pub const MIN_SAMPLES: u64 = 100;
/// It takes so many medians to make a line. Three are there unless others record too.
const MIN_POINTS: usize = 2;

/// How long a CPU took from one task to the next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SwitchLatency {
    /// Between tasks that share an address space: threads of a process.
    pub same_address_space: Kind,
    /// Between tasks that do not.
    pub different_address_space: Kind,
    /// To or from idle.
    pub idle: Kind,
    /// To or from a thread of the kernel, the other not being idle.
    pub kernel_thread: Kind,
    /// Time that windows were open in the measured one, in seconds.
    pub window_seconds: f64,
    /// Windows that opened in it.
    pub windows: u64,
    /// What the windows missed, of all tasks of the host, by what it was.
    pub lost: BTreeMap<String, u64>,
    /// How it was measured.
    pub method: String,
}

/// Switches between two kinds of tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kind {
    /// All of them.
    pub all: Figures,
    /// The task that left had to wait for something.
    pub voluntary: Figures,
    /// It would have run on.
    pub preempted: Figures,
}

/// The figures of some switches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// As recorded by the fewest events: by one, unless others record too.
    pub raw: Distribution,
    /// Without the instrument; none with a `reason`.
    pub corrected: Option<Corrected>,
    /// What each event that records a switch, or the stamps that time it, add to it, in seconds.
    pub recording_cost_seconds: Option<f64>,
    /// The medians that were extrapolated from.
    pub by_recording_events: Vec<Point>,
    /// Why there is nothing corrected.
    pub reason: Option<String>,
}

/// Percentiles less what recording adds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Corrected {
    pub p50_seconds: f64,
    /// The 95 % interval of `p50_seconds`, from the spread of the samples around the medians.
    pub p50_confidence_95_seconds: [f64; 2],
    pub p90_seconds: f64,
    pub p99_seconds: f64,
}

/// Switches that so many events recorded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Point {
    pub recording_events: u32,
    pub count: u64,
    pub p50_seconds: Option<f64>,
}

/// Samples by kind, whether the task was preempted, and number of recording events.
pub(super) type Switches = BTreeMap<(SwitchKind, bool, u32), Samples>;

/// The samples taken between two snapshots of a role.
pub(super) fn switches_between(start: &Role, end: &Role) -> Result<Switches, Problem> {
    type Samples = snapshot::SwitchSamples;
    let key = |s: &Samples| (s.kind, s.preempted, s.recording_events);
    let nothing = snapshot::Histogram::default();
    let mut switches = Switches::new();
    for later in &end.switch_latency.samples {
        let same = |earlier: &&Samples| key(earlier) == key(later);
        let earlier = start.switch_latency.samples.iter().find(same);
        let earlier = earlier.map_or(&nothing, |earlier| &earlier.histogram);
        let name = format!("{NAME} of role {}", end.name);
        let samples = super::histogram::Samples::between(earlier, &later.histogram, &name)?;
        switches.insert(key(later), samples);
    }
    Ok(switches)
}

/// Adds the samples of another group.
pub(super) fn add_switches(sum: &mut Switches, other: &Switches) -> Result<(), Problem> {
    for (key, samples) in other {
        sum.entry(*key).or_default().add(samples, NAME)?;
    }
    Ok(())
}

/// How much of the measured windows was looked at, and what was missed.
#[derive(Clone, Debug, Default)]
pub(super) struct Looked {
    seconds: f64,
    windows: u64,
    lost: BTreeMap<String, u64>,
}

impl Looked {
    pub(super) fn of(windows: &[Window<'_>]) -> Self {
        let mut looked = Self::default();
        for window in windows {
            looked.add(window.run);
        }
        looked
    }

    fn add(&mut self, run: &Run) {
        let (start, end) = (window(&run.start), window(&run.end));
        self.seconds += end.0.saturating_sub(start.0) as f64 / 1e9;
        self.windows += end.1.saturating_sub(start.1);
        for loss in run.end.losses.iter().filter(|loss| loss.probe == NAME) {
            let same = |earlier: &&snapshot::Loss| {
                (&earlier.probe, &earlier.what) == (&loss.probe, &loss.what)
            };
            let earlier = run.start.losses.iter().find(same);
            let earlier = earlier.map_or(0, |earlier| earlier.count);
            *self.lost.entry(loss.what.clone()).or_default() += loss.count.saturating_sub(earlier);
        }
    }
}

/// Nanoseconds that windows were open so far, and how many there were.
fn window(snapshot: &Snapshot) -> (u64, u64) {
    let of_probe = snapshot.windows.iter().find(|window| window.probe == NAME);
    of_probe.map_or((0, 0), |window| (window.open_ns, window.windows))
}

impl SwitchLatency {
    /// The figures of these switches.
    pub(super) fn of(switches: &Switches, looked: &Looked, method: &str) -> Self {
        let kind = |wanted: SwitchKind| {
            let figures = |preempted: &[bool]| {
                let mut points = BTreeMap::<u32, Samples>::new();
                for ((kind, was_preempted, events), samples) in switches {
                    if *kind == wanted && preempted.contains(was_preempted) {
                        // Of one shape all of them: they are of one program.
                        let _ = points.entry(*events).or_default().add(samples, NAME);
                    }
                }
                Figures::of(points, looked.seconds, method)
            };
            Kind {
                all: figures(&[false, true]),
                voluntary: figures(&[false]),
                preempted: figures(&[true]),
            }
        };
        Self {
            same_address_space: kind(SwitchKind::SameAddressSpace),
            different_address_space: kind(SwitchKind::DifferentAddressSpace),
            idle: kind(SwitchKind::Idle),
            kernel_thread: kind(SwitchKind::KernelThread),
            window_seconds: looked.seconds,
            windows: looked.windows,
            lost: looked.lost.clone(),
            method: method.to_owned(),
        }
    }
}

impl Figures {
    fn of(mut points: BTreeMap<u32, Samples>, looked_seconds: f64, method: &str) -> Self {
        points.retain(|_, samples| samples.count() > 0);
        let by_recording_events: Vec<Point> = points.iter().map(Point::of).collect();
        if let Some(without) = points.remove(&0) {
            let raw = points.values().next().cloned().unwrap_or_default();
            return Self::of_stamps(&raw, &without, by_recording_events, method);
        }
        let raw = points.values().next().cloned().unwrap_or_default();
        let enough = |(_, samples): &(&u32, &Samples)| samples.count() >= MIN_SAMPLES;
        let enough: Vec<_> = points.iter().filter(enough).collect();
        let line = (enough.len() >= MIN_POINTS).then(|| Line::through(&enough));
        let corrected = line.as_ref().and_then(|line| line.correct(enough[0].1));
        let reason = match (&corrected, &line) {
            (Some(_), _) => None,
            (None, Some(_)) => Some("what recording adds cannot be told from noise".to_owned()),
            (None, None) if looked_seconds <= 0.0 => {
                Some("no window fell into the measured time".to_owned())
            }
            (None, None) if points.is_empty() => Some("no such switch in the windows".to_owned()),
            (None, None) => Some(format!(
                "too few such switches in the windows: {MIN_SAMPLES} with each of {MIN_POINTS} numbers of recording events are needed"
            )),
        };
        Self {
            raw: Distribution::of(&raw, method.to_owned()),
            recording_cost_seconds: corrected.and(line).map(|line| line.slope_ns / 1e9),
            corrected,
            by_recording_events,
            reason,
        }
    }
}

impl Figures {
    /// Whether the instrument's share was known, and taken off, one by one.
    #[must_use]
    pub fn is_stamped(&self) -> bool {
        let mut points = self.by_recording_events.iter();
        points.any(|point| point.recording_events == 0)
    }

    /// Of switches with the time that their stamps take, and without it.
    fn of_stamps(
        raw: &Samples,
        without: &Samples,
        by_recording_events: Vec<Point>,
        method: &str,
    ) -> Self {
        let enough = without.count() >= MIN_SAMPLES;
        let corrected = enough.then(|| Corrected::of(without)).flatten();
        let median = |samples| quantile_ns(samples, 0.5).unwrap_or(f64::NAN);
        let cost_ns = median(raw) - median(without);
        Self {
            raw: Distribution::of(raw, method.to_owned()),
            recording_cost_seconds: corrected.map(|_| cost_ns / 1e9),
            reason: corrected
                .is_none()
                .then(|| format!("too few such switches in the windows: {MIN_SAMPLES} are needed")),
            corrected,
            by_recording_events,
        }
    }
}

impl Corrected {
    /// Of samples that are without the instrument each.
    fn of(samples: &Samples) -> Option<Self> {
        let seconds = |share| quantile_ns(samples, share).map(|ns| ns / 1e9);
        let (p50_seconds, margin) = (seconds(0.5)?, median_margin_ns(samples) / 1e9);
        Some(Self {
            p50_seconds,
            p50_confidence_95_seconds: [(p50_seconds - margin).max(0.0), p50_seconds + margin],
            p90_seconds: seconds(0.9)?,
            p99_seconds: seconds(0.99)?,
        })
    }
}

impl Point {
    fn of((&recording_events, samples): (&u32, &Samples)) -> Self {
        Self {
            recording_events,
            count: samples.count(),
            p50_seconds: quantile_ns(samples, 0.5).map(|ns| ns / 1e9),
        }
    }
}

/// The line through medians over numbers of recording events, by least squares.
struct Line {
    /// At no event.
    origin_ns: f64,
    /// Half the width of its 95 % interval.
    margin_ns: f64,
    slope_ns: f64,
}

impl Line {
    fn through(points: &[(&u32, &Samples)]) -> Self {
        let count = points.len() as f64;
        let mean = points
            .iter()
            .map(|(events, _)| f64::from(**events))
            .sum::<f64>()
            / count;
        let off = |events: &u32| f64::from(*events) - mean;
        let square: f64 = points.iter().map(|(events, _)| off(events).powi(2)).sum();
        let mut line = Self {
            origin_ns: 0.0,
            margin_ns: 0.0,
            slope_ns: 0.0,
        };
        for (events, samples) in points {
            let median = quantile_ns(samples, 0.5).unwrap_or(f64::NAN);
            let weight = 1.0 / count - mean * off(events) / square;
            line.slope_ns += off(events) / square * median;
            line.origin_ns += weight * median;
            line.margin_ns += (weight * median_margin_ns(samples)).powi(2);
        }
        line.margin_ns = line.margin_ns.sqrt();
        line
    }

    /// The percentiles of samples that the fewest events recorded, less what that added; none if
    /// the line does not rise from a time above 0.
    fn correct(&self, samples: &Samples) -> Option<Corrected> {
        let quantile = |share| quantile_ns(samples, share);
        let added_ns = quantile(0.5)? - self.origin_ns;
        if self.origin_ns <= 0.0 || self.slope_ns <= 0.0 || added_ns <= 0.0 {
            return None;
        }
        let [lower, upper] = [-self.margin_ns, self.margin_ns].map(|m| (self.origin_ns + m) / 1e9);
        Some(Corrected {
            p50_seconds: self.origin_ns / 1e9,
            p50_confidence_95_seconds: [lower.max(0.0), upper],
            p90_seconds: (quantile(0.9)? - added_ns) / 1e9,
            p99_seconds: (quantile(0.99)? - added_ns) / 1e9,
        })
    }
}

/// The value that this share of the samples does not exceed, if those of a bucket are spread evenly
/// over it: medians a fraction of a bucket apart are told apart.
fn quantile_ns(samples: &Samples, share: f64) -> Option<f64> {
    let wanted = share.clamp(0.0, 1.0) * samples.count() as f64;
    let mut below = 0.0;
    for (bucket, &count) in samples
        .counts
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
    {
        let count = count as f64;
        if below + count >= wanted {
            let (lower, upper) = bucket_edges(samples.sub_bits, bucket);
            let width = (upper - lower) as f64 + 1.0;
            return Some(lower as f64 + width * (wanted - below) / count);
        }
        below += count;
    }
    None
}

/// Half the 95 % interval of a median: between the samples whose ranks bound it, whatever their
/// distribution.
fn median_margin_ns(samples: &Samples) -> f64 {
    let ranks = 0.98 / (samples.count() as f64).sqrt();
    let at = |share| quantile_ns(samples, share).unwrap_or(f64::NAN);
    (at(0.5 + ranks) - at(0.5 - ranks)) / 2.0
}
