//! What many rounds come to.
#![allow(dead_code, unreachable_pub)]

use std::fmt;

/// The middle half of some values, and their median.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub lower: f64,
    pub median: f64,
    pub upper: f64,
}

impl Spread {
    pub fn of(values: &[f64]) -> Self {
        let at = |share| quantile(values, share);
        Self {
            lower: at(0.25),
            median: at(0.5),
            upper: at(0.75),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            lower,
            median,
            upper,
        } = self;
        write!(f, "{median:.1} ({lower:.1} to {upper:.1})")
    }
}

/// The same work with and without something, in turns.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    with: Vec<f64>,
    without: Vec<f64>,
}

impl Turns {
    /// One turn, and the work without it just before and just after.
    pub fn add(&mut self, with: f64, without: [f64; 2]) {
        self.with.push(with);
        self.without.push((without[0] + without[1]) / 2.0);
    }

    /// By how many percent the work takes longer, of each turn against its neighbours: a host that is now faster and
    /// now slower than seconds ago is so for all three.
    pub fn percent(&self) -> Spread {
        let pairs = self.with.iter().zip(&self.without);
        let each: Vec<_> = pairs
            .map(|(with, without)| (with / without - 1.0) * 100.0)
            .collect();
        Spread::of(&each)
    }
}

/// NaN of nothing.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let place = (last as f64 * share).round() as usize;
    values.get(place).copied().unwrap_or(f64::NAN)
}
