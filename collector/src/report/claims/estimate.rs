//! Samples of several rounds into a median, a spread and an interval.

use serde::Serialize;

use super::super::spread::median;
use super::super::student::t_quantile;
use crate::figures::{Round, Unit};

/// What samples say of a figure.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// The middle of the rounds' medians.
    pub median: f64,
    /// A quarter of all samples is below.
    pub p25: f64,
    /// A quarter of them is above.
    pub p75: f64,
    /// The smallest of them.
    pub min: f64,
    /// The largest of them.
    pub max: f64,
    /// The 95 % confidence interval of the median, from what the rounds differ by: Student's t over the
    /// logarithms of their medians, or over these where not all are above 0; of R² over Fisher's z, so that it stays
    /// from 0 to 1. None of one round.
    pub confidence_95: Option<[f64; 2]>,
    /// Samples.
    pub samples: u64,
    /// Rounds they were taken in.
    pub rounds: u64,
}

impl Estimate {
    /// Of the samples of these rounds, in this unit; none of no samples.
    #[must_use]
    pub fn of(rounds: &[Round], unit: Unit) -> Option<Self> {
        let medians: Vec<f64> = rounds.iter().filter_map(|it| median(&it.samples)).collect();
        let mut all: Vec<f64> = rounds.iter().flat_map(|it| it.samples.clone()).collect();
        all.sort_by(f64::total_cmp);
        let middle = median(&medians)?;
        Some(Self {
            median: middle,
            p25: quantile(&all, 0.25),
            p75: quantile(&all, 0.75),
            min: quantile(&all, 0.0),
            max: quantile(&all, 1.0),
            confidence_95: interval(&medians, unit)
                .map(|[from, to]| [from.min(middle), to.max(middle)]),
            samples: all.len() as u64,
            rounds: medians.len() as u64,
        })
    }
}

/// Between two samples it goes in a straight line (Hyndman and Fan's definition 7).
fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let place = fraction * sorted.len().saturating_sub(1) as f64;
    let (below, above) = (sorted[place as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

/// The 95 % confidence interval by Student's t; over the logarithms where all values are above 0, since what
/// disturbs a measurement makes it so many times as large; of R² over Fisher's z, `atanh(R)`.
fn interval(values: &[f64], unit: Unit) -> Option<[f64; 2]> {
    let degrees = u32::try_from(values.len().checked_sub(1)?).ok()?;
    if degrees == 0 {
        return None;
    }
    if values.iter().all(|value| *value == values[0]) {
        return Some([values[0]; 2]);
    }
    let over = |scale: fn(&f64) -> f64| {
        let scaled: Vec<f64> = values.iter().map(scale).collect();
        of_mean(&scaled, degrees)
    };
    Some(match unit {
        Unit::RSquared => over(fisher_z).map(|z| z.max(0.0).tanh().powi(2)),
        _ if values.iter().all(|value| *value > 0.0) => over(|value| value.ln()).map(f64::exp),
        _ => over(|value| *value),
    })
}

/// Of R² that is 1 but for the last digit where it is 1, since that has none.
fn fisher_z(r_squared: &f64) -> f64 {
    r_squared
        .clamp(0.0, 1.0 - f64::EPSILON)
        .sqrt()
        .min(1.0 - f64::EPSILON)
        .atanh()
}

fn of_mean(values: &[f64], degrees: u32) -> [f64; 2] {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let margin = t_quantile(degrees, 0.95) * (squares / f64::from(degrees) / count).sqrt();
    [mean - margin, mean + margin]
}
