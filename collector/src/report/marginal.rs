//! What one more connection adds to the memory of a server, or to what it reserves: a straight line
//! through what it had at rest with so many connections open.

use serde::{Deserialize, Serialize};

use super::student::t_quantile;
use crate::snapshot::MemoryPoint;

/// The slope of memory over connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Marginal {
    /// Bytes that one more connection adds; none where there are too few points.
    pub value: Option<f64>,
    /// The 95 % confidence interval of it, lower and upper bound.
    pub confidence_95: Option<[f64; 2]>,
    /// Points the line was laid through.
    pub points: u64,
    /// The points themselves, by repeat.
    pub points_detail: Vec<Point>,
    /// The fewest and the most connections among them: the range the slope was seen over.
    pub connections: Option<[u32; 2]>,
    /// Why there is no value.
    pub reason: Option<String>,
    /// How it was measured.
    pub method: String,
}

/// What the target held with so many connections open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Which of the repeats, from 1: each has an intercept of its own.
    pub repeat: u64,
    /// Open connections.
    pub connections: u32,
    /// Bytes charged to the target's cgroup, or that all of its processes held of their own, or reserved.
    pub bytes: u64,
}

/// A slope and half the width of its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// Units of y to a unit of x.
    pub value: f64,
    /// The true slope is within `value ± margin_95` with 95 % confidence.
    pub margin_95: f64,
}

/// Ordinary least squares over series that share a slope and have an intercept each (a server
/// started anew holds another amount of memory at rest). With one series this is the simple linear
/// regression of any textbook: slope `Sxy/Sxx`, standard error `sqrt(SSE / degrees / Sxx)`, and
/// Student's t with `points - series - 1` degrees of freedom.
///
/// # Errors
/// Why there is no slope: no degree of freedom left, or `x` the same throughout.
pub fn fit(series: &[&[(f64, f64)]]) -> Result<Slope, &'static str> {
    let series: Vec<_> = series
        .iter()
        .filter(|points| !points.is_empty())
        .map(centred)
        .collect();
    let points: usize = series.iter().map(Vec::len).sum();
    let degrees = points.saturating_sub(series.len() + 1);
    let all = || series.iter().flatten();
    let sxx: f64 = all().map(|(x, _)| x * x).sum();
    if degrees == 0 {
        return Err("a slope with an interval needs three points at least");
    }
    if sxx <= 0.0 {
        return Err("a slope needs points at different numbers of connections");
    }
    let value = all().map(|(x, y)| x * y).sum::<f64>() / sxx;
    let squared_error: f64 = all().map(|(x, y)| (y - value * x).powi(2)).sum();
    let standard_error = (squared_error / degrees as f64 / sxx).sqrt();
    let degrees = u32::try_from(degrees).unwrap_or(u32::MAX);
    Ok(Slope {
        value,
        margin_95: t_quantile(degrees, 0.95) * standard_error,
    })
}

/// The points of a series relative to their mean.
fn centred(points: &&[(f64, f64)]) -> Vec<(f64, f64)> {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|point| point.0).sum::<f64>() / count;
    let mean_y = points.iter().map(|point| point.1).sum::<f64>() / count;
    points
        .iter()
        .map(|(x, y)| (x - mean_x, y - mean_y))
        .collect()
}

