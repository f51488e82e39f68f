//! The cells of what was switched in user space: empty where nothing is.

use super::column::Column;
use super::figures::Figure;
use super::units;
use crate::report::user_space::Counted;

/// Why there may be switches and no time of one.
const NOT_TIMED: &str = "no switch was timed: one in so many is, where a thread goes from one task \
    to the next without a wait";

pub(super) fn alive(c: &Column<'_>) -> Figure {
    counted(c, |counted| {
        Figure::Value(units::count(counted.tasks_alive as f64))
    })
}

pub(super) fn begun(c: &Column<'_>) -> Figure {
    counted(c, |counted| mean_count(c, counted.tasks_begun))
}

pub(super) fn per_request(c: &Column<'_>) -> Figure {
    counted(c, |counted| {
        Figure::of(counted.per_request.map(units::number), || c.no_client())
    })
}

pub(super) fn per_second(c: &Column<'_>) -> Figure {
    counted(c, |counted| Figure::Value(units::rate(counted.per_second)))
}

pub(super) fn mean_time(c: &Column<'_>) -> Figure {
    counted(c, |counted| {
        Figure::of(counted.mean_seconds.map(units::time), || {
            NOT_TIMED.to_owned()
        })
    })
}

pub(super) fn timed(c: &Column<'_>) -> Figure {
    counted(c, |counted| mean_count(c, counted.sampled))
}

fn mean_count(c: &Column<'_>, sum: u64) -> Figure {
    Figure::Value(units::count(c.per_repeat(sum as f64)))
}

fn counted(c: &Column<'_>, figure: impl Fn(&Counted) -> Figure) -> Figure {
    let Some(switches) = &c.target.measures.user_space_switches else {
        return Figure::Absent;
    };
    match (&switches.counted, &switches.reason) {
        _ if c.is_role => Figure::Absent,
        (Some(counted), _) => figure(counted),
        (None, reason) => Figure::Missing(reason.clone().unwrap_or_default()),
    }
}
