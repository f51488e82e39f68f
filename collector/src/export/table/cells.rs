//! The cells of the table's rows: from the report's figures to words.

use super::column::Column;
use super::figures::{Figure, why_unavailable};
use super::units::{self, Unit};
use crate::report::creations::Creations;
use crate::report::distribution::Distribution;
use crate::report::marginal::Marginal;
use crate::report::measures::{ContextSwitches, TimeInState};
use crate::report::memory::Accounted;
use crate::report::spread::{Spread, Spreads};
use crate::report::tlb::{AddressSpaceSwitches, TlbFlushes};
use crate::snapshot::TargetKind;

pub(super) fn throughput(c: &Column<'_>) -> Figure {
    c.client_spread(c.target.spread.throughput_per_second.as_ref(), Unit::Rate)
}

pub(super) fn latency(c: &Column<'_>, figure: fn(&Spreads) -> Option<&Spread>) -> Figure {
    bounded(c, c.client_spread(figure(&c.target.spread), Unit::Time))
}

pub(super) fn latency_max(c: &Column<'_>) -> Figure {
    if !c.has_clients() {
        return Figure::Absent;
    }
    let max = c.client_latency().and_then(|latency| latency.max_seconds);
    bounded(c, Figure::of(max.map(units::time), || c.no_client()))
}

/// Latencies that count what was never answered are no shorter than this.
fn bounded(c: &Column<'_>, latency: Figure) -> Figure {
    match latency {
        Figure::Value(value) if c.client_latency().is_some_and(|latency| latency.is_bound) => {
            Figure::Value(format!("≥ {value}"))
        }
        figure => figure,
    }
}

/// The load generator's own share of latency, where there was a schedule to be late for.
pub(super) fn sent_late(c: &Column<'_>, figure: fn(&Spreads) -> Option<&Spread>) -> Figure {
    match (&c.target.measures.client, figure(&c.target.spread)) {
        (Some(_), None) => Figure::Absent,
        (_, spread) => c.client_spread(spread, Unit::Time),
    }
}

pub(super) fn errors(c: &Column<'_>) -> Figure {
    if !c.has_clients() {
        return Figure::Absent;
    }
    let show = |errors: u64, unanswered: u64| {
        format!(
            "{}, {}",
            units::count(errors as f64),
            units::count(unanswered as f64)
        )
    };
    let client = c.target.measures.client.as_ref();
    Figure::of(
        client.map(|client| show(client.errors, client.unanswered)),
        || c.no_client(),
    )
}

pub(super) fn switches_per_request(c: &Column<'_>) -> Figure {
    if c.kernel.context_switches.is_none() && c.has_clients() {
        return Figure::Missing(c.unavailable(&["context_switches"]));
    }
    c.client_spread(
        c.target.spread.context_switches_per_request.as_ref(),
        Unit::Number,
    )
}

pub(super) fn switches(c: &Column<'_>, figure: fn(&ContextSwitches) -> u64) -> Figure {
    let rate =
        |switches: &ContextSwitches| units::rate(figure(switches) as f64 / c.target.window_seconds);
    Figure::of(c.kernel.context_switches.as_ref().map(rate), || {
        c.unavailable(&["context_switches"])
    })
}

pub(super) fn wait(c: &Column<'_>, figure: fn(&Distribution) -> Option<f64>) -> Figure {
    c.distribution(c.kernel.run_queue_wait.as_ref(), "run_queue_wait", figure)
}

pub(super) fn wait_max(c: &Column<'_>) -> Figure {
    let bound = c
        .kernel
        .run_queue_wait
        .as_ref()
        .is_some_and(|wait| wait.max_is_bound);
    match wait(c, |distribution| distribution.max_seconds) {
        Figure::Value(value) if bound => Figure::Value(format!("≤ {value}")),
        figure => figure,
    }
}

pub(super) fn wait_total(c: &Column<'_>) -> Figure {
    let total = c
        .kernel
        .run_queue_wait
        .as_ref()
        .map(|wait| c.per_repeat(wait.sum_seconds));
    Figure::of(total.map(units::time), || {
        c.unavailable(&["run_queue_wait"])
    })
}

pub(super) fn slice(c: &Column<'_>, figure: fn(&Distribution) -> Option<f64>) -> Figure {
    c.distribution(c.kernel.on_cpu_slice.as_ref(), "on_cpu_slice", figure)
}

pub(super) fn blocked(c: &Column<'_>, figure: fn(&Distribution) -> Option<f64>) -> Figure {
    let blocked = c.kernel.blocked.as_ref().map(|blocked| &blocked.all);
    c.distribution(blocked, "blocked", figure)
}

