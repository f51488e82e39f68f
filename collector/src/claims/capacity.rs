//! How many connections a server really holds, up to ten thousand, and how it answers them then.

use super::{
    Family, Spec,
    round::{NotHere, Round},
    servers::plan,
};
use crate::{
    figures::Unit,
    limits::{SPARE_DESCRIPTORS, raise_open_files, too_few_files},
};
use anyhow::{Context, Result};

pub(super) const FAMILY: Family = Family {
    name: "many connections",
    figures: &[
        Spec {
            name: "connections_held",
            unit: Unit::Count,
            axis: "model",
            method: "connections that were opened and all answered, 1,000 requests a second over all of them; no more \
                     than 10,000 are tried",
        },
        Spec {
            name: "latency_of_one",
            unit: Unit::Seconds,
            axis: "connections",
            method: "event-loop with so many connections, 1,000 requests a second over all of them: from when a \
                     request is due to the answer, median",
        },
    ],
    takes_ms: [10_000, 1_700],
    take,
};

/// With --quick the first one alone.
const MODELS: [&str; 3] = [LOOP, "thread-per-connection", "process-per-connection"];
const LOOP: &str = "event-loop";
const MANY: u32 = 10_000;
const FEW: u32 = 100;

fn take(round: &mut Round<'_>) -> Result<()> {
    let (limit, needed) = (raise_open_files(), u64::from(MANY) + SPARE_DESCRIPTORS);
    if needed > limit {
        let what = format!("try {MANY} connections");
        return Err(NotHere(too_few_files(&what, limit, needed)).into());
    }
    for model in round.setting.some(&MODELS, 1) {
        let p50 = hold(round, model, MANY)?;
        round.tell_at("connections_held", model, None, vec![f64::from(MANY)]);
        if *model == LOOP {
            round.tell_number("latency_of_one", MANY, vec![p50]);
        }
    }
    let p50 = hold(round, LOOP, FEW)?;
    round.tell_number("latency_of_one", FEW, vec![p50]);
    Ok(())
}

/// Holds so many connections of a model; returns the median latency.
fn hold(round: &Round<'_>, model: &str, connections: u32) -> Result<f64> {
    let mut server = round.setting.start(model, &[])?;
    let plan = plan(
        "get-set",
        connections,
        1_000,
        round.setting.window(500, 300),
    );
    let client = round.setting.offer(&mut server, &plan);
    let client = client.with_context(|| format!("{model} with {connections} connections"))?;
    Ok(client.latency.context("nothing was answered")?.p50_seconds)
}
