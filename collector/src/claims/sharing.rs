//! What it costs to share state: all connections increment one counter.

use super::{Family, Spec, round::Round, servers::plan};
use crate::figures::Unit;
use anyhow::{Context, Result};

pub(super) const FAMILY: Family = Family {
    name: "a shared counter",
    figures: &[
        Spec {
            name: "sharing_rate",
            unit: Unit::PerSecond,
            axis: "model",
            method: "INCR of one key by 50 connections, 4,000 a second offered: increments for each second of the \
                     server's CPU time",
        },
        Spec {
            name: "sharing_switches",
            unit: Unit::Number,
            axis: "model",
            method: "the same: context switches of the server for each increment",
        },
        Spec {
            name: "sharing_lock_wait",
            unit: Unit::Seconds,
            axis: "model",
            method: "the same: time that the server's tasks sleep on locks for each increment",
        },
    ],
    takes_ms: [4_600, 2_600],
    take,
};

const MODELS: [&str; 4] = [
    "process-per-connection",
    "thread-per-connection",
    "event-loop",
    "async-tasks",
];
const FEW: usize = 3;

fn take(round: &mut Round<'_>) -> Result<()> {
    let window = round.setting.window(600, 300);
    for model in round.setting.some(&MODELS, FEW) {
        let watched = round
            .setting
            .watched(model, &plan("counter", 50, 4_000, window))?;
        let kernel = &watched.target.measures.kernel;
        let (answered, cpu) = (
            watched.client.answered_in_window as f64,
            kernel.cpu.as_ref(),
        );
        let cpu = cpu.context("there is no CPU time")?.seconds;
        let switches = kernel
            .context_switches
            .as_ref()
            .and_then(|it| it.per_request);
        let locks = kernel.time_in_state.as_ref();
        let locks = locks.and_then(|it| it.blocked_on_locks_per_request_seconds);
        round.tell_at("sharing_rate", model, None, vec![answered / cpu]);
        round.tell_at(
            "sharing_switches",
            model,
            None,
            switches.into_iter().collect(),
        );
        round.tell_at(
            "sharing_lock_wait",
            model,
            None,
            locks.into_iter().collect(),
        );
    }
    Ok(())
}
