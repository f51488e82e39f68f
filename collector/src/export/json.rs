//! The report as JSON, field by field as `docs/json.md` describes it.

use std::io;

use serde::Serialize;

/// Writes the report, indented, with a line end after it.
pub(super) fn write(report: &impl Serialize, out: &mut dyn io::Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)
}
