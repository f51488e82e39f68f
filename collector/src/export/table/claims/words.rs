//! Figures and verdicts in words.

use crate::figures::Unit;
use crate::report::claims::{Claims, Measured, Tested, Verdict};
use crate::units;

/// A figure.
pub(in crate::export) fn value(unit: Unit, value: f64) -> String {
    match unit {
        Unit::YesNo if value > 0.5 => "yes".into(),
        Unit::YesNo => "no".into(),
        _ => in_unit(unit)(value),
    }
}

/// What shows numbers of a unit; yes is 1 and no is 0.
pub(in crate::export) fn in_unit(unit: Unit) -> fn(f64) -> String {
    match unit {
        Unit::Seconds => units::time,
        Unit::Bytes => units::bytes,
        Unit::PerSecond => units::rate,
        Unit::Count => units::count,
        Unit::Share => units::percent,
        Unit::Number | Unit::YesNo | Unit::RSquared => units::number,
    }
}

/// Where it holds, of what holds at some places only.
pub(in crate::export) fn where_it_holds(test: &Tested) -> Option<&String> {
    test.reason
        .as_ref()
        .filter(|_| test.verdict == Verdict::Depends)
}

/// A figure with its interval: `1.37 ms [1.31–1.52]`.
pub(in crate::export) fn with_interval(unit: Unit, result: &Measured) -> String {
    let middle = result.estimate.median;
    let Some([from, to]) = result.estimate.confidence_95.filter(|[from, to]| from < to) else {
        return value(unit, middle);
    };
    let scale = match unit {
        Unit::Seconds => units::Unit::Time,
        Unit::Bytes => units::Unit::Bytes,
        Unit::PerSecond => units::Unit::Rate,
        Unit::Number | Unit::RSquared => units::Unit::Number,
        Unit::Count => units::Unit::Count,
        Unit::Share | Unit::YesNo => {
            let [from, to] = [from, to].map(|bound| value(unit, bound));
            return format!(
                "{} [{} to {to}]",
                value(unit, middle),
                from.trim_end_matches(" %")
            );
        }
    };
    scale.show_spread(from, middle, to)
}

/// What was measured; of several points the range of their medians.
pub(in crate::export) fn measured(test: &Tested) -> String {
    let median = |result: &Measured| result.estimate.median;
    let all = || test.results.iter().map(median);
    match &test.results[..] {
        [] => "–".into(),
        [only] => with_interval(test.unit, only),
        _ => {
            let [least, most] = [
                all().fold(f64::INFINITY, f64::min),
                all().fold(f64::NEG_INFINITY, f64::max),
            ];
            let [from, to] = [least, most].map(|bound| value(test.unit, bound));
            if from == to {
                from
            } else {
                format!("{from} to {to}")
            }
        }
    }
}

/// What is said, and with what it holds.
pub(in crate::export) fn said(test: &Tested) -> Vec<String> {
    let show = |bound| value(test.unit, bound);
    let bounds = match (test.at_least, test.at_most) {
        (Some(least), Some(most)) if least == most => show(least),
        (Some(least), Some(most)) => format!("{} to {}", show(least), show(most)),
        (Some(least), None) if test.unit == Unit::YesNo => show(least),
        (Some(least), None) => format!("≥ {}", show(least)),
        (None, Some(most)) => format!("≤ {}", show(most)),
        (None, None) => String::new(),
    };
    match test.claimed {
        Some(claimed) if [test.at_least, test.at_most].contains(&Some(claimed)) => vec![bounds],
        Some(claimed) => vec![show(claimed), format!("({bounds})")],
        None => vec![bounds],
    }
}

/// A verdict with its sign.
pub(in crate::export) fn verdict(verdict: Verdict) -> String {
    let words = match verdict {
        Verdict::Holds => "✓ holds",
        Verdict::DoesNotHold => "✗ does not hold",
        Verdict::Depends => "~ depends",
        Verdict::Undecided => "? undecided",
        Verdict::NotMeasurableHere => "– not measurable here",
        Verdict::Failed => "! failed",
    };
    words.into()
}

/// What is to be said of a test besides its verdict.
pub(in crate::export) fn details(test: &Tested) -> Option<String> {
    match (test.verdict, test.factor) {
        (Verdict::DoesNotHold, Some(factor)) if factor >= 1.0 => {
            Some(format!("{} times more", times(factor)))
        }
        (Verdict::DoesNotHold, Some(factor)) => Some(format!("{} times less", times(1.0 / factor))),
        (Verdict::Depends, _) => Some(format!(
            "on {}",
            test.axis.as_deref().unwrap_or("the place")
        )),
        _ => None,
    }
}

fn times(factor: f64) -> String {
    match factor {
        _ if factor < 9.95 => format!("{factor:.1}"),
        _ => units::count(factor),
    }
}

/// `375 samples in 5 rounds, half of them 1.60 µs to 1.80 µs`.
pub(in crate::export) fn counts(test: &Tested) -> String {
    let samples: u64 = test.results.iter().map(|it| it.estimate.samples).sum();
    let rounds = test
        .results
        .iter()
        .map(|it| it.estimate.rounds)
        .max()
        .unwrap_or(0);
    let plural = |number: u64| if number == 1 { "" } else { "s" };
    let counts = format!(
        "{} sample{} in {rounds} round{}",
        units::count(samples as f64),
        plural(samples),
        plural(rounds)
    );
    match &test.results[..] {
        [only] if only.estimate.p25 < only.estimate.p75 => {
            let [from, to] = [only.estimate.p25, only.estimate.p75].map(|it| value(test.unit, it));
            format!("{counts}, half of them {from} to {to}")
        }
        _ => counts,
    }
}

/// `11 hold · 9 do not hold · ...`.
pub(in crate::export) fn sum(claims: &Claims) -> String {
    const WORDS: [(Verdict, &str, &str); 6] = [
        (Verdict::Holds, "holds", "hold"),
        (Verdict::DoesNotHold, "does not hold", "do not hold"),
        (Verdict::Depends, "depends", "depend"),
        (Verdict::Undecided, "is undecided", "are undecided"),
        (
            Verdict::NotMeasurableHere,
            "is not measurable here",
            "are not measurable here",
        ),
        (Verdict::Failed, "failed", "failed"),
    ];
    let counted = WORDS.iter().filter_map(|(verdict, one, several)| {
        let count = *claims.verdicts.get(verdict)?;
        Some(format!(
            "{count} {}",
            if count == 1 { one } else { several }
        ))
    });
    let all = claims.claims.len();
    let plural = if all == 1 { "" } else { "s" };
    let counted = counted.collect::<Vec<_>>().join(" · ");
    format!("Of {all} claim{plural}: {counted}")
}
