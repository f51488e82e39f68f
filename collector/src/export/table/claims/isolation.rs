//! The standard's table of isolation levels, as measured, and what each level costs.

use super::super::grid::{Grid, Row};
use super::super::part::Part;
use crate::report::claims::{Isolation, Level};
use crate::units;

/// Its table, if there is any.
pub(super) fn parts(isolation: &[Isolation]) -> Vec<Part> {
    let levels = || isolation.iter().flat_map(|it| &it.levels);
    let Some(first) = levels().next() else {
        return Vec::new();
    };
    let anomalies = first
        .anomalies
        .iter()
        .map(|it| it.anomaly.replace(' ', "-"));
    let costs = COSTS.iter().map(|(name, _)| (*name).to_owned());
    let rows = isolation.iter().flat_map(|database| {
        let heading = Row::Heading(database.database.clone());
        std::iter::once(heading).chain(database.levels.iter().map(row))
    });
    let grid = Grid {
        header: std::iter::once(String::new())
            .chain(anomalies)
            .chain(costs)
            .collect(),
        rows: rows.collect(),
        words: Vec::new(),
    };
    let title = Part::Title("Isolation levels, as measured".to_owned());
    vec![title, Part::Grid(grid)]
}

/// A column and its cell.
type Cost = (&'static str, fn(&Level) -> Option<String>);

const COSTS: [Cost; 4] = [
    ("commits", |it| it.transactions_per_second.map(units::rate)),
    ("retries-each", |it| {
        it.retries_per_transaction.map(units::number)
    }),
    ("lock-wait-each", |it| {
        it.lock_wait_seconds_per_transaction.map(units::time)
    }),
    ("switches-each", |it| {
        it.switches_per_transaction.map(units::number)
    }),
];

fn row(level: &Level) -> Row {
    let seen = level.anomalies.iter().map(|it| match it.seen {
        0.0 => "prevented".to_owned(),
        1.0 => "seen".to_owned(),
        share => format!("seen {}", units::percent(share)),
    });
    let costs = COSTS
        .iter()
        .map(|(_, cell)| cell(level).unwrap_or_else(|| "-".into()));
    let label = format!("  {}", level.level);
    Row::Figures(std::iter::once(label).chain(seen).chain(costs).collect())
}
