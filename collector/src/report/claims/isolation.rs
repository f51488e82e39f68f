//! The standard's table of isolation levels, as measured.

use serde::Serialize;

use super::Estimate;
use crate::figures::{ClaimsRun, Point, Unit};

/// The levels of a database.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Isolation {
    /// Which.
    pub database: String,
    /// Weakest first.
    pub levels: Vec<Level>,
}

/// What a level allows, and what it costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Level {
    /// Its name.
    pub level: String,
    /// What it allows or prevents.
    pub anomalies: Vec<Anomaly>,
    /// Committed transactions of the contended workload.
    pub transactions_per_second: Option<f64>,
    /// Transactions that the database aborted, for each committed.
    pub retries_per_transaction: Option<f64>,
    /// Time that clients waited for locks, for each.
    pub lock_wait_seconds_per_transaction: Option<f64>,
    /// Context switches of the server, for each.
    pub switches_per_transaction: Option<f64>,
}

/// An anomaly that was tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Anomaly {
    /// Its name.
    pub anomaly: String,
    /// The share of the tries in which it was seen.
    pub seen: f64,
}

/// From figures whose places are `database, level` and `database, level: anomaly`.
pub(super) fn of(run: &ClaimsRun) -> Vec<Isolation> {
    let mut all: Vec<Isolation> = Vec::new();
    for point in points(run, "isolation_anomalies") {
        let (Some(((database, level), anomaly)), Some(seen)) = (parts(&point.at), mean(point))
        else {
            continue;
        };
        let place = all.iter().position(|it| it.database == database);
        let place = place.unwrap_or_else(|| {
            all.push(Isolation {
                database: database.to_owned(),
                levels: Vec::new(),
            });
            all.len() - 1
        });
        let levels = &mut all[place].levels;
        if levels.last().is_none_or(|it| it.level != level) {
            levels.push(Level::of(run, database, level));
        }
        if let Some(last) = levels.last_mut() {
            last.anomalies.push(Anomaly {
                anomaly: anomaly.to_owned(),
                seen,
            });
        }
    }
    all
}

fn points<'a>(run: &'a ClaimsRun, name: &str) -> impl Iterator<Item = &'a Point> {
    let figure = run.figures.iter().find(|it| it.about.name == name);
    figure.into_iter().flat_map(|figure| &figure.points)
}

fn parts(at: &str) -> Option<((&str, &str), &str)> {
    let (of, anomaly) = at.split_once(": ")?;
    Some((of.split_once(", ")?, anomaly))
}

impl Level {
    /// Without the anomalies.
    fn of(run: &ClaimsRun, database: &str, level: &str) -> Self {
        let at = format!("{database}, {level}");
        let median = |name: &str| {
            let point = points(run, name).find(|point| point.at == at)?;
            Some(Estimate::of(&point.rounds, Unit::Number)?.median)
        };
        Self {
            level: level.to_owned(),
            anomalies: Vec::new(),
            transactions_per_second: median("transaction_rate"),
            retries_per_transaction: median("transaction_retries"),
            lock_wait_seconds_per_transaction: median("transaction_lock_wait"),
            switches_per_transaction: median("transaction_switches"),
        }
    }
}

/// Of tries that each show it or not.
fn mean(point: &Point) -> Option<f64> {
    let all = || point.rounds.iter().flat_map(|round| &round.samples);
    let count = all().count();
    (count > 0).then(|| all().sum::<f64>() / count as f64)
}
