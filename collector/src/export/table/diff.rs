//! Two records side by side: what differs, or that nothing was seen to.

use super::grid::{Grid, Row};
use super::part::{Note, Part};
use super::units;
use crate::diff::{Diff, FigureDiff, Side, TargetDiff, Unit, Verdict};

/// What differs; `whole`: all the other figures too.
pub(super) fn parts(diff: &Diff, whole: bool) -> Vec<Part> {
    let mut parts = vec![Part::notes("What is compared", compared(diff))];
    for target in &diff.targets {
        let shown = |it: &&FigureDiff| whole || it.verdict == Verdict::Different;
        let figures: Vec<_> = target.figures.iter().filter(shown).collect();
        if !figures.is_empty() {
            parts.extend([Part::Title(title(target)), Part::Grid(grid(&figures))]);
        }
    }
    parts.push(Part::notes("Result", result(diff)));
    parts
}

fn compared(diff: &Diff) -> Vec<Note> {
    let mut notes = vec![
        ("A".to_owned(), described(&diff.a)),
        ("B".to_owned(), described(&diff.b)),
    ];
    notes.extend(diff.circumstances.iter().map(|it| {
        let text = format!("{} in A, {} in B", it.a, it.b);
        (format!("another {}", it.what), text)
    }));
    for (letter, only) in [("A", &diff.only_in_a), ("B", &diff.only_in_b)] {
        if !only.is_empty() {
            notes.push((format!("only in {letter}"), only.join(", ")));
        }
    }
    notes
}

fn described(side: &Side) -> String {
    let incomplete = side.incomplete.as_ref();
    let incomplete = incomplete.map(|why| format!("; incomplete: {why}"));
    format!(
        "{}, {} units, made by: {}{}",
        side.file,
        side.units,
        side.command_line,
        incomplete.unwrap_or_default()
    )
}

fn title(target: &TargetDiff) -> String {
    match target.connections {
        Some(1) => format!("{} with 1 connection", target.name),
        Some(connections) => {
            let connections = units::count(f64::from(connections));
            format!("{} with {connections} connections", target.name)
        }
        None => target.name.clone(),
    }
}

fn grid(figures: &[&FigureDiff]) -> Grid {
    let row = |it: &&FigureDiff| {
        let verdict = match (it.verdict, it.better) {
            (Verdict::Different, Some(true)) => "better",
            (Verdict::Different, Some(false)) => "worse",
            (Verdict::Different, None) => "different",
            (Verdict::NotSeen, _) => "no difference seen",
            (Verdict::TooFew, _) => "too few units",
        };
        let effect = it.effect_size.map(|size| format!("{size:+.1}"));
        Row::Figures(vec![
            it.figure.to_owned(),
            value(it.unit, it.a),
            value(it.unit, it.b),
            it.change.map_or("-".to_owned(), percent),
            interval(it),
            effect.unwrap_or("-".to_owned()),
            verdict.to_owned(),
        ])
    };
    let header = [
        "figure", "A", "B", "change", "interval", "effect", "verdict",
    ];
    Grid {
        header: header.map(str::to_owned).to_vec(),
        rows: figures.iter().map(row).collect(),
        words: vec![6],
    }
}

/// As shares of A, or in its own unit where A is nothing.
fn interval(it: &FigureDiff) -> String {
    let Some([lower, upper]) = it.interval else {
        return "-".to_owned();
    };
    let show = |bound: f64| match it.a == 0.0 {
        true => value(it.unit, bound),
        false => percent(bound / it.a.abs()),
    };
    format!("{} to {}", show(lower), show(upper))
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent.abs() {
        size if !size.is_finite() => "unknown".to_owned(),
        size if size < 10.0 => format!("{percent:+.1} %"),
        _ => format!("{percent:+.0} %"),
    }
}

fn value(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Seconds => units::time(value),
        Unit::Bytes => units::bytes(value),
        Unit::PerSecond => units::rate(value),
        Unit::Share => units::percent(value),
        Unit::Count => units::number(value),
    }
}

fn result(diff: &Diff) -> Vec<Note> {
    let compared: usize = diff.targets.iter().map(|target| target.figures.len()).sum();
    let conclusion = match (&diff.reason, diff.differences) {
        (Some(reason), _) => format!("nothing can be told: {reason}"),
        (None, 0) => format!("no difference seen in {compared} figures"),
        (None, 1) => format!("1 of {compared} figures differs"),
        (None, many) => format!("{many} of {compared} figures differ"),
    };
    let how = format!(
        "a figure differs where its whole interval is beyond {} of it and beyond what it resolves; intervals are of all \
         figures together: at most {} of diffs of what does not differ say that something does",
        units::percent(diff.least_change),
        units::percent(diff.false_alarms)
    );
    vec![("seen".to_owned(), conclusion), ("by".to_owned(), how)]
}