impl Marginal {
    /// The slope through the points of all repeats; `unavailable` is why there are none, where
    /// that is known.
    ///
    /// The interval is never narrower than the counter allows: it moves in batches that each of
    /// the host's `cpus` keeps ([`COUNTER_BATCH_BYTES`]); 0 for what is exact.
    #[must_use]
    pub fn of(
        repeats: &[&[MemoryPoint]],
        cpus: u32,
        unavailable: Option<&str>,
        method: String,
    ) -> Self {
        let slope = slope(repeats).map(|slope| Slope {
            margin_95: slope.margin_95.max(resolution(repeats, cpus)),
            ..slope
        });
        let connections = || {
            repeats
                .iter()
                .copied()
                .flatten()
                .map(|point| point.connections)
        };
        Self {
            value: slope.ok().map(|slope| slope.value),
            confidence_95: slope
                .ok()
                .map(|slope| [slope.value - slope.margin_95, slope.value + slope.margin_95]),
            points: connections().count() as u64,
            points_detail: points_of(repeats),
            connections: connections()
                .min()
                .zip(connections().max())
                .map(|(min, max)| [min, max]),
            reason: slope
                .err()
                .map(|reason| unavailable.unwrap_or(reason).to_owned()),
            method,
        }
    }
}

/// A slope through moments of a watch needs so many connections between the fewest and the most, and this share of
/// the most: less is lost in what connections do meanwhile.
const RANGE_CONNECTIONS: u32 = 5;
const RANGE_SHARE: f64 = 0.1;

impl Marginal {
    /// The slope through moments at which the connections of a target rested, over which it has no say;
    /// `unavailable` as for [`Self::of`].
    #[must_use]
    pub fn of_moments(
        repeats: &[&[MemoryPoint]],
        unavailable: Option<&str>,
        method: String,
    ) -> Self {
        let mut marginal = Self::of(repeats, 0, unavailable, method);
        let [fewest, most] = marginal.connections.unwrap_or_default();
        let needed = RANGE_CONNECTIONS.max((f64::from(most) * RANGE_SHARE).ceil() as u32);
        if marginal.value.is_some() && most - fewest >= needed {
            return marginal;
        }
        (marginal.value, marginal.confidence_95) = (None, None);
        let seen = match marginal.points {
            0 => "there was no moment at which the number of connections rested and processes could be looked at".to_owned(),
            points => format!(
                "moments of the watch at which the number of connections rested: {points}, with {fewest} to {most} of them"
            ),
        };
        let reason = format!(
            "{seen}; a slope needs three moments, {needed} connections apart; what each holds is in own_bytes"
        );
        marginal.reason = Some(unavailable.map_or(reason, str::to_owned));
        marginal
    }
}

/// What a CPU may have charged to a cgroup ahead of use: 64 pages (`MEMCG_CHARGE_BATCH`, mm/memcontrol.c).
pub const COUNTER_BATCH_BYTES: f64 = 64.0 * 4096.0;

/// What the counter's batches alone can do to a slope over the widest range of a repeat, in bytes to
/// a connection.
fn resolution(repeats: &[&[MemoryPoint]], cpus: u32) -> f64 {
    let range = |points: &&[MemoryPoint]| {
        let connections = || points.iter().map(|point| point.connections);
        Some(f64::from(connections().max()? - connections().min()?))
    };
    let widest = repeats.iter().filter_map(range).fold(0.0, f64::max);
    COUNTER_BATCH_BYTES * f64::from(cpus) / widest.max(1.0)
}

fn points_of(repeats: &[&[MemoryPoint]]) -> Vec<Point> {
    let of_repeat = |(repeat, points): (u64, &&[MemoryPoint])| {
        let point = |&MemoryPoint { connections, bytes }: &MemoryPoint| Point {
            repeat,
            connections,
            bytes,
        };
        points.iter().map(point).collect::<Vec<_>>()
    };
    (1..).zip(repeats).flat_map(of_repeat).collect()
}

/// The slope through the points of all repeats, in bytes to a connection.
///
/// # Errors
/// As for [`fit`].
pub(super) fn slope(repeats: &[&[MemoryPoint]]) -> Result<Slope, &'static str> {
    let plain = |point: &MemoryPoint| (f64::from(point.connections), point.bytes as f64);
    let series: Vec<Vec<_>> = repeats
        .iter()
        .map(|points| points.iter().map(plain).collect())
        .collect();
    fit(&series.iter().map(Vec::as_slice).collect::<Vec<_>>())
}
