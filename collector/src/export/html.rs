//! The report as one page that needs nothing besides itself: no network, no script. Light or dark as the reader has
//! it, and for the printer.

use super::Style;
use super::table::{self, part::Part};
use crate::diff::Diff;
use crate::record::Origin;
use crate::report::Report;
use crate::report::calibration::Calibration;
use crate::report::claims::Claims;
use crate::side_by_side::{Calibrations, Comparisons, Side};
use crate::snapshot::Host;
use crate::units;

mod bars;
mod chart;
mod curves;
mod distributions;
mod operations;
mod page;
mod places;
mod states;
mod switches;
mod tables;
mod verdicts;

pub(super) use page::{Chapter, Page};

use page::Section;
use tables::{tables, titled};

/// What was watched.
pub(super) fn watched<'a>(report: &'a Report, origin: Option<&Origin>) -> Chapter<'a> {
    let parts = table::parts(report, false, &Style::default());
    let is_finding = |part: &Part| matches!(part, Part::Notes(title, _) if title == "Findings");
    let (findings, parts): (Vec<_>, Vec<_>) = parts.into_iter().partition(is_finding);
    // Their section has their name.
    let findings = findings.into_iter().map(|part| match part {
        Part::Notes(_, notes) => Part::Notes(String::new(), notes),
        other => other,
    });
    let findings: Vec<_> = findings.collect();
    let (notes, figures) = apart(parts);
    let ranking =
        |part: &Part| matches!(part, Part::Notes(title, _) if title.starts_with("Ranking"));
    let (ranking, notes): (Vec<_>, Vec<_>) = notes.into_iter().partition(ranking);
    Chapter {
        command: &report.command,
        words: words(&report.host, origin),
        incomplete: report.incomplete.as_deref(),
        sections: Section::all([
            ("Findings", tables(&findings)),
            ("At a glance", bars::bars(report) + &tables(&ranking)),
            ("With more connections", curves::curves(report)),
            ("Distributions", distributions::distributions(report)),
            ("Where the time goes", states::states(report)),
            ("What a switch takes", switches::switches(report)),
            ("All figures", tables(&figures)),
            ("Methods and losses", tables(&notes) + &losses(report)),
        ]),
    }
}

/// What the basic operations cost.
pub(super) fn calibration<'a>(
    calibration: &'a Calibration,
    origin: Option<&Origin>,
) -> Chapter<'a> {
    let (notes, figures) = apart(table::calibration_parts(calibration, &Style::default()));
    Chapter {
        command: "calibrate",
        words: words(&calibration.host, origin),
        incomplete: calibration.incomplete.as_deref(),
        sections: Section::all([
            ("Curves", operations::curves(&[("", calibration)])),
            ("All figures", tables(&figures)),
            ("Methods", tables(&notes)),
        ]),
    }
}

/// What became of claims.
pub(super) fn claims<'a>(claims: &'a Claims, origin: Option<&Origin>) -> Chapter<'a> {
    let (notes, figures) = apart(table::claims::below(claims));
    Chapter {
        command: "claims",
        words: words(&claims.host, origin),
        incomplete: claims.incomplete.as_deref(),
        sections: Section::all([
            ("Verdicts", verdicts::verdicts(claims)),
            ("Curves", places::curves(claims)),
            ("Isolation", tables(&figures)),
            ("Methods and sources", tables(&notes)),
        ]),
    }
}

/// What differs between two records.
pub(super) fn diff(diff: &Diff, whole: bool) -> Chapter<'_> {
    Chapter {
        command: "diff",
        words: Vec::new(),
        incomplete: None,
        sections: Section::all([("Differences", tables(&table::diff_parts(diff, whole)))]),
    }
}

/// What the basic operations cost on several hosts.
pub(super) fn calibrations(them: &Calibrations) -> Chapter<'_> {
    let [hosts, figures, notes] = table::calibrations_parts(them);
    let reports = them.hosts.iter().zip(&them.reports);
    let reports: Vec<_> = reports
        .map(|(side, it)| (side.short.as_str(), it))
        .collect();
    Chapter {
        command: them.of,
        words: side_by_side(&them.hosts),
        incomplete: None,
        sections: Section::all([
            ("Hosts", titled("each host", untitled(&hosts))),
            ("Curves", operations::curves(&reports)),
            ("All figures", titled("every operation", untitled(&figures))),
            ("Methods", tables(&notes)),
        ]),
    }
}

/// Models on several hosts.
pub(super) fn comparisons(them: &Comparisons) -> Chapter<'_> {
    let [hosts, figures, all, notes] = table::comparisons_parts(them);
    Chapter {
        command: them.of,
        words: side_by_side(&them.hosts),
        incomplete: None,
        sections: Section::all([
            ("Hosts", titled("each host", untitled(&hosts))),
            ("At a glance", bars::bars_of_hosts(them)),
            ("Side by side", tables(&figures)),
            ("All figures", tables(&all)),
            ("Methods and losses", tables(&notes)),
        ]),
    }
}

/// The notes, and the rest.
fn apart(parts: Vec<Part>) -> (Vec<Part>, Vec<Part>) {
    let is_note = |part: &Part| matches!(part, Part::Notes(..));
    parts.into_iter().partition(is_note)
}

/// Without the title that their section has too.
fn untitled(parts: &[Part]) -> &[Part] {
    match parts {
        [Part::Title(_), rest @ ..] => rest,
        all => all,
    }
}

/// How each came about.
fn side_by_side(sides: &[Side]) -> Vec<String> {
    let command = |side: &Side| {
        let command = text(&side.command_line);
        format!("{}: <code>{command}</code>", text(&side.label))
    };
    sides.iter().map(command).collect()
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

/// The machine, when, and by what command.
fn words(host: &Host, origin: Option<&Origin>) -> Vec<String> {
    let begun = units::date(host.started_unix_seconds);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_users_are_no_markup() {
        assert_eq!(
            text("<b>\"a\"&\u{1b}"),
            "&lt;b&gt;&quot;a&quot;&amp;\u{fffd}"
        );
    }
}
