//! How many CPUs a server makes use of when there is work for more than all of them.

use super::{Family, Spec, round::Round, servers::plan};
use crate::{calibrate::placement::Cpus, figures::Unit};
use anyhow::{Context, Result};

pub(super) const FAMILY: Family = Family {
    name: "use of CPUs",
    figures: &[Spec {
        name: "cpus_used",
        unit: Unit::Share,
        axis: "model",
        method: "requests of 100 µs of CPU time each, offered for 1.3 times the CPUs that there are: time that the \
                 server's tasks run or wait for a CPU, a second, as a share of the CPUs; what others of the host \
                 take is in it",
    }],
    takes_ms: [4_200, 1_200],
    take,
};

const MODELS: [&str; 4] = [
    "event-loop",
    "async-tasks",
    "green-threads",
    "thread-per-core",
];
const FEW: usize = 2;
/// Requests that a CPU does a second.
const EACH_CPU: f64 = 10_000.0;

fn take(round: &mut Round<'_>) -> Result<()> {
    let cpus = (Cpus::allowed()?.others.len() + 1) as f64;
    let rate = (1.3 * cpus * EACH_CPU) as u32;
    let window = round.setting.window(500, 300);
    for model in round.setting.some(&MODELS, FEW) {
        let watched = round
            .setting
            .watched(model, &plan("cpu", 50, rate, window))?;
        let states = watched.target.measures.kernel.time_in_state.as_ref();
        let states = states.context("there are no times in state")?;
        let used = (states.running_seconds + states.runnable_seconds) / watched.seconds;
        // Tasks that wait for each other's CPU are more than there are CPUs.
        round.tell_at("cpus_used", model, None, vec![used.min(cpus) / cpus]);
    }
    Ok(())
}
