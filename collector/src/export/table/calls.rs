//! The cells of the rows about calls that create tasks, as their callers see them and in the kernel.

use super::cells::if_any;
use super::column::Column;
use super::figures::Figure;
use super::units;
use crate::report::calls::{CallLatency, CreationLatency};
use crate::report::distribution::Distribution;

/// A figure of the calls of one kind, where there were any.
pub(super) fn call(
    c: &Column<'_>,
    kind: fn(&CreationLatency) -> &CallLatency,
    figure: fn(&CallLatency) -> Option<String>,
) -> Figure {
    of_kind(latency(c).map(kind), figure)
}

/// The same in the kernel.
pub(super) fn in_kernel(
    c: &Column<'_>,
    kind: fn(&CreationLatency) -> &CallLatency,
    figure: fn(&CallLatency) -> Option<String>,
) -> Figure {
    let creations = c.kernel.creations.as_ref();
    let latency = creations.and_then(|creations| creations.latency_in_kernel.as_ref());
    of_kind(latency.map(kind), figure)
}

/// The part of forks that copied the address space.
pub(super) fn copied(c: &Column<'_>, figure: fn(&Distribution) -> Option<f64>) -> Figure {
    let creations = c.kernel.creations.as_ref();
    let copies = creations.and_then(|creations| creations.page_table_copy.as_ref());
    let copies = copies.filter(|copies| copies.count > 0).and_then(figure);
    copies.map_or(Figure::Absent, |seconds| {
        Figure::Value(units::time(seconds))
    })
}

fn of_kind(calls: Option<&CallLatency>, figure: fn(&CallLatency) -> Option<String>) -> Figure {
    let Some(calls) = calls.filter(|calls| calls.distribution.count > 0) else {
        return Figure::Absent;
    };
    figure(calls).map_or(Figure::Absent, Figure::Value)
}

pub(super) fn p50(calls: &CallLatency) -> Option<String> {
    calls.corrected_p50_seconds.map(units::time)
}

pub(super) fn p99(calls: &CallLatency) -> Option<String> {
    calls.corrected_p99_seconds.map(units::time)
}

pub(super) fn resident(calls: &CallLatency) -> Option<String> {
    calls.parent_resident_bytes.map(units::bytes)
}

pub(super) fn tables(calls: &CallLatency) -> Option<String> {
    calls.parent_page_table_bytes.map(units::bytes)
}

pub(super) fn per_page(calls: &CallLatency) -> Option<String> {
    calls.per_resident_page_seconds.map(units::time)
}

/// Tasks whose creation is in no figure of calls.
pub(super) fn created_unseen(c: &Column<'_>) -> Figure {
    let unseen = |latency: &CreationLatency| c.per_repeat(latency.not_seen as f64);
    let count = latency(c).map(|latency| units::count(unseen(latency)));
    if_any(count.map_or(Figure::Absent, Figure::Value))
}

fn latency<'a>(c: &Column<'a>) -> Option<&'a CreationLatency> {
    c.kernel.creations.as_ref()?.latency.as_ref()
}
