//! A timeline, drawn as a trace for Perfetto, part by part: of a record, or as it comes.

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

/// A trace that is drawn of entries as they come.
pub(in crate::command) struct Drawing<W: Write> {
    timeline: Timeline,
    writer: Writer<W>,
}

impl<W: Write> Drawing<W> {
    pub(in crate::command) fn begin(out: W) -> Self {
        Self {
            timeline: Timeline::default(),
            writer: Writer::begin(out),
        }
    }

    /// Draws what the next entry tells.
    ///
    /// # Errors
    /// Those of what it is drawn to.
    pub(in crate::command) fn take(&mut self, entry: &Entry) -> io::Result<()> {
        let marks = match entry {
            Entry::Watched(targets) => {
                self.timeline.targets(targets);
                return Ok(());
            }
            Entry::Snapshots(snapshots) => self.timeline.snapshots(snapshots),
            Entry::Timeline(part) => self.timeline.part(part),
            _ => return Ok(()),
        };
        self.writer.put(&marks)
    }

    /// What it is drawn to, and what there is to see; none if there was no timeline.
    fn finish(mut self) -> io::Result<Option<(W, Summary)>> {
        if !self.timeline.has_begun() {
            return Ok(None);
        }
        let (marks, summary) = self.timeline.end();
        self.writer.put(&marks)?;
        Ok(Some((self.writer.finish()?, summary)))
    }
}

/// Puts what was drawn of a watch in its place, and says what there is to see.
///
/// # Errors
/// If there was no timeline, or it cannot be written.
pub(in crate::command) fn put(drawing: Drawing<Vec<u8>>, sink: Sink, out: &Path) -> Result<()> {
    let Some((trace, drawn)) = drawing.finish()? else {
        bail!("cannot write {}: there is no timeline", out.display());
    };
    sink.stream(|file| file.write_all(&trace).map(|()| true))?;
    say(&told(&drawn, out));
    Ok(())
}

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
    let mut drawing = Drawing::begin(out);
    for entry in entries {
        let entry = entry.map_err(Failed::Reading)?;
        drawing.take(&entry).map_err(Failed::Writing)?;
    }
    let finished = drawing.finish().map_err(Failed::Writing)?;
    Ok(finished.map(|(_, summary)| summary))
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
