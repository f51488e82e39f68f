//! The report as one page that needs nothing besides itself: no network, no script. Light or dark as the reader has
//! it, and for the printer.

use std::fmt::{self, Display};
use std::io;

use super::Style;
use super::table::{self, part::Part};
use crate::diff::Diff;
use crate::record::Origin;
use crate::report::Report;
use crate::report::calibration::Calibration;
use crate::report::claims::Claims;
use crate::snapshot::Host;

mod bars;
mod chart;
mod curves;
mod distributions;
mod operations;
mod states;
mod switches;
mod tables;

use tables::tables;

/// A section of a page: its title, and what is below.
struct Section {
    title: &'static str,
    body: String,
}

/// Writes the page of what was watched.
pub(super) fn write(
    report: &Report,
    origin: Option<&Origin>,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let parts = table::parts(report, false, &Style::default());
    let is_finding = |part: &Part| matches!(part, Part::Notes(title, _) if title == "Findings");
    let (findings, parts): (Vec<_>, Vec<_>) = parts.into_iter().partition(is_finding);
    // Their section has their name.
    let findings = findings.into_iter().map(|part| match part {
        Part::Notes(_, notes) => Part::Notes(String::new(), notes),
        other => other,
    });
    let findings: Vec<_> = findings.collect();
    let is_note = |part: &Part| matches!(part, Part::Notes(..));
    let (notes, figures): (Vec<_>, Vec<_>) = parts.into_iter().partition(is_note);
    let ranking =
        |part: &Part| matches!(part, Part::Notes(title, _) if title.starts_with("Ranking"));
    let (ranking, notes): (Vec<_>, Vec<_>) = notes.into_iter().partition(ranking);
    let sections = [
        ("Findings", tables(&findings)),
        ("At a glance", bars::bars(report) + &tables(&ranking)),
        ("With more connections", curves::curves(report)),
        ("Distributions", distributions::distributions(report)),
        ("Where the time goes", states::states(report)),
        ("What a switch takes", switches::switches(report)),
        ("All figures", tables(&figures)),
        ("Methods and losses", tables(&notes) + &losses(report)),
    ];
    let page = Page {
        command: &report.command,
        words: words(&report.host, origin),
        incomplete: report.incomplete.as_deref(),
        sections: sections.map(|(title, body)| Section { title, body }).into(),
    };
    write!(out, "{page}")
}

/// Writes the page of what the basic operations cost.
pub(super) fn write_calibration(
    calibration: &Calibration,
    origin: Option<&Origin>,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let parts = table::calibration_parts(calibration, &Style::default());
    let is_note = |part: &Part| matches!(part, Part::Notes(..));
    let (notes, figures): (Vec<_>, Vec<_>) = parts.into_iter().partition(is_note);
    let sections = [
        ("Curves", operations::curves(calibration)),
        ("All figures", tables(&figures)),
        ("Methods", tables(&notes)),
    ];
    let page = Page {
        command: "calibrate",
        words: words(&calibration.host, origin),
        incomplete: calibration.incomplete.as_deref(),
        sections: sections.map(|(title, body)| Section { title, body }).into(),
    };
    write!(out, "{page}")
}

/// Writes the page of what differs between two records.
pub(super) fn write_diff(diff: &Diff, whole: bool, out: &mut dyn io::Write) -> io::Result<()> {
    let body = tables(&table::diff_parts(diff, whole));
    let page = Page {
        command: "diff",
        words: Vec::new(),
        incomplete: None,
        sections: vec![Section {
            title: "Differences",
            body,
        }],
    };
    write!(out, "{page}")
}

/// Writes the page of what became of claims.
pub(super) fn write_claims(claims: &Claims, out: &mut dyn io::Write) -> io::Result<()> {
    let parts = table::claims_parts(claims);
    let is_note = |part: &Part| matches!(part, Part::Notes(..));
    let (notes, figures): (Vec<_>, Vec<_>) = parts.into_iter().partition(is_note);
    let sections = [
        ("Verdicts", tables(&figures)),
        ("Methods and sources", tables(&notes)),
    ];
    let page = Page {
        command: "claims",
        words: words(&claims.host, None),
        incomplete: claims.incomplete.as_deref(),
        sections: sections.map(|(title, body)| Section { title, body }).into(),
    };
    write!(out, "{page}")
}

