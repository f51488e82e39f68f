//! Ways out of a report. [`Format`] is the one list of them; each has a file.

use std::fmt;
use std::io;
use std::io::IsTerminal as _;

use clap::ValueEnum;

use crate::report::Report;
use crate::report::calibration::Calibration;
use crate::report::claims::Claims;

mod json;
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
pub enum Document<'a> {
    /// What was watched.
    Report(&'a Report),
    /// The same, and for people each rule of its findings.
    Explained(&'a Report),
    /// What the basic operations cost.
    Calibration(&'a Calibration),
    /// What became of claims.
    Claims(&'a Claims),
}

impl<'a> From<&'a Report> for Document<'a> {
    fn from(report: &'a Report) -> Self {
        Self::Report(report)
    }
}

impl<'a> From<&'a Calibration> for Document<'a> {
    fn from(calibration: &'a Calibration) -> Self {
        Self::Calibration(calibration)
    }
}

impl<'a> From<&'a Claims> for Document<'a> {
    fn from(claims: &'a Claims) -> Self {
        Self::Claims(claims)
    }
}

/// Writes a report. `style` matters to people's formats only.
///
/// # Errors
/// Those of `out`.
pub fn write<'a>(
    document: impl Into<Document<'a>>,
    format: Format,
    style: &Style,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    match (format, document.into()) {
        (Format::Table, Document::Report(report)) => table::write(report, false, style, out),
        (Format::Table, Document::Explained(report)) => table::write(report, true, style, out),
        (Format::Table, Document::Calibration(it)) => table::write_calibration(it, style, out),
        (Format::Table, Document::Claims(it)) => table::write_claims(it, style, out),
        (Format::Json, Document::Report(report) | Document::Explained(report)) => {
            json::write(report, out)
        }
        (Format::Json, Document::Calibration(it)) => json::write(it, out),
        (Format::Json, Document::Claims(it)) => json::write(it, out),
    }
}
