//! How far repeats of the same measurement lay apart.

use serde::{Deserialize, Serialize};

use super::distribution::percentile_ns;
use super::marginal::slope;
use super::measures::{per_request, switches};
use super::window::Window;

/// The headline figures, one value for each repeat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spreads {
    /// Right answers that arrived in the window, a second.
    pub throughput_per_second: Option<Spread>,
    /// Median latency as clients saw it, in seconds.
    pub latency_p50_seconds: Option<Spread>,
    /// 99th percentile of it, in seconds.
    pub latency_p99_seconds: Option<Spread>,
    /// Median of how late the load generator handled arrivals, in seconds.
    pub send_lateness_p50_seconds: Option<Spread>,
    /// 99th percentile of it, in seconds.
    pub send_lateness_p99_seconds: Option<Spread>,
    /// Context switches, voluntary and involuntary, for each answer that arrived in the window.
    pub context_switches_per_request: Option<Spread>,
    /// 99th percentile of run-queue wait, in seconds.
    pub run_queue_wait_p99_seconds: Option<Spread>,
    /// Bytes that one more connection adds.
    pub marginal_bytes_per_connection: Option<Spread>,
    /// CPU time, in seconds.
    pub cpu_seconds: Option<Spread>,
    /// CPU time for each answer that arrived in the window, in seconds.
    pub cpu_per_request_seconds: Option<Spread>,
}

/// One figure over the repeats that have it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The middle one; of an even number the mean of the middle two.
    pub median: f64,
    /// The largest.
    pub max: f64,
    /// All, in the order of the repeats.
    pub values: Vec<f64>,
}

impl Spread {
    /// The spread of these values; none of no values.
    #[must_use]
    pub fn of(values: Vec<f64>) -> Option<Self> {
        Some(Self {
            min: values.iter().copied().reduce(f64::min)?,
            median: median(&values)?,
            max: values.iter().copied().reduce(f64::max)?,
            values,
        })
    }
}

impl Spreads {
    /// The spread over these windows of one target.
    pub(super) fn of(windows: &[Window<'_>]) -> Self {
        let over = |figure: &dyn Fn(&Window<'_>) -> Option<f64>| {
            Spread::of(windows.iter().filter_map(figure).collect())
        };
        let latency =
            |window: &Window<'_>| window.run.client.as_ref()?.latency.filter(|l| l.count > 0);
        let lateness = |window: &Window<'_>| window.run.client.as_ref()?.send_lateness;
        let cpu = |window: &Window<'_>| window.all.totals.cpu_ns as f64 / 1e9;
        Self {
            throughput_per_second: over(&|w| {
                w.run.client.as_ref().map(|c| c.throughput_per_second)
            }),
            latency_p50_seconds: over(&|w| latency(w).map(|l| l.p50_seconds)),
            latency_p99_seconds: over(&|w| latency(w).map(|l| l.p99_seconds)),
            send_lateness_p50_seconds: over(&|w| lateness(w).map(|l| l.p50_seconds)),
            send_lateness_p99_seconds: over(&|w| lateness(w).map(|l| l.p99_seconds)),
            context_switches_per_request: over(&|w| {
                per_request(switches(&w.all.totals) as f64, w.answered())
            }),
            run_queue_wait_p99_seconds: over(&|w| {
                percentile_ns(&w.all.run_queue_wait, 99).map(|ns| ns / 1e9)
            }),
            marginal_bytes_per_connection: over(&|w| {
                let slope = slope(&[&w.run.memory_points]);
                slope
                    .ok()
                    .map(|slope| slope.value)
                    .filter(|_| !w.run.kind.ran_already())
            }),
            cpu_seconds: over(&|w| Some(cpu(w))),
            cpu_per_request_seconds: over(&|w| per_request(cpu(w), w.answered())),
        }
    }
}

/// The middle value; of an even number the mean of the middle two; none of no values.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let odd = sorted.len() % 2 == 1;
    Some(if odd {
        upper
    } else {
        f64::midpoint(sorted[sorted.len() / 2 - 1], upper)
    })
}