pub(super) fn depth(c: &Column<'_>) -> Figure {
    let Some(depth) = &c.kernel.run_queue_depth else {
        return Figure::Missing(c.unavailable(&["run_queue_depth"]));
    };
    let bound = if depth.is_bound { "≥ " } else { "" };
    let show = |mean: f64| format!("{bound}{}", units::number(mean));
    Figure::of(depth.mean.map(show), || {
        "no sample in the window".to_owned()
    })
}

pub(super) fn address_spaces(c: &Column<'_>, figure: fn(&AddressSpaceSwitches) -> u64) -> Figure {
    let switches = c.kernel.address_space_switches.as_ref();
    let rate = |switches| units::rate(figure(switches) as f64 / c.target.window_seconds);
    Figure::of(switches.map(rate), || {
        c.unavailable(&["address_space_switches"])
    })
}

/// Only where there were any.
pub(super) fn address_space_time(
    c: &Column<'_>,
    figure: fn(&AddressSpaceSwitches) -> &Distribution,
) -> Figure {
    let time = c.kernel.address_space_switches.as_ref().map(figure);
    if time.is_none_or(|time| time.count == 0) {
        return Figure::Absent;
    }
    c.distribution(time, "address_space_switches", |time| time.p50_seconds)
}

pub(super) fn flushes(c: &Column<'_>, reason: &str) -> Figure {
    let flushes = c.kernel.tlb_flushes.as_ref();
    // None seen is not none, where the kernel's event does not show them all.
    if flushes.is_some_and(|flushes| flushes.by_reason[reason].count == 0)
        && let Some(why) = why_unavailable(c.report, &["shootdowns"])
    {
        return Figure::Missing(why);
    }
    let rate = |flushes: &TlbFlushes| {
        units::rate(flushes.by_reason[reason].count as f64 / c.target.window_seconds)
    };
    Figure::of(flushes.map(rate), || c.unavailable(&["tlb_flushes"]))
}

/// Only where there were any.
pub(super) fn shootdown(c: &Column<'_>, figure: fn(&Distribution) -> Option<f64>) -> Figure {
    let latency = c.kernel.shootdown_latency.as_ref();
    if latency.is_none_or(|latency| latency.count == 0) {
        return Figure::Absent;
    }
    c.distribution(latency, "shootdown_latency", figure)
}

pub(super) fn created(c: &Column<'_>, figure: fn(&Creations) -> u64) -> Figure {
    let count = |creations: &Creations| units::count(c.per_repeat(figure(creations) as f64));
    Figure::of(c.kernel.creations.as_ref().map(count), || {
        c.unavailable(&["creations"])
    })
}

/// Only where there were any: most servers create no such task.
pub(super) fn if_any(created: Figure) -> Figure {
    match created {
        Figure::Value(count) if count != "0" => Figure::Value(count),
        _ => Figure::Absent,
    }
}

pub(super) fn first_run(c: &Column<'_>, figure: fn(&Distribution) -> Option<f64>) -> Figure {
    let first_run = c
        .kernel
        .creations
        .as_ref()
        .and_then(|creations| creations.first_run.as_ref());
    if first_run.is_some_and(|first_run| first_run.count == 0) {
        return match c.is_role {
            true => Figure::Absent,
            false => Figure::Missing("no task was created".to_owned()),
        };
    }
    c.distribution(first_run, "first_run", figure)
}

pub(super) fn marginal(c: &Column<'_>) -> Figure {
    // Of any process it is not asked how many connections it has, unless that is known.
    let is_asked = c.target.kind != TargetKind::Process;
    slope(
        c.kernel.memory.marginal_bytes_per_connection.as_ref(),
        is_asked,
    )
}

pub(super) fn reserved(c: &Column<'_>) -> Figure {
    let is_asked = !c.target.kind.ran_already();
    slope(
        c.kernel.memory.reserved_bytes_per_connection.as_ref(),
        is_asked,
    )
}

fn slope(marginal: Option<&Marginal>, is_asked: bool) -> Figure {
    let Some(marginal) = marginal else {
        return Figure::Absent;
    };
    if !is_asked && marginal.points == 0 {
        return Figure::Absent;
    }
    Figure::of(show_marginal(marginal), || {
        marginal
            .reason
            .clone()
            .unwrap_or_else(|| "not measured".to_owned())
    })
}

/// `1.05 MB ±2 %`; an interval wider than the value itself is given in bytes.
fn show_marginal(marginal: &Marginal) -> Option<String> {
    let value = marginal.value?;
    let margin = marginal
        .confidence_95
        .map(|[lower, upper]| (upper - lower) / 2.0)?;
    let margin = match margin / value.abs() {
        fraction if fraction <= 1.0 => units::percent(fraction),
        _ => units::bytes(margin),
    };
    Some(format!("{} ±{margin}", units::bytes(value)))
}

