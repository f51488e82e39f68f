//! What basic operations cost: samples into medians and spreads, sizes into a slope, numbers of
//! address spaces into the place where it becomes dearer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::SCHEMA;
use super::line::{Line, line};
use crate::series::{Calibration as Recording, Described, Finding, Missing, Sample, Series};
use crate::snapshot::Host;

/// What `connscope calibrate` reports, field by field as `docs/json.md` describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `calibrate`.
    pub command: String,
    /// Why it ended before its time, if it did.
    pub incomplete: Option<String>,
    /// The machine it was made on.
    pub host: Host,
    /// Fewer and shorter samples were asked for.
    pub quick: bool,
    /// How long all of it took, in seconds.
    pub duration_seconds: f64,
    /// One entry for each operation of which anything was measured.
    pub operations: Vec<Operation>,
    /// What could not be measured, and why.
    pub unavailable: Vec<Missing>,
}

/// An operation and what it costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Its name.
    pub name: String,
    /// The heading it stands below.
    pub group: String,
    /// What it is, in a few words.
    pub title: String,
    /// What a figure is of one of.
    pub unit: String,
    /// How it was measured.
    pub method: String,
    /// One for each variant.
    pub results: Vec<Measured>,
    /// Cost over resident memory, where the variants differ in that.
    pub fit: Option<Fit>,
    /// Between which numbers of address spaces it becomes dearer, where the variants differ in that.
    pub step: Option<Step>,
}

/// What one variant costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Which variant.
    pub variant: String,
    /// What it was made with.
    pub parameters: BTreeMap<String, f64>,
    /// What the kernel counted meanwhile.
    pub observed: BTreeMap<String, f64>,
    /// Times the operation was done, in all samples together.
    pub operations: u64,
    /// Samples.
    pub samples: u64,
    /// Samples set aside, since other tasks had the CPU meanwhile.
    pub disturbed: u64,
    /// The cost of the operation: without the harness, where there is one.
    pub cost: Quartiles,
    /// As it was measured.
    pub raw: Quartiles,
    /// The same work without the operation; none where there is no such thing.
    pub harness: Option<Quartiles>,
    /// What the working set adds to the median cost, in seconds, where the variants differ in that.
    pub indirect_seconds: Option<f64>,
}

/// How samples are distributed, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quartiles {
    /// The smallest.
    pub min_seconds: f64,
    /// A quarter of the samples is below.
    pub p25_seconds: f64,
    /// The middle.
    pub median_seconds: f64,
    /// A quarter of the samples is above.
    pub p75_seconds: f64,
    /// The largest.
    pub max_seconds: f64,
}

/// The straight line through the medians over resident memory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// What one more resident page of 4 KB adds, in seconds.
    pub seconds_per_page: f64,
    /// The 95 % confidence interval of that.
    pub confidence_95: [f64; 2],
    /// What it would cost without resident memory, in seconds.
    pub intercept_seconds: f64,
    /// The share of the variance that the line explains.
    pub r_squared: f64,
    /// Points the line was laid through.
    pub points: u64,
}

/// Where one more address space costs most.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The last number of address spaces before it.
    pub from: u64,
    /// The first one after it.
    pub to: u64,
    /// By how much the medians differ, in seconds.
    pub rise_seconds: f64,
}

const PAGE_BYTES: f64 = 4096.0;

/// Turns what was found into figures.
#[must_use]
pub fn build(recording: &Recording) -> Calibration {
    let all = || recording.findings.iter();
    let operation = |described: &Described| {
        let series: Vec<&Series> = all()
            .filter_map(|finding| match finding {
                Finding::Series(series) if series.operation == described.name => Some(series),
                _ => None,
            })
            .collect();
        operation(described, &series)
    };
    Calibration {
        schema: SCHEMA,
        command: "calibrate".to_owned(),
        incomplete: recording.incomplete.clone(),
        host: recording.host.clone(),
        quick: recording.quick,
        duration_seconds: recording.took_ns as f64 / 1e9,
        operations: recording.operations.iter().filter_map(operation).collect(),
        unavailable: all()
            .filter_map(|finding| match finding {
                Finding::Missing(missing) => Some(missing.clone()),
                Finding::Series(_) => None,
            })
            .collect(),
    }
}

