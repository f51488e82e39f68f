//! What became of claims: each with its tests below it.

use super::super::table::claims::words;
use super::text;
use crate::report::claims::{Claims, Judged, Tested, Verdict};

/// How many have which verdict, then a table of all.
pub(super) fn verdicts(claims: &Claims) -> String {
    let mut html = format!(
        "<p>{}.</p>\n<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"every claim\">\n\
         <table class=\"figures claims\">\n<thead><tr>",
        text(&words::sum(claims))
    );
    for name in ["claim", "said", "measured", "verdict", "source"] {
        html += &format!("<th scope=\"col\" class=\"words\">{name}</th>");
    }
    html += "</tr></thead>\n";
    for group in claims
        .claims
        .chunk_by(|one, other| one.group == other.group)
    {
        html += &format!(
            "<tbody>\n<tr><th class=\"group\" scope=\"rowgroup\" colspan=\"5\">{}</th></tr>\n",
            text(&group[0].group)
        );
        html.extend(group.iter().map(claim));
        html += "</tbody>\n";
    }
    html + "</table>\n</div>\n"
}

/// With one test a row; with several, one for the verdict of all, and one for each.
fn claim(claim: &Judged) -> String {
    let id = format!("<code>{}</code>", text(&claim.id));
    let said = format!("<th scope=\"row\">{} {id}</th>", text(&claim.claim));
    let sources = format!(
        "<td class=\"words\">{}</td>",
        text(&claim.sources.join(", "))
    );
    match &claim.tests[..] {
        [only] => format!("<tr>{said}{}{sources}</tr>\n", figures(only)),
        several => {
            let verdict = cell(claim.verdict, &words::verdict(claim.verdict));
            let rows = several.iter().map(|test| {
                let label = text(&test.label);
                let figures = figures(test);
                format!("<tr><th scope=\"row\" class=\"of\">{label}</th>{figures}<td></td></tr>\n")
            });
            let rows: String = rows.collect();
            format!("<tr>{said}<td></td><td></td>{verdict}{sources}</tr>\n{rows}")
        }
    }
}

fn figures(test: &Tested) -> String {
    let words = |words: &str| format!("<td class=\"words\">{}</td>", text(&unbroken(words)));
    let where_it_holds = words::where_it_holds(test).cloned();
    let details = where_it_holds.or_else(|| words::details(test));
    let verdict = std::iter::once(words::verdict(test.verdict)).chain(details);
    let verdict = verdict.collect::<Vec<_>>().join(", ");
    words(&words::said(test).join(" "))
        + &words(&words::measured(test))
        + &cell(test.verdict, &verdict)
}

/// Figures that keep their units on their line: there is a new one before an interval, a bound or the end of a range.
fn unbroken(words: &str) -> String {
    let words = words.replace(' ', "\u{a0}");
    ["[", "(", "to\u{a0}"].iter().fold(words, |words, next| {
        words.replace(&format!("\u{a0}{next}"), &format!(" {next}"))
    })
}

/// Its colour says no more than its sign.
fn cell(verdict: Verdict, shown: &str) -> String {
    let class = match verdict {
        Verdict::Holds => "good",
        Verdict::DoesNotHold | Verdict::Failed => "bad",
        Verdict::Depends | Verdict::Undecided => "unclear",
        Verdict::NotMeasurableHere => "soft",
    };
    format!("<td class=\"words {class}\">{}</td>", text(shown))
}
