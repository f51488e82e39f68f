//! `connscope attach`: watch what already runs.

use super::{
    keeping::Keeping,
    output::{Sink, conclude},
    report,
    watch::Watch,
};
use crate::{cli::Attach, interrupt::Interrupt};
use anyhow::{Context, Result};
use std::{process::ExitCode, time::Duration};

/// How long stacks are taken where the watch has no end.
const STACKS: Duration = Duration::from_secs(30);

/// Watches processes until the time is over, a signal comes, or all of them have ended.
///
/// # Errors
/// If a process cannot be watched, the kernel refuses a probe, or the report cannot be written.
pub fn run(args: &Attach, quiet: bool) -> Result<ExitCode> {
    let interrupt = Interrupt::install().context("cannot handle signals")?;
    let flamegraph = args.flamegraph.as_ref();
    let stacks = flamegraph.map(|_| args.watched.duration.unwrap_or(STACKS));
    let watch = Watch::load(&args.watched, None, quiet)?.with_stacks(stacks)?;
    let sink = Sink::open(&args.output)?;
    let svg = flamegraph.map(|svg| Sink::open_at(svg)).transpose()?;
    let mut keeping = Keeping::open(args.recorded.record.as_deref())?;
    let end = watch.keep("attach", None, &mut keeping, &interrupt)?;
    let kept = keeping.end(end)?;
    report::write(&kept.record, args.explain, sink, &args.output)?;
    if let Some(svg) = svg {
        report::write_stacks(&kept.record, svg)?;
    }
    Ok(kept.conclude(conclude(&kept.record.troubles())))
}
