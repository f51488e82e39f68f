//! `connscope attach`: watch what already runs.

use super::{
    keeping::Keeping,
    output::{Sink, conclude},
    report, timeline,
    watch::Watch,
};
use crate::{cli::Attach, interrupt::Interrupt};
use anyhow::{Context, Error, Result};
use std::{process::ExitCode, time::Duration};

/// How long stacks are taken, and a timeline is kept, where the watch has no end.
const STACKS: Duration = Duration::from_secs(30);
const TIMELINE: Duration = Duration::from_secs(10);
/// And at most.
const LONGEST: Duration = Duration::from_secs(600);

/// Watches processes until the time is over, a signal comes, or all of them have ended.
///
/// # Errors
/// If a process cannot be watched, the kernel refuses a probe, or the report cannot be written.
pub fn run(args: &Attach, quiet: bool) -> Result<ExitCode> {
    let interrupt = Interrupt::install().context("cannot handle signals")?;
    let flamegraph = args.flamegraph.as_ref();
    // As long as the watch, which may end before its time too.
    let time = |usual| match args.watched.duration {
        Some(_) => LONGEST,
        None => usual,
    };
    let stacks = flamegraph.map(|_| time(STACKS));
    let timeline = args.timeline.as_ref().map(|_| time(TIMELINE));
    let watch = Watch::load(&args.watched, timeline, quiet)?.with_stacks(stacks)?;
    let sink = Sink::open(&args.output)?;
    let svg = flamegraph.map(|svg| Sink::open_at(svg)).transpose()?;
    let trace = args.timeline.as_ref();
    let trace = trace
        .map(|out| Ok::<_, Error>((Sink::open_at(out)?, out)))
        .transpose()?;
    let keeping = Keeping::open(args.recorded.record.as_deref())?;
    let mut keeping = keeping.drawing(trace.is_some());
    let end = watch.keep("attach", None, &mut keeping, &interrupt)?;
    let mut kept = keeping.end(end)?;
    report::write(&kept.record, args.explain, sink, &args.output)?;
    if let Some(svg) = svg {
        report::write_stacks(&kept.record, svg)?;
    }
    if let Some((drawing, (sink, out))) = kept.drawing.take().zip(trace) {
        timeline::put(drawing, sink, out)?;
    }
    Ok(kept.conclude(conclude(&kept.record.troubles())))
}
