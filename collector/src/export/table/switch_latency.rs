//! The cells of switch latency, and the note that says what measuring it cost.

use super::column::Column;
use super::figures::Figure;
use super::part::Note;
use super::units;
use crate::report::Report;
use crate::report::switch_latency::{Corrected, Figures, SwitchLatency};

/// Between tasks that share an address space.
pub(super) fn same_space(c: &Column<'_>, figure: fn(&Corrected) -> f64) -> Figure {
    corrected(c, |latency| &latency.same_address_space.all, figure)
}

/// Between tasks that do not.
pub(super) fn between_spaces(c: &Column<'_>, figure: fn(&Corrected) -> f64) -> Figure {
    corrected(c, |latency| &latency.different_address_space.all, figure)
}

/// The corrected median of some of the switches; left out where there is nothing to tell.
pub(super) fn p50_of(c: &Column<'_>, some: fn(&SwitchLatency) -> &Figures) -> Figure {
    match corrected(c, some, |corrected| corrected.p50_seconds) {
        Figure::Value(median) => Figure::Value(median),
        _ => Figure::Absent,
    }
}

/// Their median as recorded, the instrument's share in it, likewise.
pub(super) fn raw_p50_of(c: &Column<'_>, some: fn(&SwitchLatency) -> &Figures) -> Figure {
    let latency = c.kernel.switch_latency.as_ref();
    match latency.and_then(|latency| some(latency).raw.p50_seconds) {
        Some(median) => Figure::Value(units::time(median)),
        None => Figure::Absent,
    }
}

/// Of all kinds, whose time was taken.
pub(super) fn timed(c: &Column<'_>) -> Figure {
    let Some(latency) = &c.kernel.switch_latency else {
        return Figure::Missing(c.unavailable(&["switch_latency"]));
    };
    let kinds = [
        &latency.same_address_space,
        &latency.different_address_space,
        &latency.idle,
        &latency.kernel_thread,
    ];
    let timed: u64 = kinds.iter().map(|kind| kind.all.raw.count).sum();
    Figure::Value(units::count(timed as f64))
}

fn corrected(
    c: &Column<'_>,
    some: fn(&SwitchLatency) -> &Figures,
    figure: fn(&Corrected) -> f64,
) -> Figure {
    let Some(latency) = &c.kernel.switch_latency else {
        return Figure::Missing(c.unavailable(&["switch_latency"]));
    };
    let figures = some(latency);
    let corrected = figures.corrected.as_ref();
    Figure::of(
        corrected.map(|corrected| units::time(figure(corrected))),
        || {
            figures
                .reason
                .clone()
                .unwrap_or_else(|| "not measured".to_owned())
        },
    )
}

/// How long was looked, and what each record of a switch added to it.
pub(super) fn windows(report: &Report) -> Option<Note> {
    let latencies = || {
        let targets = report.targets.iter();
        targets.filter_map(|target| target.measures.kernel.switch_latency.as_ref())
    };
    let seconds = latencies().map(|latency| latency.window_seconds);
    // Running servers are watched together, through the same windows.
    let seconds: f64 = match report.compares() {
        false => seconds.fold(0.0, f64::max),
        true => seconds.sum(),
    };
    if seconds <= 0.0 {
        return None;
    }
    let figures = latencies().flat_map(|latency| {
        let kinds = [
            &latency.same_address_space,
            &latency.different_address_space,
        ];
        kinds.map(|kind| &kind.all)
    });
    let figures: Vec<_> = figures.collect();
    let costs: Vec<f64> = figures
        .iter()
        .filter_map(|figures| figures.recording_cost_seconds)
        .collect();
    let stamped = figures.iter().any(|figures| figures.is_stamped());
    let what = match stamped {
        true => "the stamps that timed a switch",
        false => "each event that recorded a switch",
    };
    let taken_off = match (
        costs.iter().copied().reduce(f64::min),
        costs.iter().copied().reduce(f64::max),
    ) {
        (Some(least), Some(most)) => {
            let (least, most) = (units::time(least), units::time(most));
            let range = match least == most {
                true => least,
                false => format!("{least} to {most}"),
            };
            format!("; {what} added {range} to it, which is taken off")
        }
        _ => String::new(),
    };
    Some((
        "switch windows".to_owned(),
        format!("open for {} in all{taken_off}", units::time(seconds)),
    ))
}
