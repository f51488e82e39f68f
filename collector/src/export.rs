//! Ways out of a report. [`Format`] is the one list of them; each has a file.

use std::fmt;
use std::io;
use std::io::IsTerminal as _;

use clap::ValueEnum;

use crate::diff::Diff;
use crate::record::Origin;
use crate::report::Report;
use crate::report::calibration::Calibration;
use crate::report::claims::Claims;
use crate::side_by_side::{Calibrations, Comparisons};

pub mod flamegraph;
mod html;
mod json;
pub mod metrics;
pub mod otlp;
pub mod pftrace;
pub mod prometheus;
mod table;

pub(crate) use table::{columns, wrap};

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: side by side, in human units.
    #[default]
    Table,
    /// For programs: see `docs/json.md`.
    Json,
    /// For a browser: one page that needs no network, with charts.
    Html,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self
            .to_possible_value()
            .map(|value| value.get_name().to_owned());
        f.pad(name.as_deref().unwrap_or_default())
    }
}

/// What the reader's screen can show. The default is a file's: no colour, any width.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Emphasis by terminal escapes.
    pub color: bool,
    /// Columns of the screen; none where lines may be of any length.
    pub width: Option<u16>,
}

impl Style {
    /// What standard output can show: colour on a terminal unless `NO_COLOR` is set to something
    /// (see no-color.org) or the terminal is a dumb one, and the terminal's width.
    #[must_use]
    pub fn of_stdout() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let dumb = set("TERM").is_some_and(|terminal| terminal == "dumb");
        Self {
            color: io::stdout().is_terminal() && set("NO_COLOR").is_none() && !dumb,
            width: comfy_table::Table::new().width(),
        }
    }
}

/// What can be written.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    content: Content<'a>,
    origin: Option<&'a Origin>,
}

#[derive(Clone, Copy, Debug)]
enum Content<'a> {
    /// What was watched; for people, if asked for, with each rule of its findings.
    Report(&'a Report, bool),
    /// What the basic operations cost.
    Calibration(&'a Calibration),
    /// What became of claims.
    Claims(&'a Claims),
    /// What differs between two records; for people, if asked for, with what does not.
    Diff(&'a Diff, bool),
    /// What the basic operations cost on several hosts.
    Calibrations(&'a Calibrations),
    /// Models on several hosts.
    Comparisons(&'a Comparisons),
    /// Reports of different kinds, one after the other: on a page alone.
    Several(&'a [Document<'a>]),
}

impl<'a> Document<'a> {
    /// With each rule that could have found something.
    #[must_use]
    pub fn explained(report: &'a Report) -> Self {
        Self::of(Content::Report(report, true))
    }

    /// With the figures too of which no difference was seen.
    #[must_use]
    pub fn whole(diff: &'a Diff) -> Self {
        Self::of(Content::Diff(diff, true))
    }

    /// Reports of different kinds, each a chapter of a page.
    #[must_use]
    pub fn chapters(documents: &'a [Self]) -> Self {
        Self::of(Content::Several(documents))
    }

    /// With what is known of where it comes from.
    #[must_use]
    pub fn from_origin(self, origin: &'a Origin) -> Self {
        Self {
            origin: Some(origin),
            ..self
        }
    }

    fn of(content: Content<'a>) -> Self {
        Self {
            content,
            origin: None,
        }
    }
}

impl<'a> From<&'a Report> for Document<'a> {
    fn from(report: &'a Report) -> Self {
        Self::of(Content::Report(report, false))
    }
}

impl<'a> From<&'a Calibration> for Document<'a> {
    fn from(calibration: &'a Calibration) -> Self {
        Self::of(Content::Calibration(calibration))
    }
}

impl<'a> From<&'a Calibrations> for Document<'a> {
    fn from(calibrations: &'a Calibrations) -> Self {
        Self::of(Content::Calibrations(calibrations))
    }
}

impl<'a> From<&'a Comparisons> for Document<'a> {
    fn from(comparisons: &'a Comparisons) -> Self {
        Self::of(Content::Comparisons(comparisons))
    }
}

impl<'a> From<&'a Diff> for Document<'a> {
    fn from(diff: &'a Diff) -> Self {
        Self::of(Content::Diff(diff, false))
    }
}

impl<'a> From<&'a Claims> for Document<'a> {
    fn from(claims: &'a Claims) -> Self {
        Self::of(Content::Claims(claims))
    }
}

/// Writes a report. `style` matters to the table only.
///
/// # Errors
/// Those of `out`; [`io::ErrorKind::Unsupported`] for chapters in any form but a page.
pub fn write<'a>(
    document: impl Into<Document<'a>>,
    format: Format,
    style: &Style,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let document = document.into();
    match (format, document.content) {
        (Format::Html, _) => write!(out, "{}", html::Page(document.into_chapters())),
        (Format::Table, content) => write_table(content, style, out),
        (Format::Json, content) => write_json(content, out),
    }
}

fn write_table(content: Content<'_>, style: &Style, out: &mut dyn io::Write) -> io::Result<()> {
    match content {
        Content::Report(it, explained) => table::write(it, explained, style, out),
        Content::Calibration(it) => table::write_calibration(it, style, out),
        Content::Claims(it) => table::claims::write(it, style, out),
        Content::Diff(it, whole) => table::write_diff(it, whole, style, out),
        Content::Calibrations(it) => table::write_calibrations(it, style, out),
        Content::Comparisons(it) => table::write_comparisons(it, style, out),
        Content::Several(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn write_json(content: Content<'_>, out: &mut dyn io::Write) -> io::Result<()> {
    match content {
        Content::Report(it, _) => json::write(it, out),
        Content::Calibration(it) => json::write(it, out),
        Content::Claims(it) => json::write(it, out),
        Content::Diff(it, _) => json::write(it, out),
        Content::Calibrations(it) => json::write(it, out),
        Content::Comparisons(it) => json::write(it, out),
        Content::Several(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

impl<'a> Document<'a> {
    fn into_chapters(self) -> Vec<html::Chapter<'a>> {
        let origin = self.origin;
        vec![match self.content {
            Content::Report(it, _) => html::watched(it, origin),
            Content::Calibration(it) => html::calibration(it, origin),
            Content::Claims(it) => html::claims(it, origin),
            Content::Diff(it, whole) => html::diff(it, whole),
            Content::Calibrations(it) => html::calibrations(it),
            Content::Comparisons(it) => html::comparisons(it),
            Content::Several(all) => {
                return all.iter().flat_map(|it| it.into_chapters()).collect();
            }
        }]
    }
}