/// None if nothing was measured.
fn operation(described: &Described, series: &[&Series]) -> Option<Operation> {
    let mut results: Vec<Measured> = series.iter().filter_map(|it| measured(it)).collect();
    if results.is_empty() {
        return None;
    }
    add_indirect(&mut results);
    Some(Operation {
        name: described.name.clone(),
        group: described.group.clone(),
        title: described.title.clone(),
        unit: described.unit.clone(),
        method: described.method.clone(),
        fit: fit(&results),
        step: step(&results),
        results,
    })
}

fn measured(series: &Series) -> Option<Measured> {
    let of = |figure: &dyn Fn(&Sample) -> Option<f64>| {
        Quartiles::of_ns(series.samples.iter().filter_map(figure).collect())
    };
    Some(Measured {
        variant: series.variant.clone(),
        parameters: series.parameters.clone(),
        observed: series.observed.clone(),
        operations: series.operations,
        samples: series.samples.len() as u64,
        disturbed: series.disturbed,
        cost: of(&|sample| Some(sample.net_ns()))?,
        raw: of(&|sample| Some(sample.raw_ns))?,
        harness: of(&|sample| sample.harness_ns),
        indirect_seconds: None,
    })
}

impl Quartiles {
    /// Of these samples in nanoseconds; none of no samples. Between two samples it goes in a straight
    /// line (Hyndman and Fan's definition 7, the one of R and NumPy).
    #[must_use]
    pub fn of_ns(mut samples: Vec<f64>) -> Option<Self> {
        samples.sort_by(f64::total_cmp);
        let last = samples.len().checked_sub(1)?;
        let at = |fraction: f64| {
            let place = fraction * last as f64;
            let (below, above) = (samples[place as usize], samples[place.ceil() as usize]);
            (below + (above - below) * place.fract()) / 1e9
        };
        Some(Self {
            min_seconds: at(0.0),
            p25_seconds: at(0.25),
            median_seconds: at(0.5),
            p75_seconds: at(0.75),
            max_seconds: at(1.0),
        })
    }
}

/// What working sets add to the result without one.
fn add_indirect(results: &mut [Measured]) {
    let size = |result: &Measured| result.parameters.get("working_set_bytes").copied();
    let direct = results.iter().find(|result| size(result) == Some(0.0));
    let Some(direct) = direct.map(|result| result.cost.median_seconds) else {
        return;
    };
    for result in results.iter_mut().filter(|it| size(it) > Some(0.0)) {
        result.indirect_seconds = Some(result.cost.median_seconds - direct);
    }
}

/// The line through the variants that differ in resident memory alone.
fn fit(results: &[Measured]) -> Option<Fit> {
    let point = |result: &Measured| {
        let pages = result.parameters.get("resident_bytes")? / PAGE_BYTES;
        (result.parameters.len() == 1).then_some((pages, result.cost.median_seconds))
    };
    let points: Vec<(f64, f64)> = results.iter().filter_map(point).collect();
    let Line {
        slope,
        intercept,
        r_squared,
    } = line(&points)?;
    Some(Fit {
        seconds_per_page: slope.value,
        confidence_95: [slope.value - slope.margin_95, slope.value + slope.margin_95],
        intercept_seconds: intercept,
        r_squared,
        points: points.len() as u64,
    })
}

/// The largest rise from one number of address spaces to the next, if it is beyond doubt: three
/// quarters of the samples after it are above three quarters of those before it, and no rise
/// elsewhere is half as large. A ring of two is left out: whoever receives in it has just sent, which
/// makes it cheaper than any other for reasons of its own.
fn step(results: &[Measured]) -> Option<Step> {
    let number = |result: &Measured| result.parameters.get("address_spaces").copied();
    let rings: Vec<(f64, Quartiles)> = results
        .iter()
        .filter_map(|result| Some((number(result)?, result.cost)))
        .filter(|(spaces, _)| *spaces > 2.0)
        .collect();
    let rise = |pair: &[(f64, Quartiles)]| pair[1].1.median_seconds - pair[0].1.median_seconds;
    let mut pairs: Vec<_> = rings.windows(2).collect();
    pairs.sort_by(|one, other| rise(other).total_cmp(&rise(one)));
    let (largest, second) = (pairs.first()?, pairs.get(1)?);
    let beyond_doubt = largest[1].1.p25_seconds > largest[0].1.p75_seconds;
    (beyond_doubt && rise(second) < rise(largest) / 2.0).then(|| Step {
        from: largest[0].0 as u64,
        to: largest[1].0 as u64,
        rise_seconds: rise(largest),
    })
}
