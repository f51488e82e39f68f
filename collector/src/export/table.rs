//! The report for people: blocks of figures side by side, in human units, and what to know of
//! them below.

use std::io;

use super::Style;
use crate::diff::Diff;
use crate::report::Report;
use crate::report::calibration::Calibration;
use crate::side_by_side::{Calibrations, Comparisons, Side};
use crate::snapshot::Host;

mod attach;
mod calibration;
mod calls;
mod cells;
pub(super) mod claims;
mod client_cells;
mod column;
mod compare;
mod connections;
mod counter_cells;
mod diff;
mod fault_cells;
mod figures;
mod findings;
mod footnotes;
pub(super) mod grid;
mod hosts;
mod methods;
mod notes;
pub(super) mod part;
mod ranking;
mod rows;
mod switch_latency;
mod text;
mod user_space_cells;

use crate::units;

use footnotes::Footnotes;
use part::Part;
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
    write_host(&report.command, &report.host, style, pen, out)?;
    write_incomplete(report.incomplete.as_deref(), style, pen, out)?;
    if report.targets.is_empty() {
        writeln!(out, "\nnothing was watched")?;
    }
    let parts = parts(report, explained, style);
    parts
        .iter()
        .try_for_each(|part| part.write(style, pen, out))
}

/// The report below its heading.
pub(super) fn parts(report: &Report, explained: bool, style: &Style) -> Vec<Part> {
    let mut footnotes = Footnotes::default();
    let mut parts = compare::parts(report, style, &mut footnotes);
    parts.extend(attach::parts(report, style, &mut footnotes));
    parts.extend(ranking::parts(report));
    parts.extend(notes::parts(report, &footnotes));
    parts.extend(explained.then(|| findings::rules(report)));
    parts.extend(findings::parts(report));
    parts
}

/// Writes what the basic operations cost.
pub(super) fn write_calibration(
    calibration: &Calibration,
    style: &Style,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let pen = Pen { color: style.color };
    write_host("calibrate", &calibration.host, style, pen, out)?;
    write_incomplete(calibration.incomplete.as_deref(), style, pen, out)?;
    let parts = calibration_parts(calibration, style);
    parts
        .iter()
        .try_for_each(|part| part.write(style, pen, out))
}

/// Writes what differs between two records; `whole`: the other figures too.
pub(super) fn write_diff(
    diff: &Diff,
    whole: bool,
    style: &Style,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let pen = Pen { color: style.color };
    writeln!(out, "{}", pen.strong("connscope diff"))?;
    let parts = diff_parts(diff, whole);
    parts
        .iter()
        .try_for_each(|part| part.write(style, pen, out))
}

/// The same below its heading.
pub(super) fn diff_parts(diff: &Diff, whole: bool) -> Vec<Part> {
    diff::parts(diff, whole)
}

/// Writes what the basic operations cost on several hosts.
pub(super) fn write_calibrations(
    them: &Calibrations,
    style: &Style,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let parts = [hosts::operations(them), hosts::of_operations(them)].concat();
    write_hosts(them.of, &them.hosts, &parts, style, out)
}

/// Writes the models on several hosts.
pub(super) fn write_comparisons(
    them: &Comparisons,
    style: &Style,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let mut footnotes = Footnotes::default();
    let mut parts = hosts::models(them, &mut footnotes);
    parts.extend(hosts::of_models(them, &footnotes));
    write_hosts(them.of, &them.hosts, &parts, style, out)
}

fn write_hosts(
    of: &str,
    sides: &[Side],
    parts: &[Part],
    style: &Style,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let pen = Pen { color: style.color };
    writeln!(out, "{}", pen.strong("connscope report"))?;
    writeln!(
        out,
        "{}",
        pen.faint(&format!("{} records of {of}, side by side", sides.len()))
    )?;
    let hosts = hosts::hosts(sides);
    hosts
        .iter()
        .chain(parts)
        .try_for_each(|part| part.write(style, pen, out))
}

/// The same below its heading, for a page: the hosts, what was found, what to know of it.
pub(super) fn calibrations_parts(them: &Calibrations) -> [Vec<Part>; 3] {
    [
        hosts::hosts(&them.hosts),
        hosts::operations(them),
        hosts::of_operations(them),
    ]
}

/// The same of models, and before what to know of them every figure.
pub(super) fn comparisons_parts(them: &Comparisons) -> [Vec<Part>; 4] {
    let mut footnotes = Footnotes::default();
    let models = hosts::models(them, &mut footnotes);
    [
        hosts::hosts(&them.hosts),
        models,
        hosts::every_figure(them),
        hosts::of_models(them, &footnotes),
    ]
}

/// The report of a calibration below its heading.
pub(super) fn calibration_parts(calibration: &Calibration, style: &Style) -> Vec<Part> {
    calibration::parts(calibration, style)
}

/// What was done and where.
fn write_host(
    command: &str,
    host: &Host,
    style: &Style,
    pen: Pen,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    writeln!(out, "{}", pen.strong(&format!("connscope {command}")))?;
    for line in text::wrap_list(&machine(host), " · ", style.width) {
        writeln!(out, "{}", pen.faint(&line))?;
    }
    Ok(())
}

/// The machine, in a few words.
pub(super) fn machine(host: &Host) -> Vec<String> {
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
    words
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
