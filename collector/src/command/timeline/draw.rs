//! `connscope report --timeline`: from a record to a trace for Perfetto, part by part.

use super::super::output::{Sink, say};
use crate::{
    export::pftrace::Writer,
    record::{Entry, Error, Reader},
    report::timeline::{Summary, Timeline},
};
use anyhow::{Result, anyhow, bail};
use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

/// Reads a record and draws the timeline in it.
///
/// # Errors
/// If it cannot be read or holds no timeline, or the trace cannot be written: then there is none.
pub(in crate::command) fn draw(record: &Path, out: &Path) -> Result<ExitCode> {
    let cannot = |error: Error| anyhow!("cannot read {}: {error}", record.display());
    let file = File::open(record).map_err(|error| cannot(error.into()))?;
    let entries = Reader::begin(file).map_err(cannot)?;
    let sink = Sink::open_at(out)?;
    let mut trouble = None;
    let mut drawn = Summary::default();
    sink.stream(|file| {
        match write(entries, file) {
            Ok(Some(summary)) => drawn = summary,
            Ok(None) => trouble = Some(none_in(record)),
            Err(Failed::Writing(error)) => return Err(error),
            Err(Failed::Reading(error)) => trouble = Some(cannot(error)),
        }
        Ok(trouble.is_none())
    })?;
    if let Some(trouble) = trouble {
        bail!(trouble);
    }
    say(&told(&drawn, out));
    Ok(match drawn.early {
        Some(_) => ExitCode::FAILURE,
        None => ExitCode::SUCCESS,
    })
}

fn none_in(record: &Path) -> anyhow::Error {
    let record = record.display();
    anyhow!(
        "there is no timeline in {record}; keep one by: connscope record {record} --timeline, with the targets"
    )
}

enum Failed {
    Reading(Error),
    Writing(io::Error),
}

/// Draws what is in the entries; none if there is nothing.
fn write(
    entries: impl Iterator<Item = Result<Entry, Error>>,
    out: &mut dyn Write,
) -> Result<Option<Summary>, Failed> {
    let mut timeline = Timeline::default();
    let mut writer = Writer::begin(out);
    for entry in entries {
        let marks = match entry.map_err(Failed::Reading)? {
            Entry::Watched(targets) => {
                timeline.targets(&targets);
                continue;
            }
            Entry::Snapshots(snapshots) => timeline.snapshots(&snapshots),
            Entry::Timeline(part) => timeline.part(&part),
            _ => continue,
        };
        writer.put(&marks).map_err(Failed::Writing)?;
    }
    if !timeline.has_begun() {
        return Ok(None);
    }
    let (marks, summary) = timeline.end();
    writer.put(&marks).map_err(Failed::Writing)?;
    writer.finish().map_err(Failed::Writing)?;
    Ok(Some(summary))
}

fn told(drawn: &Summary, out: &Path) -> String {
    let seconds = drawn.to_ns.saturating_sub(drawn.from_ns) as f64 / 1e9;
    let lost = match (drawn.lost, drawn.missing) {
        (0, 0) => "none lost".to_owned(),
        (lost, missing) => {
            format!("{lost} events lost, {missing} switches shown as not recorded")
        }
    };
    let early = match &drawn.early {
        Some(early) => format!("; it ended early: {early}"),
        None => String::new(),
    };
    format!(
        "{} switches of {} tasks in {seconds:.3} s, {lost}{early}; open {} at https://ui.perfetto.dev",
        drawn.switches,
        drawn.tasks,
        out.display()
    )
}
