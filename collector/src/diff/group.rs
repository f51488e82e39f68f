//! One figure in both records: its units, their means, and how far those can be trusted.

use super::figures::Figure;
use super::units::TargetUnits;
use std::collections::BTreeMap;

/// A figure of a target, unit by unit.
#[derive(Clone, Debug)]
pub struct Group {
    /// Which.
    pub figure: &'static Figure,
    /// Of A, by the number of the unit.
    pub a: BTreeMap<u32, f64>,
    /// Of B, likewise.
    pub b: BTreeMap<u32, f64>,
    /// A difference below this is of no interest, or finer than the figure.
    pub least: f64,
    /// How coarse the figure is: the width of the bucket that it was read from; 0 for what is exact.
    pub resolution: f64,
}

/// What units say of a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// The mean of A.
    pub a: f64,
    /// The mean of B.
    pub b: f64,
    /// The standard error of their difference, without the assumption that both vary alike (Welch 1947).
    pub standard_error: f64,
    /// The standard deviation of a unit, pooled over both.
    pub deviation: f64,
}

impl Group {
    /// None where either has no unit with it.
    pub(super) fn of(
        figure: &'static Figure,
        a: &TargetUnits,
        b: &TargetUnits,
        least_change: f64,
    ) -> Option<Self> {
        let (a, b) = (a.values(figure), b.values(figure));
        let size = (mean(a.values())?.abs() + mean(b.values())?.abs()) / 2.0;
        let resolution = figure.relative_width * size;
        Some(Self {
            figure,
            a,
            b,
            least: (least_change * size).max(resolution),
            resolution,
        })
    }

    /// Of the units as they are.
    #[must_use]
    pub fn estimate(&self) -> Estimate {
        let (a, b): (Vec<f64>, Vec<f64>) = (
            self.a.values().copied().collect(),
            self.b.values().copied().collect(),
        );
        self.estimate_of(&a, &b)
    }

    /// Of units, whoever they are of.
    pub(super) fn estimate_of(&self, a: &[f64], b: &[f64]) -> Estimate {
        let (count_a, count_b) = (a.len() as f64, b.len() as f64);
        let (Some(mean_a), Some(mean_b)) = (mean(a), mean(b)) else {
            return Estimate::default();
        };
        let squares = |values: &[f64], mean: f64| -> f64 {
            values.iter().map(|value| (value - mean).powi(2)).sum()
        };
        let (squares_a, squares_b) = (squares(a, mean_a), squares(b, mean_b));
        let variance = |squares: f64, count: f64| match count > 1.0 {
            true => squares / (count - 1.0),
            false => 0.0,
        };
        // What is rounded to a bucket is off by up to half of it, evenly: a variance of w²/12 each.
        let rounding = self.resolution.powi(2) / 12.0;
        let of_a = (variance(squares_a, count_a) + rounding) / count_a;
        let of_b = (variance(squares_b, count_b) + rounding) / count_b;
        Estimate {
            a: mean_a,
            b: mean_b,
            standard_error: (of_a + of_b).sqrt(),
            deviation: variance(squares_a + squares_b, count_a + count_b - 1.0).sqrt(),
        }
    }

    /// Whether both have two units: with one nothing is known of how it varies.
    pub(super) fn has_enough(&self) -> bool {
        self.a.len() >= 2 && self.b.len() >= 2
    }

    /// The factor by which a standardised difference of few units is too large (Hedges 1981).
    pub(super) fn correction(&self) -> f64 {
        let degrees = (self.a.len() + self.b.len()) as f64 - 2.0;
        1.0 - 3.0 / (4.0 * degrees - 1.0)
    }
}

fn mean<'a>(values: impl IntoIterator<Item = &'a f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value;
        count += 1.0;
    }
    (count > 0.0).then(|| sum / count)
}
