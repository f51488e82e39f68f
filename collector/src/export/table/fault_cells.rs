//! The cells of the rows on page faults.

use super::column::Column;
use super::figures::Figure;
use super::units;
use crate::report::faults::{Class, Faults};

/// Classes that have rows of their own.
const SHOWN: [&str; 7] = [
    "cow_copy",
    "cow_reuse",
    "zero_fill",
    "zero_fill_huge",
    "file",
    "file_write",
    "shared",
];

pub(super) fn faults(c: &Column<'_>, figure: fn(&Faults) -> u64) -> Figure {
    let count = |faults: &Faults| units::count(c.per_repeat(figure(faults) as f64));
    Figure::of(c.kernel.faults.as_ref().map(count), || {
        c.unavailable(&["faults"])
    })
}

pub(super) fn faults_per_request(c: &Column<'_>) -> Figure {
    let per_request = c
        .kernel
        .faults
        .as_ref()
        .and_then(|faults| faults.per_request);
    match per_request {
        Some(faults) => Figure::Value(units::number(faults)),
        None => Figure::Absent,
    }
}

/// `12,345 ±3 %`: how many there were. Empty where there were none.
pub(super) fn fault_class(c: &Column<'_>, name: &str) -> Figure {
    let Some(class) = class(c, name) else {
        return Figure::Absent;
    };
    let [lower, upper] = class.confidence_95;
    match class.estimated_total {
        Some(total) if total > 0.0 => {
            let count = units::count(c.per_repeat(total));
            let margin = (upper - total).max(total - lower) / total;
            Figure::Value(match margin {
                0.0 => count,
                margin if margin > 1.0 => {
                    format!("{count} (≤ {})", units::count(c.per_repeat(upper)))
                }
                _ => format!("{count} ±{}", units::percent(margin)),
            })
        }
        _ => Figure::Absent,
    }
}

/// What the rows of classes leave of all, those without a class too, so that the rows add up.
pub(super) fn other_faults(c: &Column<'_>) -> Figure {
    let rest = |faults: &Faults| {
        let classes = faults.by_class.as_ref()?;
        let total = |name: &&str| classes.get(*name)?.estimated_total;
        let shown: Option<Vec<f64>> = SHOWN.iter().map(total).collect();
        Some((faults.minor + faults.major) as f64 - shown?.iter().sum::<f64>())
    };
    match c.kernel.faults.as_ref().and_then(rest) {
        Some(rest) if c.per_repeat(rest) >= 0.5 => Figure::Value(units::count(c.per_repeat(rest))),
        _ => Figure::Absent,
    }
}

/// Why there are no classes, though faults were looked at.
pub(super) fn faults_not_shown(c: &Column<'_>) -> Figure {
    let faults = c.kernel.faults.as_ref();
    let reason = faults.and_then(|faults| faults.reason.clone());
    reason.map_or(Figure::Absent, Figure::Missing)
}

/// Only where windows showed one.
pub(super) fn fault_p50(c: &Column<'_>, name: &str) -> Figure {
    let p50 = class(c, name).and_then(|class| class.latency.p50_seconds);
    p50.map_or(Figure::Absent, |p50| Figure::Value(units::time(p50)))
}

pub(super) fn huge_page_splits(c: &Column<'_>) -> Figure {
    let splits = c
        .kernel
        .faults
        .as_ref()
        .and_then(|faults| faults.huge_page_splits);
    match splits {
        Some(splits) if splits > 0 => {
            Figure::Value(format!("≥ {}", units::count(c.per_repeat(splits as f64))))
        }
        _ => Figure::Absent,
    }
}

fn class<'a>(c: &Column<'a>, name: &str) -> Option<&'a Class> {
    c.kernel.faults.as_ref()?.by_class.as_ref()?.get(name)
}
