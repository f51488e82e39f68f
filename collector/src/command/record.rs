//! `connscope record`: watch what already runs, and keep what was seen.

use super::{
    keeping::Keeping,
    output::{conclude, say},
    watch::Watch,
};
use crate::{cli::Record, interrupt::Interrupt};
use anyhow::{Context, Result};
use std::process::ExitCode;

/// Watches as `attach` does, and keeps a snapshot at each interval.
///
/// # Errors
/// If a process cannot be watched, the kernel refuses a probe, or there is nothing to keep.
pub fn run(args: &Record, quiet: bool) -> Result<ExitCode> {
    let interrupt = Interrupt::install().context("cannot handle signals")?;
    let watch = Watch::load(&args.watched, args.timeline, quiet)?.with_stacks(args.stacks)?;
    let mut keeping = Keeping::open(Some(&args.file))?;
    let end = watch.keep("record", Some(args.interval), &mut keeping, &interrupt)?;
    let kept = keeping.end(end)?;
    if !quiet {
        let file = args.file.display();
        say(&format!(
            "{} snapshots are in {file}; see them by: connscope report {file}",
            kept.snapshots
        ));
        if args.timeline.is_some() {
            say(&format!(
                "see the timeline by: connscope report {file} --timeline OUT.pftrace"
            ));
        }
    }
    Ok(kept.conclude(conclude(&kept.record.troubles())))
}
