//! The cells of the rows on perf counters: empty where nobody asked for them.

use super::column::Column;
use super::figures::Figure;
use super::units;
use crate::report::counters::{HardwareCounters, SoftwareCounters};

pub(super) fn software(c: &Column<'_>, figure: fn(&SoftwareCounters) -> u64) -> Figure {
    let counters = &c.target.measures.software_counters;
    of_target(c, counters.as_ref().map(|counters| figure(counters) as f64))
}

pub(super) fn task_clock(c: &Column<'_>) -> Figure {
    match &c.target.measures.software_counters {
        Some(counters) if !c.is_role => {
            Figure::Value(units::time(c.per_repeat(counters.task_clock_seconds)))
        }
        _ => Figure::Absent,
    }
}

pub(super) fn hardware(c: &Column<'_>, figure: fn(&HardwareCounters) -> Option<f64>) -> Figure {
    let counters = &c.target.measures.hardware_counters;
    of_target(c, counters.as_ref().and_then(figure))
}

fn of_target(c: &Column<'_>, count: Option<f64>) -> Figure {
    match count {
        Some(count) if !c.is_role => Figure::Value(units::count(c.per_repeat(count))),
        _ => Figure::Absent,
    }
}
