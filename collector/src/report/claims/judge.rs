//! Points against bounds, and what follows for a test and for a claim.

use super::{Estimate, LEAST_ROUNDS, Measured, Tested, Verdict};
use crate::figures::{ClaimsRun, Figure, Missing, Point, Round, Test, Unit};

/// The verdict of parts that must all hold: one that does not hold decides, then one that could not be
/// seen, then one that is in doubt.
pub(super) fn together(parts: impl Iterator<Item = Verdict>) -> Verdict {
    let weight = |verdict: &Verdict| match verdict {
        Verdict::Holds => 0,
        Verdict::Depends => 1,
        Verdict::Undecided => 2,
        Verdict::NotMeasurableHere => 3,
        Verdict::Failed => 4,
        Verdict::DoesNotHold => 5,
    };
    parts.max_by_key(weight).unwrap_or(Verdict::Failed)
}

/// Judges a figure by its bounds.
pub(super) fn test(test: &Test, run: &ClaimsRun) -> Tested {
    let named = |name: &str| run.figures.iter().find(|it| it.about.name == name);
    let figure = named(&test.measure);
    let about = figure.map(|figure| &figure.about);
    let per = test.per.as_ref().map(|per| (per, named(per)));
    let points = figure.map_or_else(Vec::new, |figure| chosen(figure, test, per.map(|it| it.1)));
    let unit = match per {
        Some(_) => Unit::Number,
        None => about.map_or(Unit::Number, |about| about.unit),
    };
    let results = points.iter().filter_map(|it| measured(it, unit, test));
    let results: Vec<Measured> = results.collect();
    let (verdict, reason) = match results.is_empty() {
        true => without_figure(test, run),
        false => over_axis(&results, about.and_then(|it| it.axis.as_deref())),
    };
    let off = |result: &&Measured| result.factor.map_or(0.0, |factor| factor.ln().abs());
    let furthest = results
        .iter()
        .filter(|it| it.verdict == Verdict::DoesNotHold);
    let furthest = furthest.max_by(|one, other| off(one).total_cmp(&off(other)));
    Tested {
        measure: test.measure.clone(),
        label: label(test),
        per: test.per.clone(),
        unit,
        axis: about.and_then(|about| about.axis.clone()),
        method: about.map_or_else(String::new, |about| about.method.clone()),
        claimed: test.claimed,
        at_least: test.at_least,
        at_most: test.at_most,
        verdict,
        factor: furthest.and_then(|it| it.factor),
        reason,
        results,
    }
}

fn label(test: &Test) -> String {
    let named = test.label.clone();
    named.unwrap_or_else(|| match &test.per {
        Some(per) => format!("{} / {per}", test.measure),
        None => test.measure.clone(),
    })
}

/// The points that the test is of; divided, if it is of a ratio.
fn chosen(figure: &Figure, test: &Test, per: Option<Option<&Figure>>) -> Vec<Point> {
    let counts = |point: &&Point| {
        (test.at.is_empty() || test.at.contains(&point.at))
            && test
                .from
                .is_none_or(|from| point.x.is_some_and(|x| x >= from))
            && test.to.is_none_or(|to| point.x.is_some_and(|x| x <= to))
    };
    let points = figure.points.iter().filter(counts);
    let Some(per) = per else {
        return points.cloned().collect();
    };
    let other = |point: &Point| {
        let at = test.per_at.as_ref().unwrap_or(&point.at);
        let points = per.map_or(&[][..], |figure| &figure.points);
        match points {
            [only] if test.per_at.is_none() => Some(only),
            several => several.iter().find(|it| it.at == *at),
        }
    };
    points
        .filter_map(|point| ratio(point, other(point)?))
        .collect()
}

/// Round by round, what was measured next to each other: the medians divided.
fn ratio(point: &Point, per: &Point) -> Option<Point> {
    let median = |round: &Round| super::super::spread::median(&round.samples);
    let divided = |round: &Round| {
        let other = per.rounds.iter().find(|it| it.number == round.number)?;
        let ratio = median(round)? / median(other)?;
        ratio.is_finite().then(|| Round {
            number: round.number,
            samples: vec![ratio],
        })
    };
    let rounds: Vec<Round> = point.rounds.iter().filter_map(divided).collect();
    (!rounds.is_empty()).then(|| Point {
        rounds,
        ..point.clone()
    })
}

fn measured(point: &Point, unit: Unit, test: &Test) -> Option<Measured> {
    let estimate = Estimate::of(&point.rounds, unit)?;
    let verdict = within(&estimate, test.at_least, test.at_most);
    let factor = match verdict {
        Verdict::DoesNotHold => factor(estimate.median, test),
        _ => None,
    };
    Some(Measured {
        at: point.at.clone(),
        x: point.x,
        estimate,
        verdict,
        factor,
        note: point.note.clone(),
    })
}

