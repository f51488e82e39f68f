//! What clients saw.

use serde::{Deserialize, Serialize};

use super::spread::median;
use crate::snapshot::{self, ClientErrors, ClientLatency, Crash, Delays, SendLateness, Stall};

/// What the load generator reported. Over several repeats, counts are summed, rates follow from
/// the sums, and percentiles are the median of the repeats' percentiles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Client {
    /// Work profile.
    pub workload: String,
    /// `open-loop` or `closed-loop`.
    pub mode: String,
    /// Whether every repeat went to its end.
    pub complete: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Length of the load generator's windows, in seconds.
    pub duration_seconds: f64,
    /// Requests a second that the schedule asked for.
    pub offered_per_second: f64,
    /// Right answers to requests that were due in the window, many of which may have arrived after
    /// it: for latencies only.
    pub requests: u64,
    /// Right answers that arrived in the window, whenever their requests were due.
    pub answered_in_window: u64,
    /// `answered_in_window` a second.
    pub throughput_per_second: f64,
    /// From the intended start to the answer; none where nothing was asked.
    pub latency: Option<Latency>,
    /// From the beginning of connecting to the first answer, where each request has a connection of its
    /// own.
    pub set_up_latency: Option<Latency>,
    /// Seats sold to more than one customer; none where no seats were.
    pub oversold_seats: Option<u64>,
    /// How often customers of seats began anew, since another had bought the seat meanwhile; none where
    /// no seats were sold.
    pub booking_retries: Option<u64>,
    /// How one request that burns CPU time held others up: the median of the repeats' medians, and the
    /// longest of all; none unless it was tried.
    pub stall: Option<Stall>,
    /// What handlers that crashed took with them; none unless it was tried.
    pub crash: Option<Crash>,
    /// Failures of all kinds.
    pub errors: u64,
    /// The same by kind.
    pub errors_by_kind: ErrorsByKind,
    /// Requests never answered.
    pub unanswered: u64,
    /// Arrivals that the generator itself handled more than 1 ms late.
    pub late_sends: u64,
    /// The latest of all arrivals, in seconds.
    pub late_send_max_seconds: f64,
    /// The generator's own share of latency; none without arrivals on a schedule.
    pub send_lateness: Option<SendLateness>,
    /// Whether the generator itself limited the load in any repeat.
    pub generator_was_bottleneck: bool,
    /// Whether latencies may be the generator's own in any repeat.
    pub latency_in_doubt: bool,
    /// CPU time of the generator, user and system, in seconds.
    pub cpu_seconds: f64,
    /// How it was measured.
    pub method: String,
}

/// Latency as clients saw it: a distribution, in seconds. Percentiles are none without samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Latency {
    pub count: u64,
    /// Unanswered requests are in it with the time they had waited: percentiles and `max_seconds`
    /// are lower bounds.
    pub is_bound: bool,
    pub sum_seconds: f64,
    pub min_seconds: Option<f64>,
    pub p50_seconds: Option<f64>,
    pub p90_seconds: Option<f64>,
    pub p99_seconds: Option<f64>,
    pub p99_9_seconds: Option<f64>,
    pub max_seconds: Option<f64>,
    /// Of clients' latencies the largest is never an upper bound only.
    pub max_is_bound: bool,
    /// A percentile is at most this fraction of itself away from the sample it stands for.
    pub relative_error: Option<f64>,
    pub method: String,
}

/// Failures by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ErrorsByKind {
    pub refused: u64,
    pub reset: u64,
    pub error_replies: u64,
    pub wrong_answers: u64,
    pub timeouts: u64,
}

impl Client {
    /// Requests that were due in the window, where that can be told: failures are counted in the
    /// whole run.
    #[must_use]
    pub fn arrivals(&self) -> Option<u64> {
        let failed = self.errors_by_kind.error_replies + self.errors_by_kind.wrong_answers;
        (failed == 0).then_some(self.requests + self.unanswered)
    }

    /// What the clients of all repeats saw; none where there were none.
    pub(super) fn of(repeats: &[&snapshot::Client], method: &str) -> Option<Self> {
        let first = repeats.first()?;
        let count = |figure: fn(&snapshot::Client) -> u64| repeats.iter().map(|c| figure(c)).sum();
        let sum =
            |figure: fn(&snapshot::Client) -> f64| repeats.iter().map(|c| figure(c)).sum::<f64>();
        let (duration, answered) = (sum(|c| c.duration_seconds), count(|c| c.answered_in_window));
        let throughput = match repeats {
            [only] => only.throughput_per_second,
            _ if duration > 0.0 => answered as f64 / duration,
            _ => 0.0,
        };
        let latency = |of: fn(&snapshot::Client) -> Option<ClientLatency>| {
            let latencies: Vec<_> = repeats.iter().filter_map(|c| of(c)).collect();
            Latency::of(&latencies, method)
        };
        let errors_by_kind = ErrorsByKind::of(repeats.iter().map(|client| &client.errors));
        let reasons: Vec<_> = repeats
            .iter()
            .filter_map(|client| client.reason.as_deref())
            .collect();
        let latest = repeats
            .iter()
            .map(|client| client.late_send_max_seconds)
            .fold(0.0, f64::max);
        Some(Self {
            workload: first.workload.clone(),
            mode: first.mode.clone(),
            complete: repeats.iter().all(|client| client.complete),
            reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
            duration_seconds: duration,
            offered_per_second: sum(|c| c.offered_per_second) / repeats.len() as f64,
            requests: count(|c| c.requests),
            answered_in_window: answered,
            throughput_per_second: throughput,
            latency: latency(|c| c.latency),
            set_up_latency: latency(|c| c.set_up_latency),
            oversold_seats: sum_of_known(repeats, |c| c.oversold_seats),
            booking_retries: sum_of_known(repeats, |c| c.booking_retries),
            stall: stall(repeats),
            crash: crash(repeats),
            errors: errors_by_kind.total(),
            errors_by_kind,
            unanswered: count(|c| c.unanswered),
            late_sends: count(|c| c.late_sends),
            late_send_max_seconds: latest,
            send_lateness: send_lateness(repeats),
            generator_was_bottleneck: repeats.iter().any(|c| c.generator_was_bottleneck),
            latency_in_doubt: repeats.iter().any(|c| c.latency_in_doubt),
            cpu_seconds: sum(|c| c.cpu_seconds),
            method: method.to_owned(),
        })
    }
}

