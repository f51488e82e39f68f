//! The order of models by the figures that users compare by, below the table.

use super::part::{Note, Part};
use super::units;
use crate::report::Report;
use crate::report::ranking::{Contender, Ranked};

/// A figure's name in reports, what the table calls it, and how it writes it.
type Figure = (&'static str, &'static str, fn(f64) -> String);

const FIGURES: [Figure; 6] = [
    ("throughput_per_second", "throughput", units::rate),
    ("latency_p99_seconds", "latency p99", units::time),
    (
        "run_queue_wait_p99_seconds",
        "run-queue wait p99",
        units::time,
    ),
    (
        "context_switches_per_request",
        "switches per request",
        units::number,
    ),
    ("cpu_per_request_seconds", "CPU per request", units::time),
    (
        "marginal_bytes_per_connection",
        "one more connection",
        units::bytes,
    ),
];

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
        let known = FIGURES.iter().find(|(name, ..)| *name == ranked.figure);
        let &(_, label, show) = known.unwrap_or(&("", ranked.figure, units::number));
        notes.push((label.to_owned(), order(ranked, show)));
    }
    if !ranking.by.is_empty() {
        let how = "means, best first; = where 95 % intervals overlap, of those next to each other or \
                   of all between two: no order is known";
        notes.push(("=".to_owned(), how.to_owned()));
    }
    vec![Part::Notes(title, notes)]
}

/// `1. event-loop 1.49 µs · 2. thread-per-connection 2.03 µs = process-per-connection 2.11 µs`.
fn order(ranked: &Ranked, show: fn(f64) -> String) -> String {
    let tie = |place: &Vec<Contender>| {
        let each = place.iter().map(|c| format!("{} {}", c.name, show(c.mean)));
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
