//! What became of claims: a table to be read from the back of the room, then what each depends on, and how
//! it was measured.

use std::io;

use super::super::Style;
use super::part::{Note, Part};
use super::text::{Pen, wrap};
use crate::report::claims::{Claims, Judged, Tested, Verdict};

mod isolation;
mod layout;
pub(in crate::export) mod words;

use layout::Layout;

/// Writes the report.
pub(in crate::export) fn write(
    claims: &Claims,
    style: &Style,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let pen = Pen { color: style.color };
    super::write_host("claims", &claims.host, style, pen, out)?;
    super::write_incomplete(claims.incomplete.as_deref(), style, pen, out)?;
    writeln!(out)?;
    for line in wrap(&words::sum(claims), style.width) {
        writeln!(out, "{}", pen.strong(&line))?;
    }
    let layout = Layout::of(style);
    let mut group = "";
    for claim in &claims.claims {
        if claim.group != group {
            group = &claim.group;
            layout.write_group(group, pen, out)?;
        }
        layout.write_claim(claim, pen, out)?;
    }
    below(claims)
        .iter()
        .try_for_each(|part| part.write(style, pen, out))
}

/// What stands below the verdicts.
pub(in crate::export) fn below(claims: &Claims) -> Vec<Part> {
    let mut parts = isolation::parts(&claims.isolation);
    parts.extend(notes(claims));
    parts
}

fn notes(claims: &Claims) -> [Part; 5] {
    let of = |of: fn(&Judged) -> Vec<Note>| claims.claims.iter().flat_map(of).collect::<Vec<_>>();
    [
        Part::notes("What it depends on", of(curves)),
        Part::notes("Why there is no clear verdict", of(reasons)),
        Part::notes("What to know", of(remarks)),
        Part::notes("How it was measured", of(methods)),
        Part::notes("Sources", sources(claims)),
    ]
}

/// Figures with several points, point by point; of those that hold at some of them only, where they do.
fn curves(claim: &Judged) -> Vec<Note> {
    let with_several = claim.tests.iter().filter(|test| test.results.len() > 1);
    with_several
        .map(|test| {
            let axis = test.axis.as_deref().unwrap_or_default();
            let points = test.results.iter().map(|point| {
                let note = point
                    .note
                    .as_ref()
                    .map_or_else(String::new, |note| format!(" ({note})"));
                format!(
                    "{}: {}{note}",
                    point.at,
                    words::with_interval(test.unit, point)
                )
            });
            let points = points.collect::<Vec<_>>().join("; ");
            let note = format!("{} by {axis}: {points}", test.label);
            let note = match words::where_it_holds(test) {
                Some(reason) => format!("{reason}. {note}"),
                None => note,
            };
            (claim.id.clone(), note)
        })
        .collect()
}

fn reasons(claim: &Judged) -> Vec<Note> {
    let unclear = claim
        .tests
        .iter()
        .filter(|test| !matches!(test.verdict, Verdict::Holds | Verdict::Depends));
    let mut reasons: Vec<Note> = unclear
        .filter_map(|test| Some((claim.id.clone(), test.reason.clone()?)))
        .collect();
    reasons.dedup();
    reasons
}

fn remarks(claim: &Judged) -> Vec<Note> {
    let of_points = claim.tests.iter().filter(|test| test.results.len() == 1);
    let of_points = of_points
        .flat_map(|test| &test.results)
        .filter_map(|it| it.note.as_ref());
    let all = claim.note.iter().chain(of_points);
    all.map(|note| (claim.id.clone(), note.clone())).collect()
}

fn methods(claim: &Judged) -> Vec<Note> {
    let measured = claim.tests.iter().filter(|test| !test.results.is_empty());
    let mut notes: Vec<Note> = Vec::new();
    for test in measured {
        let counts = words::counts(test);
        let note = match same_method(claim, test) {
            true => format!("{}: {counts}", test.label),
            false => format!("{}: {counts}. {}", test.label, test.method),
        };
        notes.push((claim.id.clone(), note));
    }
    notes
}

/// Whether a test before this one is of the same measure.
fn same_method(claim: &Judged, test: &Tested) -> bool {
    let before = claim.tests.iter().take_while(|it| !std::ptr::eq(*it, test));
    before
        .into_iter()
        .any(|it| it.measure == test.measure && !it.results.is_empty())
}

fn sources(claims: &Claims) -> Vec<Note> {
    let named = |letter: &String| claims.claims.iter().any(|it| it.sources.contains(letter));
    let sources = claims.sources.iter().filter(|(letter, _)| named(letter));
    sources
        .map(|(letter, source)| (letter.clone(), source.clone()))
        .collect()
}
