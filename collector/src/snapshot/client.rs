//! What the load generator saw.

use serde::{Deserialize, Serialize};

/// What the load generator reported, as it reported it (`connscope-target load`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Client {
    /// Work profile.
    pub workload: String,
    /// `open-loop` or `closed-loop`.
    pub mode: String,
    /// Connections asked for.
    pub connections: u32,
    /// Whether the run went to its end.
    pub complete: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Length of the measured window.
    pub duration_seconds: f64,
    /// Requests a second that the schedule asked for; 0 without one.
    #[serde(deserialize_with = "zero_if_null")]
    pub offered_per_second: f64,
    /// Right answers to requests that were due in the window: what latencies are of.
    pub requests: u64,
    /// Right answers that arrived in the window, whenever their requests were due: what was done in
    /// it, and what figures per request are relative to.
    pub answered_in_window: u64,
    /// `answered_in_window` a second.
    pub throughput_per_second: f64,
    /// From the intended start to the answer; none for `idle`.
    pub latency: Option<ClientLatency>,
    /// From the beginning of connecting to the answer; none where connections are held.
    #[serde(default)]
    pub set_up_latency: Option<ClientLatency>,
    /// Seats sold to more than one customer; none but for `booking`.
    #[serde(default)]
    pub oversold_seats: Option<u64>,
    /// How often customers of seats began anew, since another had bought the seat meanwhile; none but for
    /// `booking`.
    #[serde(default)]
    pub booking_retries: Option<u64>,
    /// Arrivals that the generator itself handled more than 1 ms late.
    pub late_sends: u64,
    /// The latest of all arrivals.
    pub late_send_max_seconds: f64,
    /// How late the generator handled arrivals; none without arrivals on a schedule.
    pub send_lateness: Option<SendLateness>,
    /// The generator itself limited the load.
    pub generator_was_bottleneck: bool,
    /// Latencies may be the generator's own.
    #[serde(default)]
    pub latency_in_doubt: bool,
    /// What went wrong, by kind.
    pub errors: ClientErrors,
    /// Requests never answered.
    pub unanswered: u64,
    /// How one request that burns CPU time held others up; none unless it was tried.
    #[serde(default)]
    pub stall: Option<Stall>,
    /// What a handler that crashed took with it; none unless it was tried.
    #[serde(default)]
    pub crash: Option<Crash>,
    /// CPU time of the generator, user and system.
    pub cpu_seconds: f64,
}

/// How long others waited for an answer while one connection's request burned CPU time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stall {
    /// What the request burned.
    pub work_seconds: f64,
    /// How often it was tried.
    pub times: u32,
    /// Connections that asked all at once, each time.
    pub others: u32,
    /// While nothing else was asked for.
    pub without: Delays,
    /// While it burned.
    pub with: Delays,
}

/// Times from the question to the answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Delays {
    pub p50_seconds: f64,
    pub max_seconds: f64,
}

/// What a handler that crashed took with it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crash {
    /// Connections besides its own.
    pub others: u32,
    /// Of these, those that ended, or were answered no more or by an error.
    pub lost: u32,
    /// From the end of its own connection to the first answer on a new one; none if there was none within
    /// 2 s.
    pub serves_again_seconds: Option<f64>,
}

fn zero_if_null<'de, D: serde::Deserializer<'de>>(number: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(number)?.unwrap_or_default())
}

/// Latency as clients saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ClientLatency {
    pub count: u64,
    /// Unanswered requests are in it with the time they had waited: percentiles and `max_seconds`
    /// are lower bounds.
    pub is_bound: bool,
    pub sum_seconds: f64,
    pub min_seconds: f64,
    pub p50_seconds: f64,
    pub p90_seconds: f64,
    pub p99_seconds: f64,
    pub p99_9_seconds: f64,
    pub max_seconds: f64,
    pub relative_error: f64,
}

/// How long after it was due the load generator handled an arrival. Latency counts from when it was
/// due, so this is the generator's own share of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct SendLateness {
    pub p50_seconds: f64,
    pub p99_seconds: f64,
    pub max_seconds: f64,
}

/// Failures as clients saw them, in the whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ClientErrors {
    pub refused: u64,
    pub reset: u64,
    pub error_replies: u64,
    pub wrong_answers: u64,
    pub timeouts: u64,
}
