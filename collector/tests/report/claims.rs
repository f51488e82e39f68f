//! What becomes of claims, by figures that are planted.

pub(crate) mod shown;
mod verdicts;

use std::collections::BTreeMap;

use connscope::figures::{
    Claim, ClaimsRun, Described, Figure, Missing, Point, Round, Test, Timed, Unit,
};

use super::around::host;

/// Rounds with these samples, numbered from 1.
fn rounds(samples: &[&[f64]]) -> Vec<Round> {
    let numbered = (1..).zip(samples);
    numbered
        .map(|(number, samples)| Round {
            number,
            samples: samples.to_vec(),
        })
        .collect()
}

/// Three rounds of three samples: medians `value`, and 1 % below and above it.
fn around(value: f64) -> Vec<Round> {
    let round = |middle: f64| [middle * 0.97, middle, middle * 1.04];
    let [first, second, third] = [0.99, 1.0, 1.01].map(|factor| round(value * factor));
    rounds(&[&first, &second, &third])
}

fn point(at: &str, x: Option<f64>, rounds: Vec<Round>) -> Point {
    Point {
        at: at.into(),
        x,
        rounds,
        note: None,
    }
}

fn figure(name: &str, unit: Unit, axis: Option<&str>, points: Vec<Point>) -> Figure {
    Figure {
        about: Described {
            name: name.into(),
            unit,
            axis: axis.map(Into::into),
            method: format!("how {name} is measured"),
        },
        points,
    }
}

fn test(measure: &str, at_least: Option<f64>, at_most: Option<f64>) -> Test {
    Test {
        measure: measure.into(),
        at_least,
        at_most,
        ..Test::default()
    }
}

fn claim(id: &str, tests: Vec<Test>) -> Claim {
    Claim {
        id: id.into(),
        group: "Planted".into(),
        claim: format!("what is said of {id}"),
        sources: vec!["X".into()],
        note: None,
        tests,
    }
}

fn run(claims: Vec<Claim>, figures: Vec<Figure>) -> ClaimsRun {
    ClaimsRun {
        host: host(),
        claims,
        sources: BTreeMap::from([
            ("X".into(), "a book".into()),
            ("Y".into(), "another".into()),
        ]),
        figures,
        missing: Vec::new(),
        measurements: vec![Timed {
            name: "flushes".into(),
            planned_ns: 3_000_000_000,
            took_ns: 4_500_000_000,
        }],
        rounds: 3,
        quick: false,
        took_ns: 12_000_000_000,
        incomplete: None,
    }
}

fn flushes(shares: &[(f64, f64)]) -> Vec<Figure> {
    let points = shares
        .iter()
        .map(|(x, share)| point(&x.to_string(), Some(*x), around(*share)));
    vec![figure(
        "flushes",
        Unit::Share,
        Some("address spaces"),
        points.collect(),
    )]
}

fn missing(at: Option<&str>, failed: bool) -> Missing {
    Missing {
        measure: "time".into(),
        at: at.map(Into::into),
        reason: "because".into(),
        failed,
    }
}
