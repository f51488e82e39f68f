//! What stands out, and on request each rule that could have found something.

use super::part::{Note, Part};
use crate::report::Report;
use crate::report::findings::{Examined, Finding, RULES, Rule};

/// The findings; nothing where no rule applies.
pub(super) fn parts(report: &Report) -> Vec<Part> {
    if report.rules.is_empty() {
        return Vec::new();
    }
    let several = several(report);
    let mut notes: Vec<Note> = report
        .findings
        .iter()
        .map(|it| finding(it, several))
        .collect();
    if notes.is_empty() {
        notes.push(("none".to_owned(), nothing(report)));
    }
    vec![Part::notes("Findings", notes)]
}

/// What each rule looked at.
pub(super) fn rules(report: &Report) -> Part {
    let several = several(report);
    let note = |rule: &Rule| {
        let examined = report.rules.iter().filter(|it| it.rule == rule.id);
        let results: Vec<String> = examined.map(|it| result(it, several)).collect();
        let threshold = rule.unit.show(rule.threshold);
        let text = format!(
            "{}; from {threshold} on: {}. Here: {}",
            rule.figure,
            rule.why,
            results.join("; "),
        );
        (!results.is_empty()).then(|| (name(rule.id), text))
    };
    Part::notes("Rules", RULES.iter().filter_map(note).collect())
}

/// Whether a finding has to say of which target it is.
fn several(report: &Report) -> bool {
    report.targets.len() > 1
}

fn whose(target: Option<&String>, several: bool) -> String {
    let target = target.filter(|_| several);
    target.map_or_else(String::new, |target| format!("{target}: "))
}

fn finding(found: &Finding, several: bool) -> Note {
    let text = format!(
        "{}{} (a finding from {} on). {}. How sure: {}, {}",
        whose(found.target.as_ref(), several),
        found.sentence,
        found.unit.show(found.threshold),
        capital(&found.advice),
        found.confidence.word(),
        found.because,
    );
    (name(found.rule), text)
}

fn nothing(report: &Report) -> String {
    let unmeasured = report.rules.iter().filter(|it| it.measured.is_none());
    match unmeasured.count() {
        0 => "no rule found anything (--explain shows what each looked at)".to_owned(),
        1 => {
            "no rule found anything; one had too little to look at (--explain says why)".to_owned()
        }
        count => format!(
            "no rule found anything; {count} of {} had too little to look at, or nothing (--explain says why)",
            report.rules.len()
        ),
    }
}

fn result(examined: &Examined, several: bool) -> String {
    let whose = whose(examined.target.as_ref(), several);
    let measured = examined.measured.map(|figure| examined.unit.show(figure));
    let text = match (measured, &examined.reason, examined.fired) {
        (None, reason, _) => format!("not looked at: {}", reason.as_deref().unwrap_or("unknown")),
        (Some(figure), _, true) => format!("{figure}, a finding"),
        (Some(figure), Some(reason), _) => format!("{figure}, no finding: {reason}"),
        (Some(figure), None, _) => format!("{figure}, no finding"),
    };
    whose + &text
}

fn name(rule: &str) -> String {
    rule.replace('_', " ")
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}
