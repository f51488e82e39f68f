//! Latencies of requests, and their percentiles.

use hdrhistogram::Histogram;

/// Latencies are kept to this part of their value: three decimal digits.
const RELATIVE_ERROR: f64 = 1e-3;
/// The longest latency told apart, in nanoseconds: 2 h, more than a run may last.
const MAX_LATENCY_NS: u64 = 7_200_000_000_000;

/// Latencies of requests, one by one.
#[derive(Debug)]
pub(super) struct Latencies {
    /// All of them.
    pub(super) histogram: Histogram<u64>,
    /// Some are of requests that were never answered.
    is_bound: bool,
    sum_ns: u128,
    max_ns: u64,
    min_ns: u64,
}

/// Latencies in seconds, counted from the intended start. A request that was never answered is in
/// them with the time for which it was waited: left out, the slowest would be the ones missing.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Latency {
    /// Requests in it.
    pub(crate) count: u64,
    /// Unanswered requests are among them: percentiles and longest are lower bounds.
    pub(crate) is_bound: bool,
    /// Their sum.
    pub(crate) sum_seconds: f64,
    /// The shortest, exactly.
    pub(crate) min_seconds: f64,
    /// Half were no longer.
    pub p50_seconds: f64,
    /// 90 % were no longer.
    pub p90_seconds: f64,
    /// 99 % were no longer.
    pub p99_seconds: f64,
    /// 99.9 % were no longer.
    pub p99_9_seconds: f64,
    /// The longest, exactly.
    pub(crate) max_seconds: f64,
    /// The percentiles are right to this part of their value.
    pub(crate) relative_error: f64,
}

impl Latencies {
    pub(super) fn new() -> Self {
        Self {
            histogram: histogram(),
            is_bound: false,
            sum_ns: 0,
            max_ns: 0,
            min_ns: u64::MAX,
        }
    }

    pub(super) fn record(&mut self, latency_ns: u64) {
        self.histogram.saturating_record(latency_ns);
        self.sum_ns += u128::from(latency_ns);
        self.max_ns = self.max_ns.max(latency_ns);
        self.min_ns = self.min_ns.min(latency_ns);
    }

    /// Of a request that was never answered: it would have been longer.
    pub(super) fn record_unanswered(&mut self, waited_ns: u64) {
        self.is_bound = true;
        self.record(waited_ns);
    }

    pub(super) fn add(&mut self, other: &Self) {
        add(&mut self.histogram, &other.histogram);
        self.is_bound |= other.is_bound;
        self.sum_ns += other.sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
        self.min_ns = self.min_ns.min(other.min_ns);
    }

    pub(super) fn summary(&self) -> Option<Latency> {
        let count = self.histogram.len();
        let percentile = |part| quantile(&self.histogram, part, self.max_ns);
        (count > 0).then(|| Latency {
            count,
            is_bound: self.is_bound,
            sum_seconds: self.sum_ns as f64 / 1e9,
            min_seconds: self.min_ns as f64 / 1e9,
            p50_seconds: percentile(0.5),
            p90_seconds: percentile(0.9),
            p99_seconds: percentile(0.99),
            p99_9_seconds: percentile(0.999),
            max_seconds: self.max_ns as f64 / 1e9,
            relative_error: RELATIVE_ERROR,
        })
    }
}

/// Without a sample.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_LATENCY_NS, 3).expect("constant bounds are valid")
}

/// Exact: both have the same buckets.
pub(super) fn add(histogram: &mut Histogram<u64>, other: &Histogram<u64>) {
    histogram.add(other).expect("the same bounds");
}

/// A quantile in seconds. A bucket's upper end may lie above the longest value in it.
pub(super) fn quantile(histogram: &Histogram<u64>, part: f64, max_ns: u64) -> f64 {
    histogram.value_at_quantile(part).min(max_ns) as f64 / 1e9
}
