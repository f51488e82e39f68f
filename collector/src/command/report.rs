//! `connscope report`: what a record holds, reported as the live run did.

use super::{
    output::{Sink, conclude},
    timeline,
};
use crate::{
    cli::{self, Output},
    export::{Document, Format},
    record::{Content, Error, Gathered, Reader, Record},
    report,
    report::calibration,
};
use anyhow::{Result, anyhow};
use std::{fs::File, path::Path, process::ExitCode};

/// Reads a record and reports what is in it.
///
/// # Errors
/// If it cannot be read, or the report cannot be written.
pub fn run(args: &cli::Report) -> Result<ExitCode> {
    if let Some(out) = &args.timeline {
        return timeline::draw(&args.file, out);
    }
    let record = read(&args.file)?;
    let output = match &args.html {
        Some(page) => &Output {
            format: Format::Html,
            out: Some(page.clone()),
        },
        None => &args.output,
    };
    let sink = Sink::open(output)?;
    write(&record, args.explain, sink, output)?;
    Ok(conclude(record.incomplete()))
}

/// All that is in a record.
///
/// # Errors
/// If it is none, or damaged, or holds nothing to report on.
pub(super) fn read(path: &Path) -> Result<Record> {
    let read = || -> Result<Record, Error> {
        let mut gathered = Gathered::default();
        for entry in Reader::begin(File::open(path)?)? {
            gathered.take(entry?);
        }
        gathered.whole()
    };
    read().map_err(|error| anyhow!("cannot read {}: {error}", path.display()))
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
    }
}
