//! One file per subcommand.

pub mod attach;
pub mod calibrate;
pub mod claims;
pub mod compare;
pub mod completions;
pub mod diff;
pub mod doctor;
mod expected;
mod keeping;
mod moments;
mod output;
pub mod record;
pub mod report;
pub mod serve;
mod stacks;
mod targets;
mod timeline;
pub mod top;
mod watch;

pub use output::say;

use crate::cli::{Cli, Command};
use anyhow::Result;
use std::process::ExitCode;

/// Exit status of bad usage, the same that clap gives.
pub const BAD_USAGE: u8 = 2;

/// A mistake in the arguments that clap could not see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Runs a subcommand.
///
/// # Errors
/// If it cannot do what it is asked; [`Usage`] if what it is asked makes no sense.
pub fn run(cli: &Cli) -> Result<ExitCode> {
    match &cli.command {
        Command::Compare(compare) => compare::run(compare, cli.quiet),
        Command::Attach(attach) => attach::run(attach, cli.quiet),
        Command::Record(record) => record::run(record, cli.quiet),
        Command::Report(report) => report::run(report),
        Command::Diff(diff) => diff::run(diff),
        Command::Serve(serve) => serve::run(serve, cli.quiet),
        Command::Top(top) => top::run(top),
        Command::Calibrate(calibrate) => calibrate::run(calibrate, cli.quiet),
        Command::CalibrateOperation(operation) => calibrate::work(operation),
        Command::Claims(claims) => claims::run(claims, cli.quiet),
        Command::Doctor(doctor) => doctor::run(doctor),
        Command::Completions(completions) => completions::run(completions),
        Command::Man(man) => completions::pages(man),
    }
}