/// The whole interval within the bounds, the whole of it outside, or neither.
fn within(estimate: &Estimate, at_least: Option<f64>, at_most: Option<f64>) -> Verdict {
    let (least, most) = (
        at_least.unwrap_or(f64::NEG_INFINITY),
        at_most.unwrap_or(f64::INFINITY),
    );
    match estimate.confidence_95 {
        Some(_) if estimate.rounds < LEAST_ROUNDS => Verdict::Undecided,
        None => Verdict::Undecided,
        Some([from, to]) if from >= least && to <= most => Verdict::Holds,
        Some([from, to]) if to < least || from > most => Verdict::DoesNotHold,
        Some(_) => Verdict::Undecided,
    }
}

/// How many times what is said it is; or the bound that it missed.
fn factor(value: f64, test: &Test) -> Option<f64> {
    let bound = match (test.at_least, test.at_most) {
        (Some(least), _) if value < least => Some(least),
        (_, most) => most,
    };
    let said = test.claimed.or(bound)?;
    let factor = value / said;
    (factor.is_finite() && factor > 0.0).then_some(factor)
}

/// Why there is no figure. What failed rather than was not allowed weighs more.
fn without_figure(test: &Test, run: &ClaimsRun) -> (Verdict, Option<String>) {
    let of_test =
        |it: &&Missing| it.measure == test.measure || Some(&it.measure) == test.per.as_ref();
    let about_it = |it: &&Missing| match &it.at {
        Some(at) => test.at.is_empty() || test.at.contains(at) || test.per_at.as_ref() == Some(at),
        None => true,
    };
    let mut why: Vec<&Missing> = run
        .missing
        .iter()
        .filter(of_test)
        .filter(about_it)
        .collect();
    why.sort_by_key(|it| !it.failed);
    match (why.first(), &run.incomplete) {
        (Some(it), _) if it.failed => (Verdict::Failed, Some(it.reason.clone())),
        (Some(it), _) => (Verdict::NotMeasurableHere, Some(it.reason.clone())),
        (None, Some(incomplete)) => (Verdict::Failed, Some(incomplete.clone())),
        (None, None) => (Verdict::Failed, Some(no_such_point(test, run))),
    }
}

fn no_such_point(test: &Test, run: &ClaimsRun) -> String {
    let figures = || run.figures.iter();
    let there = |name: &str| {
        let points = figures()
            .filter(|it| it.about.name == name)
            .flat_map(|it| &it.points);
        let names: Vec<_> = points.map(|it| it.at.as_str()).collect();
        names.join(", ")
    };
    match &test.per {
        Some(per) => format!(
            "no point of {} is one of {per} too; there are {}, and {}",
            test.measure,
            there(&test.measure),
            there(per)
        ),
        None => format!(
            "no such point of {}; there are {}",
            test.measure,
            there(&test.measure)
        ),
    }
}

/// All points alike, or it depends on the place.
fn over_axis(results: &[Measured], axis: Option<&str>) -> (Verdict, Option<String>) {
    let has = |verdict| results.iter().any(|it| it.verdict == verdict);
    let places = |verdict| ranges(results, verdict);
    match (has(Verdict::Holds), has(Verdict::DoesNotHold)) {
        (true, true) => {
            let mut reason = format!(
                "{}: holds at {}, not at {}",
                axis.unwrap_or("place"),
                places(Verdict::Holds),
                places(Verdict::DoesNotHold)
            );
            if has(Verdict::Undecided) {
                reason += &format!("; in doubt at {}", places(Verdict::Undecided));
            }
            (Verdict::Depends, Some(reason))
        }
        (_, false) if has(Verdict::Undecided) => {
            let rounds = results.iter().map(|it| it.estimate.rounds).min();
            let reason = match rounds.is_some_and(|rounds| rounds < LEAST_ROUNDS) {
                true => format!("fewer than {LEAST_ROUNDS} rounds were measured"),
                false => "the interval reaches over a bound; measure on a quieter host, or without --quick".into(),
            };
            (Verdict::Undecided, Some(reason))
        }
        (false, true) if has(Verdict::Undecided) => {
            let axis = axis.unwrap_or("place");
            let reason = format!(
                "{axis}: not at {}; in doubt at {}",
                places(Verdict::DoesNotHold),
                places(Verdict::Undecided)
            );
            (Verdict::Undecided, Some(reason))
        }
        (true, false) => (Verdict::Holds, None),
        _ => (Verdict::DoesNotHold, None),
    }
}

/// The places with this verdict: `2 to 6`, `a, b`; ranges on axes of numbers only.
fn ranges(results: &[Measured], verdict: Verdict) -> String {
    let mut runs: Vec<Vec<&Measured>> = Vec::new();
    let mut before = None;
    for result in results {
        if result.verdict == verdict {
            let goes_on = before == Some(verdict) && result.x.is_some();
            match runs.last_mut() {
                Some(run) if goes_on => run.push(result),
                _ => runs.push(vec![result]),
            }
        }
        before = Some(result.verdict);
    }
    let words = runs.iter().map(|run| match run[..] {
        [only] => only.at.clone(),
        [first, second] => format!("{}, {}", first.at, second.at),
        [first, .., last] => format!("{} to {}", first.at, last.at),
        [] => String::new(),
    });
    words.collect::<Vec<_>>().join(", ")
}
