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
