//! `connscope report`: what a record holds, reported as the live run did, and what several hold, side by side.

mod several;

use super::{
    Usage,
    keeping::Keeping,
    output::{Sink, conclude},
    timeline,
};
use crate::{
    cli::{self, Output},
    export::{Document, Format, flamegraph},
    record::{Content, End, Error, Gathered, Reader, Record},
    report,
    report::{calibration, claims},
};
use anyhow::{Result, anyhow, bail};
use std::{
    fmt::Display,
    fs::File,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Reads a record, or several, and reports what is in it.
///
/// # Errors
/// If it cannot be read, or the report cannot be written.
pub fn run(args: &cli::Report) -> Result<ExitCode> {
    if let Some(svg) = &args.flamegraph {
        let record = read(only_one(&args.files, "--flamegraph")?)?;
        write_stacks(&record, Sink::open_at(svg)?)?;
        return Ok(conclude(&record.troubles()));
    }
    if let Some(out) = &args.timeline {
        return timeline::draw(only_one(&args.files, "--timeline")?, out);
    }
    let output = match &args.html {
        Some(page) => &Output {
            format: Format::Html,
            out: Some(page.clone()),
        },
        None => &args.output,
    };
    if args.files.len() > 1 && !args.explain {
        return several::run(&args.files, output);
    }
    let record = read(only_one(&args.files, "--explain")?)?;
    let sink = Sink::open(output)?;
    write(&record, args.explain, sink, output)?;
    Ok(conclude(&record.troubles()))
}

/// The record that an option is of.
fn only_one<'a>(files: &'a [PathBuf], option: &str) -> Result<&'a Path> {
    match files {
        [file] => Ok(file),
        _ => Err(Usage(format!("{option} is of one record; name one")).into()),
    }
}

/// All that is in a record.
///
/// # Errors
/// If it is none, or damaged, or holds nothing to report on.
fn read(path: &Path) -> Result<Record> {
    gather(path).map_err(|error| unreadable(path, &error))
}

fn gather(path: &Path) -> Result<Record, Error> {
    let mut gathered = Gathered::default();
    for entry in Reader::begin(File::open(path)?)? {
        gathered.take(entry?);
    }
    gathered.whole()
}

fn unreadable(path: &Path, why: &dyn Display) -> anyhow::Error {
    anyhow!("cannot read {}: {why}", path.display())
}

/// The flame graphs of the stacks that were recorded, live or before.
///
/// # Errors
/// If none were taken, or they cannot be written.
pub(super) fn write_stacks(record: &Record, sink: Sink) -> Result<()> {
    let Some(stacks) = &record.stacks else {
        bail!("cannot make a flame graph: the record holds no stacks; record it with --stacks");
    };
    let targets: Vec<&str> = match &record.content {
        Content::Recording(recording) => recording.runs.iter().map(|run| &*run.name).collect(),
        Content::Calibration(_) | Content::Claims(_) => Vec::new(),
    };
    let graphs = report::stacks::build(stacks, &targets);
    sink.stream(|out| flamegraph::write(&graphs, out).map(|()| true))
}

/// Ends a run whose only entry is its result, and reports it.
///
/// # Errors
/// As [`write`].
pub(super) fn end(
    keeping: Keeping,
    incomplete: Option<String>,
    sink: Sink,
    output: &Output,
) -> Result<ExitCode> {
    let kept = keeping.end(End {
        methods: Vec::new(),
        unavailable: Vec::new(),
        incomplete,
    })?;
    write(&kept.record, false, sink, output)?;
    Ok(kept.conclude(conclude(&kept.record.troubles())))
}

/// The report of what was recorded, live or before.
///
/// # Errors
/// If there is none, or it cannot be written.
pub(super) fn write(record: &Record, explain: bool, sink: Sink, output: &Output) -> Result<()> {
    match &record.content {
        Content::Recording(recording) => {
            let report = report::build(recording)?;
            let document = match explain {
                true => Document::explained(&report),
                false => Document::from(&report),
            };
            sink.write(document.from_origin(&record.origin), output)
        }
        Content::Calibration(found) => {
            let report = calibration::build(found);
            sink.write(Document::from(&report).from_origin(&record.origin), output)
        }
        Content::Claims(found) => {
            let report = claims::build(found);
            sink.write(Document::from(&report).from_origin(&record.origin), output)
        }
    }
}
