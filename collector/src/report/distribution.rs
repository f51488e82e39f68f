//! Samples as figures: the one shape in which every distribution is reported.

use serde::{Deserialize, Serialize};

use super::histogram::{Samples, bucket_edges};

/// How many samples there were, and how they were spread. Percentiles follow the nearest-rank
/// definition: the smallest sample that at least so many per cent of all samples do not exceed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Samples.
    pub count: u64,
    /// Their sum, exact, in seconds.
    pub sum_seconds: f64,
    /// Half of the samples are not above it. This and the others: seconds; none without samples,
    /// and where the sample is larger than the histogram reaches.
    pub p50_seconds: Option<f64>,
    /// Nine in ten are not above it.
    pub p90_seconds: Option<f64>,
    /// 99 in a hundred are not above it.
    pub p99_seconds: Option<f64>,
    /// The largest; none without samples.
    pub max_seconds: Option<f64>,
    /// No sample was larger than `max_seconds`, but the largest may have been smaller.
    pub max_is_bound: bool,
    /// A percentile is at most this fraction of itself away from the sample it stands for; none
    /// without samples.
    pub relative_error: Option<f64>,
    /// How it was measured.
    pub method: String,
    /// The samples by bucket, for pictures of them: in no JSON.
    #[serde(skip)]
    pub samples: Samples,
}

impl Distribution {
    /// The figures of these samples.
    #[must_use]
    pub fn of(samples: &Samples, method: String) -> Self {
        let count = samples.count();
        Self {
            count,
            sum_seconds: samples.sum_ns as f64 / 1e9,
            p50_seconds: percentile_ns(samples, 50).map(seconds),
            p90_seconds: percentile_ns(samples, 90).map(seconds),
            p99_seconds: percentile_ns(samples, 99).map(seconds),
            max_seconds: samples.max.map(|max| max.ns as f64 / 1e9),
            max_is_bound: samples.max.is_some_and(|max| max.is_bound),
            relative_error: (count > 0).then(|| relative_error(samples.sub_bits)),
            method,
            samples: samples.clone(),
        }
    }
}

/// The bound on the relative error of a percentile: half a bucket over its lower edge, which is
/// largest in the first bucket of a power of two.
#[must_use]
pub fn relative_error(sub_bits: u32) -> f64 {
    0.5 / 2_f64.powi(sub_bits.cast_signed())
}

/// The middle of the bucket that holds the sample of rank `ceil(percent / 100 * count)`, or the
/// largest sample where that is nearer; nanoseconds.
///
/// `percent` is 1 to 100. None without samples, and where the bucket has no upper edge.
#[must_use]
pub fn percentile_ns(samples: &Samples, percent: u8) -> Option<f64> {
    let rank = rank(percent, samples.count());
    let bucket = samples.bucket_of_rank(rank)?;
    if samples.open_bucket.is_some_and(|open| bucket >= open) {
        return None;
    }
    let (lower, upper) = bucket_edges(samples.sub_bits, bucket);
    let middle = f64::midpoint(lower as f64, upper as f64);
    Some(samples.max.map_or(middle, |max| middle.min(max.ns as f64)))
}

/// Nearest rank, from 1; 1 where there are no samples.
pub(super) fn rank(percent: u8, count: u64) -> u64 {
    let rank = (u128::from(count) * u128::from(percent)).div_ceil(100);
    u64::try_from(rank).unwrap_or(u64::MAX).max(1)
}

fn seconds(ns: f64) -> f64 {
    ns / 1e9
}
