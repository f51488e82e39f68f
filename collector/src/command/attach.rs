//! `connscope attach`: watch what already runs.

use super::{
    keeping::Keeping,
    output::{Sink, conclude},
    report,
    watch::Watch,
};
use crate::{cli::Attach, interrupt::Interrupt};
use anyhow::{Context, Result};
use std::process::ExitCode;

/// Watches processes until the time is over, a signal comes, or all of them have ended.
///
/// # Errors
/// If a process cannot be watched, the kernel refuses a probe, or the report cannot be written.
pub fn run(args: &Attach, quiet: bool) -> Result<ExitCode> {
    let interrupt = Interrupt::install().context("cannot handle signals")?;
    let watch = Watch::load(&args.watched, None, quiet)?;
    let sink = Sink::open(&args.output)?;
    let mut keeping = Keeping::open(args.recorded.record.as_deref())?;
    let end = watch.keep("attach", None, &mut keeping, &interrupt)?;
    let kept = keeping.end(end)?;
    report::write(&kept.record, args.explain, sink, &args.output)?;
    Ok(kept.conclude(conclude(kept.record.incomplete())))
}