/// None where none has one.
fn sum_of_known(
    repeats: &[&snapshot::Client],
    figure: fn(&snapshot::Client) -> Option<u64>,
) -> Option<u64> {
    let known = repeats.iter().filter_map(|c| figure(c));
    known.reduce(|a, b| a + b)
}

/// Percentiles are the median of the repeats' that have them.
fn send_lateness(repeats: &[&snapshot::Client]) -> Option<SendLateness> {
    let all = |figure: fn(&SendLateness) -> f64| {
        let known = repeats.iter().filter_map(|c| c.send_lateness.as_ref());
        known.map(figure).collect::<Vec<_>>()
    };
    Some(SendLateness {
        p50_seconds: median(&all(|l| l.p50_seconds))?,
        p99_seconds: median(&all(|l| l.p99_seconds))?,
        max_seconds: all(|l| l.max_seconds).into_iter().reduce(f64::max)?,
    })
}

fn stall(repeats: &[&snapshot::Client]) -> Option<Stall> {
    let all: Vec<_> = repeats.iter().filter_map(|c| c.stall).collect();
    let delays = |of: fn(&Stall) -> Delays| {
        let p50s: Vec<_> = all.iter().map(|s| of(s).p50_seconds).collect();
        Some(Delays {
            p50_seconds: median(&p50s)?,
            max_seconds: all.iter().map(|s| of(s).max_seconds).reduce(f64::max)?,
        })
    };
    Some(Stall {
        times: all.iter().map(|s| s.times).sum(),
        without: delays(|s| s.without)?,
        with: delays(|s| s.with)?,
        ..*all.first()?
    })
}

/// Connections are summed. When the server serves again is the median of the repeats', none if it did
/// not in one.
fn crash(repeats: &[&snapshot::Client]) -> Option<Crash> {
    let all: Vec<_> = repeats.iter().filter_map(|c| c.crash).collect();
    all.first()?;
    let again: Option<Vec<_>> = all.iter().map(|c| c.serves_again_seconds).collect();
    Some(Crash {
        others: all.iter().map(|c| c.others).sum(),
        lost: all.iter().map(|c| c.lost).sum(),
        serves_again_seconds: again.and_then(|times| median(&times)),
    })
}

impl Latency {
    fn of(repeats: &[ClientLatency], method: &str) -> Option<Self> {
        if repeats.is_empty() {
            return None;
        }
        let sampled: Vec<_> = repeats.iter().filter(|latency| latency.count > 0).collect();
        let all = |figure: fn(&ClientLatency) -> f64| sampled.iter().map(move |l| figure(l));
        let middle = |figure| median(&all(figure).collect::<Vec<_>>());
        Some(Self {
            count: repeats.iter().map(|latency| latency.count).sum(),
            is_bound: repeats.iter().any(|latency| latency.is_bound),
            sum_seconds: repeats.iter().map(|latency| latency.sum_seconds).sum(),
            min_seconds: all(|l| l.min_seconds).reduce(f64::min),
            p50_seconds: middle(|l| l.p50_seconds),
            p90_seconds: middle(|l| l.p90_seconds),
            p99_seconds: middle(|l| l.p99_seconds),
            p99_9_seconds: middle(|l| l.p99_9_seconds),
            max_seconds: all(|l| l.max_seconds).reduce(f64::max),
            max_is_bound: false,
            relative_error: all(|l| l.relative_error).reduce(f64::max),
            method: method.to_owned(),
        })
    }
}

impl ErrorsByKind {
    fn of<'a>(repeats: impl Iterator<Item = &'a ClientErrors>) -> Self {
        repeats.fold(Self::default(), |sum, errors| Self {
            refused: sum.refused + errors.refused,
            reset: sum.reset + errors.reset,
            error_replies: sum.error_replies + errors.error_replies,
            wrong_answers: sum.wrong_answers + errors.wrong_answers,
            timeouts: sum.timeouts + errors.timeouts,
        })
    }

    fn total(self) -> u64 {
        self.refused + self.reset + self.error_replies + self.wrong_answers + self.timeouts
    }
}
