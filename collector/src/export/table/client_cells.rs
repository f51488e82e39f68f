//! The cells of what clients saw beyond throughput and latency.

use super::column::Column;
use super::figures::Figure;
use super::units;
use crate::report::client::{Client, Latency};
use crate::snapshot::{Crash, Delays, Stall};

/// From connecting to the first answer, where clients connect for each request.
pub(super) fn set_up(c: &Column<'_>, figure: fn(&Latency) -> Option<f64>) -> Figure {
    match client(c).and_then(|client| client.set_up_latency.as_ref()) {
        Some(latency) => Figure::of(figure(latency).map(units::time), || c.no_client()),
        None => Figure::Absent,
    }
}

/// Seats sold to more than one customer, where seats were sold.
pub(super) fn oversold(c: &Column<'_>) -> Figure {
    let seats = client(c).and_then(|client| client.oversold_seats);
    tried(seats.map(|seats| units::count(seats as f64)))
}

/// How often customers began anew, where seats were sold.
pub(super) fn booking_retries(c: &Column<'_>) -> Figure {
    let retries = client(c).and_then(|client| client.booking_retries);
    tried(retries.map(|retries| units::count(retries as f64)))
}

/// Time that tasks slept on locks, for each request: where some did, and always where all connections
/// want the same key.
pub(super) fn on_locks_per_request(c: &Column<'_>) -> Figure {
    let Some(client) = client(c).filter(|_| c.has_clients()) else {
        return Figure::Absent;
    };
    let Some(times) = &c.kernel.time_in_state else {
        return Figure::Missing(c.unavailable(&["time_in_state"]));
    };
    match times.blocked_on_locks_per_request_seconds {
        Some(0.0) if client.workload != "counter" => Figure::Absent,
        time => Figure::of(time.map(units::time), || c.no_client()),
    }
}

/// Delays of others by a request that burns CPU time, where that was tried.
pub(super) fn stall(
    c: &Column<'_>,
    delays: fn(&Stall) -> Delays,
    figure: fn(&Delays) -> f64,
) -> Figure {
    let stall = client(c).and_then(|client| client.stall.as_ref());
    tried(stall.map(|stall| units::time(figure(&delays(stall)))))
}

/// Connections that a crash took with it, where that was tried.
pub(super) fn lost_by_crash(c: &Column<'_>) -> Figure {
    let lost = crash(c).filter(|crash| crash.others > 0).map(|crash| {
        let Crash { lost, others, .. } = *crash;
        format!(
            "{} of {}",
            units::count(lost.into()),
            units::count(others.into())
        )
    });
    tried(lost)
}

pub(super) fn serves_again(c: &Column<'_>) -> Figure {
    let after = crash(c).map(|crash| match crash.serves_again_seconds {
        Some(seconds) => units::time(seconds),
        None => "not in 2 s".to_owned(),
    });
    tried(after)
}

fn client<'a>(c: &Column<'a>) -> Option<&'a Client> {
    c.target.measures.client.as_ref()
}

fn crash<'a>(c: &Column<'a>) -> Option<&'a Crash> {
    client(c)?.crash.as_ref()
}

fn tried(value: Option<String>) -> Figure {
    value.map_or(Figure::Absent, Figure::Value)
}