/// Mean over the processes sampled, where there are some.
pub(super) fn own(c: &Column<'_>) -> Figure {
    let Some(own) = &c.kernel.memory.own_bytes else {
        return Figure::Missing(c.unavailable(&["own_bytes"]));
    };
    match (own.mean, own.of) {
        (_, 0) => Figure::Absent,
        (None, _) if c.is_role => Figure::Absent,
        (mean, _) => {
            let show = |mean| show_mean(mean, own.confidence_95);
            Figure::of(mean.map(show), || "no process could be sampled".to_owned())
        }
    }
}

fn show_mean(mean: f64, interval: Option<[f64; 2]>) -> String {
    // The lower bound may have met zero. None is left where all were sampled.
    let margin = interval.map(|[_, upper]| upper - mean);
    match margin.filter(|margin| *margin > 0.0) {
        Some(margin) if margin > mean => {
            format!("{} ±{}", units::bytes(mean), units::bytes(margin))
        }
        Some(margin) => format!("{} ±{}", units::bytes(mean), units::percent(margin / mean)),
        None => units::bytes(mean),
    }
}

pub(super) fn accounted(c: &Column<'_>, figure: fn(&Accounted) -> Option<u64>) -> Figure {
    let Some(accounted) = &c.kernel.memory.accounted else {
        return Figure::Missing(c.unavailable(&["memory", "memory_accounted"]));
    };
    match figure(accounted) {
        // The memory of a process is listed with the role of one of its threads.
        None if c.is_role => Figure::Absent,
        bytes => Figure::of(bytes.map(|bytes| units::bytes(bytes as f64)), || {
            "no task was alive at the end".to_owned()
        }),
    }
}

pub(super) fn accounted_per_connection(c: &Column<'_>) -> Figure {
    let Some(accounted) = &c.kernel.memory.accounted else {
        return Figure::Missing(c.unavailable(&["memory", "memory_accounted"]));
    };
    match (accounted.per_connection_bytes, c.target.connections) {
        (Some(bytes), _) => Figure::Value(units::bytes(bytes)),
        (None, Some(_)) if c.has_clients() => {
            Figure::Missing("no task was alive at the end".to_owned())
        }
        _ => Figure::Absent,
    }
}

pub(super) fn cpu(c: &Column<'_>) -> Figure {
    match &c.kernel.cpu {
        None => Figure::Missing(c.unavailable(&["cpu"])),
        Some(cpu) if c.is_role => Figure::Value(units::time(c.per_repeat(cpu.seconds))),
        Some(_) => {
            let spread = c.target.spread.cpu_seconds.as_ref();
            Figure::spread(spread, Unit::Time, c.ranges, String::new)
        }
    }
}

pub(super) fn cpu_per_request(c: &Column<'_>) -> Figure {
    if c.kernel.cpu.is_none() && c.has_clients() {
        return Figure::Missing(c.unavailable(&["cpu"]));
    }
    c.client_spread(c.target.spread.cpu_per_request_seconds.as_ref(), Unit::Time)
}

/// How many tasks were in a state, over the window.
pub(super) fn mean_tasks(c: &Column<'_>, figure: impl Fn(&TimeInState) -> f64) -> Figure {
    let mean = |times: &TimeInState| units::number(figure(times) / c.target.window_seconds);
    Figure::of(c.kernel.time_in_state.as_ref().map(mean), || {
        c.unavailable(&["time_in_state"])
    })
}

/// Time waiting for a CPU, of the time in which tasks could run; only where some could.
pub(super) fn waiting_share(c: &Column<'_>) -> Figure {
    let share = c
        .kernel
        .time_in_state
        .as_ref()
        .and_then(TimeInState::waiting_share);
    share.map_or(Figure::Absent, |share| Figure::Value(units::percent(share)))
}

/// How many tasks slept on something, over the window; only where some did.
pub(super) fn mean_blocked(c: &Column<'_>, reason: &str) -> Figure {
    let times = c.kernel.time_in_state.as_ref();
    if times.is_some_and(|times| times.blocked_by_reason_seconds[reason] == 0.0) {
        return Figure::Absent;
    }
    mean_tasks(c, |times| times.blocked_by_reason_seconds[reason])
}

pub(super) fn stolen(c: &Column<'_>) -> Figure {
    match &c.kernel.cpu {
        Some(cpu) if !c.is_role => Figure::of(
            cpu.host_stolen_seconds
                .map(|seconds| units::time(c.per_repeat(seconds))),
            || "the host's counter of stolen time went back".to_owned(),
        ),
        _ => Figure::Absent,
    }
}
