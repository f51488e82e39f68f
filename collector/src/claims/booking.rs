//! The last-ticket race: eight customers want each seat, each thinks for a millisecond and buys.

use super::{Family, Spec, round::Round, servers::plan};
use crate::{figures::Unit, load::Plan};
use anyhow::{Context, Result};

pub(super) const FAMILY: Family = Family {
    name: "the last ticket",
    figures: &[
        Spec {
            name: "oversold_seats",
            unit: Unit::Count,
            axis: "what is between customers",
            method: "thread-per-connection, 100 connections, 3,000 customers a second, eight for each seat: seats that \
                     two or more were told to have",
        },
        Spec {
            name: "booking_retries",
            unit: Unit::Number,
            axis: "what is between customers",
            method: "the same: how often customers began anew, since another had bought the seat since they looked, \
                     for each customer",
        },
        Spec {
            name: "booking_latency",
            unit: Unit::Seconds,
            axis: "what is between customers",
            method: "the same: from when a customer was due to the answer, median",
        },
    ],
    takes_ms: [2_700, 1_400],
    take,
};

const MODES: [&str; 3] = ["none", "lock", "optimistic"];

fn take(round: &mut Round<'_>) -> Result<()> {
    let window = round.setting.window(600, 300);
    for mode in MODES {
        let mut server = round.setting.start("thread-per-connection", &[])?;
        let plan = Plan {
            booking: mode.into(),
            ..plan("booking", 100, 3_000, window)
        };
        let client = round.setting.offer(&mut server, &plan)?;
        let seats = client.oversold_seats.context("nobody counted the seats")?;
        let retries = client.booking_retries.unwrap_or(0) as f64;
        round.tell_at("oversold_seats", mode, None, vec![seats as f64]);
        round.tell_at(
            "booking_retries",
            mode,
            None,
            vec![retries / client.requests.max(1) as f64],
        );
        let latency = client.latency.map(|it| it.p50_seconds);
        round.tell_at("booking_latency", mode, None, latency.into_iter().collect());
    }
    Ok(())
}
