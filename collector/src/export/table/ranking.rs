//! The order of models by the figures that users compare by, below the table.

use super::part::{Note, Part};
use super::units::{self, Unit};
use crate::report::Report;
use crate::report::ranking::{Contender, Ranked};

/// A figure's name in reports, what the table calls it, and what it is in.
type Figure = (&'static str, &'static str, Unit);

const FIGURES: [Figure; 6] = [
    ("throughput_per_second", "throughput", Unit::Rate),
    ("latency_p99_seconds", "latency p99", Unit::Time),
    (
        "run_queue_wait_p99_seconds",
        "run-queue wait p99",
        Unit::Time,
    ),
    (
        "context_switches_per_request",
        "switches per request",
        Unit::Number,
    ),
    ("cpu_per_request_seconds", "CPU per request", Unit::Time),
    (
        "marginal_bytes_per_connection",
        "one more connection",
        Unit::Bytes,
    ),
];

/// What the table calls a figure, and what it is in.
pub(super) fn named(figure: &'static str) -> (&'static str, Unit) {
    let known = FIGURES.iter().find(|(name, ..)| *name == figure);
    known.map_or((figure, Unit::Number), |&(_, label, unit)| (label, unit))
}

/// It, or in one line why nothing is ranked; nothing where there is nothing to compare.
pub(super) fn parts(report: &Report) -> Vec<Part> {
    let Some(ranking) = &report.ranking else {
        return Vec::new();
    };
    let title = match ranking.connections {
        Some(1) => "Ranking at 1 connection".to_owned(),
        Some(connections) => {
            let connections = units::count(connections.into());
            format!("Ranking at {connections} connections")
        }
        None => "Ranking".to_owned(),
    };
    let mut notes: Vec<Note> = Vec::new();
    if let Some(reason) = &ranking.reason {
        notes.push(("not ranked".to_owned(), reason.clone()));
    }
    for ranked in &ranking.by {
        let (label, unit) = named(ranked.figure);
        notes.push((label.to_owned(), order(ranked, unit)));
    }
    if !ranking.by.is_empty() {
        let how = "means, best first; = where 95 % intervals overlap, of those next to each other or \
                   of all between two: no order is known";
        notes.push(("=".to_owned(), how.to_owned()));
    }
    vec![Part::Notes(title, notes)]
}

/// `1. event-loop 1.49 µs · 2. thread-per-connection 2.03 µs = process-per-connection 2.11 µs`.
fn order(ranked: &Ranked, unit: Unit) -> String {
    let tie = |place: &Vec<Contender>| {
        let each = place
            .iter()
            .map(|c| format!("{} {}", c.name, unit.show(c.mean)));
        each.collect::<Vec<_>>().join(" = ")
    };
    let places: Vec<String> = match ranked.places.as_slice() {
        [] => vec!["no model has it".to_owned()],
        [all] => vec![tie(all)],
        places => {
            let numbered = (1..).zip(places);
            numbered
                .map(|(number, place)| format!("{number}. {}", tie(place)))
                .collect()
        }
    };
    let left_out = ranked.not_ranked.iter();
    let left_out = left_out.map(|model| format!("not ranked: {} ({})", model.name, model.reason));
    places
        .into_iter()
        .chain(left_out)
        .collect::<Vec<_>>()
        .join(" · ")
}
