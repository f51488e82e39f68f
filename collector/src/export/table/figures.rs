//! A figure of a table: a value, or why there is none.

use super::units::Unit;
use crate::report::Report;
use crate::report::spread::Spread;

/// What stands in one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    /// The value with its unit.
    Value(String),
    /// It could not be had, for this reason: a dash and a footnote.
    Missing(String),
    /// There is no such thing here: an empty cell.
    Absent,
}

impl Figure {
    /// The value, or why there is none.
    pub(super) fn of(value: Option<String>, why_not: impl FnOnce() -> String) -> Self {
        value.map_or_else(|| Self::Missing(why_not()), Self::Value)
    }

    /// One value, or the median of several, with the outer ones where `ranges` are shown.
    pub(super) fn spread(
        spread: Option<&Spread>,
        unit: Unit,
        ranges: bool,
        why_not: impl FnOnce() -> String,
    ) -> Self {
        let show = |spread: &Spread| match spread.values.as_slice() {
            [_, _, ..] if ranges => unit.show_spread(spread.min, spread.median, spread.max),
            _ => unit.show(spread.median),
        };
        Self::of(spread.map(show), why_not)
    }
}

/// Why a measure could not be had, as far as the report knows.
pub(super) fn why_unavailable(report: &Report, measures: &[&str]) -> Option<String> {
    let known = report
        .unavailable
        .iter()
        .find(|u| measures.contains(&u.measure.as_str()));
    known.map(|unavailable| unavailable.reason.clone())
}
