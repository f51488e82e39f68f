//! The report for people: blocks of figures side by side, in human units, and what to know of
//! them below.

use std::io;

use super::Style;
use crate::report::Report;
use crate::report::calibration::Calibration;
use crate::report::claims::Claims;
use crate::snapshot::Host;

mod attach;
mod calibration;
mod calls;
mod cells;
mod claims;
mod client_cells;
mod column;
mod compare;
mod connections;
mod counter_cells;
mod fault_cells;
mod figures;
mod findings;
mod footnotes;
mod grid;
mod methods;
mod notes;
mod ranking;
mod rows;
mod switch_latency;
mod text;
mod user_space_cells;

use crate::units;

use footnotes::Footnotes;
use text::Pen;
pub(crate) use text::{columns, wrap};

/// Writes the report; `explained`: with each rule that could have found something.
pub(super) fn write(
    report: &Report,
    explained: bool,
    style: &Style,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let pen = Pen { color: style.color };
    let mut footnotes = Footnotes::default();
    write_heading(report, style, pen, out)?;
    if report.targets.is_empty() {
        writeln!(out, "\nnothing was watched")?;
    }
    compare::write(report, style, pen, &mut footnotes, out)?;
    attach::write(report, style, pen, &mut footnotes, out)?;
    ranking::write(report, style, pen, out)?;
    notes::write(report, style, pen, &footnotes, out)?;
    if explained {
        findings::write_rules(report, style, pen, out)?;
    }
    findings::write(report, style, pen, out)
}

/// Writes what the basic operations cost.
pub(super) fn write_calibration(
    calibration: &Calibration,
    style: &Style,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    calibration::write(calibration, style, Pen { color: style.color }, out)
}

/// Writes what became of claims.
pub(super) fn write_claims(
    claims: &Claims,
    style: &Style,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    claims::write(claims, style, Pen { color: style.color }, out)
}

/// What was done and where.
fn write_heading(
    report: &Report,
    style: &Style,
    pen: Pen,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    write_host(&report.command, &report.host, style, pen, out)?;
    write_incomplete(report.incomplete.as_deref(), style, pen, out)
}

fn write_host(
    command: &str,
    host: &Host,
    style: &Style,
    pen: Pen,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let mut words = vec![format!("Linux {} {}", host.kernel, host.architecture)];
    words.push(format!(
        "{} CPU{}",
        host.cpus,
        if host.cpus == 1 { "" } else { "s" }
    ));
    words.push(host.cpu_model.clone());
    words.push(units::bytes(host.memory_bytes as f64));
    words.extend(host.virtualization.clone().filter(|name| name != "none"));
    words.extend(
        host.memory_cgroup
            .as_ref()
            .map(|version| format!("cgroup {version}")),
    );
    words.retain(|word| !word.trim().is_empty());
    writeln!(out, "{}", pen.strong(&format!("connscope {command}")))?;
    for line in text::wrap_list(&words, " · ", style.width) {
        writeln!(out, "{}", pen.faint(&line))?;
    }
    Ok(())
}

fn write_incomplete(
    reason: Option<&str>,
    style: &Style,
    pen: Pen,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    if let Some(reason) = reason {
        let warning =
            format!("incomplete: {reason}; these figures are of what was seen until then");
        writeln!(out)?;
        for line in text::wrap(&warning, style.width) {
            writeln!(out, "{}", pen.warning(&line))?;
        }
    }
    Ok(())
}