/// What could not be had and what was not seen, as the report names it.
fn losses(report: &Report) -> String {
    let unavailable = report.unavailable.iter();
    let unavailable = unavailable.map(|it| (it.measure.replace('_', " "), it.reason.clone()));
    let lost = report.lost.iter().flat_map(|(probe, losses)| {
        let losses = losses.iter().filter(|(_, count)| **count > 0);
        losses.map(move |(what, count)| (probe.clone(), format!("{count} {what}")))
    });
    tables(&[
        Part::Notes("Could not be measured".to_owned(), unavailable.collect()),
        Part::Notes("Not seen".to_owned(), lost.collect()),
    ])
}

/// A page, whatever is in it.
struct Page<'a> {
    command: &'a str,
    /// What there is to say of where it comes from, as HTML.
    words: Vec<String>,
    incomplete: Option<&'a str>,
    sections: Vec<Section>,
}

impl Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sections = || {
            self.sections
                .iter()
                .filter(|section| !section.body.is_empty())
        };
        let title = format!("connscope {}", self.command);
        write!(
            f,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n",
            include_str!("html/style.css")
        )?;
        for words in &self.words {
            writeln!(f, "<p class=\"soft\">{words}</p>")?;
        }
        if let Some(reason) = self.incomplete {
            let reason = text(reason);
            writeln!(
                f,
                "<p class=\"warn\">Incomplete: {reason}; these figures are of what was seen until then.</p>"
            )?;
        }
        writeln!(f, "<nav aria-label=\"Sections\"><ul>")?;
        for section in sections() {
            let (id, title) = (id(section.title), section.title);
            writeln!(f, "<li><a href=\"#{id}\">{title}</a></li>")?;
        }
        writeln!(f, "</ul></nav>\n</header>\n<main>")?;
        for section in sections() {
            let (id, title) = (id(section.title), section.title);
            writeln!(
                f,
                "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{title}</h2>"
            )?;
            writeln!(f, "{}</section>", section.body)?;
        }
        writeln!(f, "</main>\n</body>\n</html>")
    }
}

/// The machine, when, and by what command.
fn words(host: &Host, origin: Option<&Origin>) -> Vec<String> {
    let begun = time_of(host.started_unix_seconds);
    let version = format!("connscope {}", text(&host.connscope_version));
    let mut words = vec![text(&table::machine(host).join(" · "))];
    match origin {
        None => words.push(format!("{begun} · {version}")),
        Some(origin) => {
            let system = origin.operating_system.as_deref().unwrap_or_default();
            words.push(format!(
                "{begun} · {} · {} · {version}",
                text(&origin.host_name),
                text(system)
            ));
            words.push(format!(
                "<code>{}</code>",
                text(&origin.command_line.join(" "))
            ));
        }
    }
    words
}

/// Text that HTML takes for nothing else.
pub(super) fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() && c != '\n' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

fn id(title: &str) -> String {
    title.to_lowercase().replace(' ', "-")
}

/// In Universal Time: a page is read where its host's is not known. Days to a date by Howard Hinnant's
/// `civil_from_days`.
fn time_of(unix_seconds: u64) -> String {
    let (days, seconds) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!(
        "{:04}-{month:02}-{day:02} {:02}:{:02} UTC",
        era * 400 + year_of_era + next,
        seconds / 3_600,
        seconds / 60 % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_868_799, "2000-02-29 23:59 UTC"),
            (1_709_251_200, "2024-03-01 00:00 UTC"),
            (4_102_444_799, "2099-12-31 23:59 UTC"),
        ] {
            assert_eq!(time_of(seconds), expected);
        }
    }

    #[test]
    fn names_of_users_are_no_markup() {
        assert_eq!(
            text("<b>\"a\"&\u{1b}"),
            "&lt;b&gt;&quot;a&quot;&amp;\u{fffd}"
        );
    }
}
