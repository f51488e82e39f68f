//! Clients that come for one request and go: what it costs to create what serves them, and not to.

use super::{Family, Spec, round::Round, servers::plan};
use crate::figures::Unit;
use anyhow::{Context, Result};

pub(super) const FAMILY: Family = Family {
    name: "connections that come and go",
    figures: &[
        Spec {
            name: "churn_cpu",
            unit: Unit::Seconds,
            axis: "model",
            method: "clients that connect, ask once and close, 1,000 a second: CPU time of the server for each",
        },
        Spec {
            name: "churn_created",
            unit: Unit::Number,
            axis: "model",
            method: "the same: processes and threads that were created for each, of those that began in the window \
                     and before it",
        },
        Spec {
            name: "churn_p99",
            unit: Unit::Seconds,
            axis: "model",
            method: "the same: from the beginning of connecting to the answer, 99th percentile",
        },
    ],
    takes_ms: [5_800, 1_200],
    take,
};

const MODELS: [&str; 5] = [
    "process-per-connection",
    "process-pool",
    "thread-per-connection",
    "thread-pool",
    "event-loop",
];
const FEW: usize = 2;

fn take(round: &mut Round<'_>) -> Result<()> {
    let window = round.setting.window(600, 300);
    let plan = plan("churn", 20, 1_000, window);
    for model in round.setting.some(&MODELS, FEW) {
        let watched = round.setting.watched(model, &plan)?;
        let kernel = &watched.target.measures.kernel;
        let cpu = kernel.cpu.as_ref().and_then(|it| it.per_request_seconds);
        round.tell_at(
            "churn_cpu",
            model,
            None,
            vec![cpu.context("there is no CPU time")?],
        );
        let created = kernel
            .creations
            .as_ref()
            .context("no creations were counted")?;
        let created = (created.process.count + created.thread.count) as f64;
        // Clients came before the window too, at the same rate.
        let clients = watched.client.answered_in_window as f64
            * (1.0 + plan.warm_up.as_secs_f64() / watched.seconds);
        round.tell_at("churn_created", model, None, vec![created / clients]);
        let p99 = watched.client.set_up_latency.map(|it| it.p99_seconds);
        round.tell_at("churn_p99", model, None, p99.into_iter().collect());
    }
    Ok(())
}
