//! How many connections a server really holds, up to ten thousand, and how it answers them then.

use super::{Family, Spec, round::Round, servers::plan};
use crate::{
    figures::Unit,
    limits::{SPARE_DESCRIPTORS, raise_open_files},
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
                     than 10,000 were tried (2,000 with --quick)",
        },
        Spec {
            name: "latency_of_one",
            unit: Unit::Seconds,
            axis: "connections",
            method: "event-loop with so many connections, 1,000 requests a second over all of them: from when a \
                     request is due to the answer, median",
        },
    ],
    takes_ms: [13_000, 5_500],
    take,
};

const MODELS: [&str; 3] = [
    "process-per-connection",
    "thread-per-connection",
    "event-loop",
];
const MANY: [u32; 2] = [10_000, 2_000];
const FEW: u32 = 100;

fn take(round: &mut Round<'_>) -> Result<()> {
    let files =
        u32::try_from(raise_open_files().saturating_sub(SPARE_DESCRIPTORS)).unwrap_or(u32::MAX);
    let many = MANY[usize::from(round.setting.quick)].min(files);
    for model in MODELS {
        let p50 = hold(round, model, many)?;
        round.tell_at("connections_held", model, None, vec![f64::from(many)]);
        if many < MANY[0] {
            round.note(
                "connections_held",
                model,
                format!("no more than {many} were tried"),
            );
        }
        if model == "event-loop" {
            round.tell_number("latency_of_one", many, vec![p50]);
        }
    }
    let p50 = hold(round, "event-loop", FEW)?;
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
