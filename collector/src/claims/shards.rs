//! What a server has less to do that shares its clients with another one like it.

use super::{
    Family, Spec,
    round::Round,
    servers::{Watched, plan},
};
use crate::figures::Unit;
use anyhow::{Context, Result};

pub(super) const FAMILY: Family = Family {
    name: "half of the load",
    figures: &[Spec {
        name: "half_the_load",
        unit: Unit::Share,
        axis: "what is split",
        method: "event-loop with 100 connections and 2,000 requests a second, of what it has with 200 and 4,000",
    }],
    takes_ms: [2_700, 1_800],
    take,
};

fn take(round: &mut Round<'_>) -> Result<()> {
    let window = round.setting.window(800, 400);
    let all = round
        .setting
        .watched("event-loop", &plan("get-set", 200, 4_000, window))?;
    let half = round
        .setting
        .watched("event-loop", &plan("get-set", 100, 2_000, window))?;
    let [all, half] = [per_second(&all)?, per_second(&half)?];
    for ((what, all), (_, half)) in all.into_iter().zip(half) {
        round.tell_at("half_the_load", what, None, vec![half / all]);
    }
    Ok(())
}

/// What it did, a second.
fn per_second(watched: &Watched) -> Result<[(&'static str, f64); 3]> {
    let kernel = &watched.target.measures.kernel;
    let switches = kernel
        .context_switches
        .as_ref()
        .context("no switches were counted")?;
    let cpu = kernel.cpu.as_ref().context("there is no CPU time")?;
    Ok([
        ("requests", watched.client.throughput_per_second),
        ("context switches", switches.per_second),
        ("CPU time", cpu.seconds / watched.seconds),
    ])
}
