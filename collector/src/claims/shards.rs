//! What each of two servers has to do that share clients, of what one has to do that has them all.

use super::{
    Family, Spec,
    round::Round,
    servers::{Setting, Watched, plan},
};
use crate::{figures::Unit, load::Plan};
use anyhow::{Context, Result, anyhow};
use std::thread;

pub(super) const FAMILY: Family = Family {
    name: "half of the load",
    figures: &[Spec {
        name: "half_the_load",
        unit: Unit::Share,
        axis: "what is split",
        method: "two event-loop servers at once, with 100 connections and 2,000 requests a second each, of what one has \
                 with 200 and 4,000",
    }],
    takes_ms: [2_700, 1_300],
    take,
};

const MODEL: &str = "event-loop";

fn take(round: &mut Round<'_>) -> Result<()> {
    let setting = round.setting;
    let window = setting.window(800, 400);
    let all = setting.watched(MODEL, &plan("get-set", 200, 4_000, window))?;
    let half = plan("get-set", 100, 2_000, window);
    let halves = at_once(setting, [&half, &half])?;
    let all = per_second(&all)?;
    for half in &halves {
        let pairs = all.into_iter().zip(per_second(half)?);
        for ((what, all), (_, half)) in pairs.filter(|((_, all), _)| *all > 0.0) {
            round.tell_at("half_the_load", what, None, vec![half / all]);
        }
    }
    Ok(())
}

/// A server for each of these, all at the same time.
fn at_once(setting: &Setting<'_>, plans: [&Plan; 2]) -> Result<Vec<Watched>> {
    thread::scope(|scope| {
        let watched = plans.map(|plan| scope.spawn(move || setting.watched(MODEL, plan)));
        let watched = watched.into_iter().map(|thread| {
            let joined = thread.join();
            joined.unwrap_or_else(|_| Err(anyhow!("a thread that watches a server panicked")))
        });
        watched.collect()
    })
}

/// What it did, a second, and the connections that it held.
fn per_second(watched: &Watched) -> Result<[(&'static str, f64); 5]> {
    let kernel = &watched.target.measures.kernel;
    let switches = kernel
        .context_switches
        .as_ref()
        .context("no switches were counted")?;
    let cpu = kernel.cpu.as_ref().context("there is no CPU time")?;
    let states = kernel.time_in_state.as_ref();
    let states = states.context("there are no times in state")?;
    Ok([
        (
            "connections",
            f64::from(watched.target.connections.unwrap_or_default()),
        ),
        ("requests", watched.client.throughput_per_second),
        ("context switches", switches.per_second),
        ("CPU time", cpu.seconds / watched.seconds),
        ("waits for a CPU", states.runnable_seconds / watched.seconds),
    ])
}
