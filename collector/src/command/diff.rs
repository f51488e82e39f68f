//! `connscope diff`: what differs between two records.

use super::{
    Usage,
    output::{Sink, say},
};
use crate::{
    cli,
    diff::{Asked, FIGURES, Sampling, Units, diff},
    export::Document,
    record::{Error, Reader},
};
use anyhow::{Result, anyhow};
use std::{fs::File, path::Path, process::ExitCode};

/// Exit status where something differs.
pub const DIFFERENT: u8 = 3;

/// Reads both records and reports what differs.
///
/// # Errors
/// If a figure is not known, a record cannot be read, they cannot be compared, or the report cannot be written.
pub fn run(args: &cli::Diff) -> Result<ExitCode> {
    let known = |name: &&String| FIGURES.iter().any(|figure| figure.name == **name);
    if let Some(unknown) = args.only.iter().find(|name| !known(name)) {
        let known: Vec<_> = FIGURES.iter().map(|figure| figure.name).collect();
        let known = known.join(", ");
        return Err(Usage(format!("unknown figure {unknown:?}; known are {known}")).into());
    }
    let (a, b) = (units(&args.a)?, units(&args.b)?);
    let sink = Sink::open(&args.output)?;
    let names = [&args.a, &args.b].map(|path| path.display().to_string());
    let asked = Asked {
        least_change: args.least_change,
        only: args.only.clone(),
    };
    let diff = diff((&names[0], &a), (&names[1], &b), &asked);
    let document = match args.all {
        true => Document::whole(&diff),
        false => Document::from(&diff),
    };
    sink.write(document, &args.output)?;
    if let Some(reason) = &diff.reason {
        say(&format!("nothing can be told: {reason}"));
        return Ok(ExitCode::FAILURE);
    }
    Ok(match diff.differences {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(DIFFERENT),
    })
}

fn units(path: &Path) -> Result<Units> {
    let read = || -> Result<Units, Error> {
        let mut sampling = Sampling::default();
        for entry in Reader::begin(File::open(path)?)? {
            sampling.take(entry?)?;
        }
        sampling.units()
    };
    read().map_err(|error| anyhow!("cannot read {}: {error}", path.display()))
}
