//! What it costs to share state: all connections increment one counter.

use super::{
    Family, Spec,
    round::Round,
    servers::{Watched, plan},
};
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
        Spec {
            name: "lock_time",
            unit: Unit::Share,
            axis: "clients",
            method: "thread-per-connection, INCR of one key by so many clients, 4,000 a second offered: time that the \
                     server's tasks sleep on locks, of that and of what they run or wait for a CPU",
        },
    ],
    takes_ms: [5_800, 2_500],
    take,
};

const MODELS: [&str; 4] = [
    "process-per-connection",
    THREADS,
    "event-loop",
    "async-tasks",
];
const FEW: usize = 3;
/// Whose tasks sleep on the lock of the counter.
const THREADS: &str = "thread-per-connection";
/// Clients of each model, and of the one again.
const CLIENTS: u32 = 50;
const MANY: u32 = 2_000;
const OFFERED: u32 = 4_000;

fn take(round: &mut Round<'_>) -> Result<()> {
    let window = round.setting.window(600, 300);
    for model in round.setting.some(&MODELS, FEW) {
        let watched = round
            .setting
            .watched(model, &plan("counter", CLIENTS, OFFERED, window))?;
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
        if *model == THREADS {
            tell_lock_time(round, CLIENTS, &watched)?;
        }
    }
    let many = plan("counter", MANY, OFFERED, window);
    let watched = round.setting.watched(THREADS, &many)?;
    tell_lock_time(round, MANY, &watched)
}

fn tell_lock_time(round: &mut Round<'_>, clients: u32, watched: &Watched) -> Result<()> {
    let states = watched.target.measures.kernel.time_in_state.as_ref();
    let states = states.context("there are no times in state")?;
    let locks = states.blocked_by_reason_seconds.get("lock");
    let locks = locks.context("nobody tells what tasks sleep on")?;
    let all = locks + states.running_seconds + states.runnable_seconds;
    round.tell_number("lock_time", clients, vec![locks / all]);
    Ok(())
}
