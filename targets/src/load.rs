//! The load generator: offers a workload to a server over many connections and reports what its
//! clients saw. See `connscope-target load --help` for the loops, the paced protocol and examples.
//!
//! Requests fall due on a schedule whatever the answers do; a connection whose last request is not
//! answered yet queues the next ones, and latency counts from when each was due. One thread offers
//! the load, or several, each on its share of the connections.

mod bookings;
mod client;
mod control;
mod offer;
mod plan;
mod poller;
mod ramp;
mod run;
mod schedule;
mod summary;
mod tally;
mod threads;
mod trials;
mod workload;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap::error::ErrorKind;

pub(crate) use bookings::Booking;
pub(crate) use workload::Workload;

use self::control::Event;
use self::run::Run;
use self::summary::Summary;
use crate::cli::{Cli, Format, Load};

/// Offers load as `options` say and prints the result. Status 0 when the run was complete, else 1.
///
/// # Errors
/// When the run cannot begin, or the result cannot be printed.
pub(crate) fn run(options: &Load) -> Result<ExitCode> {
    if !options.connect.ip().is_loopback() && !options.allow_remote {
        let text = format!(
            "{} is not this machine; allow it with --allow-remote",
            options.connect
        );
        Cli::command()
            .error(ErrorKind::ValueValidation, text)
            .exit();
    }
    if options.threads > options.connections {
        let text = format!(
            "--threads {} with --connections {}: a thread without a connection has nothing to do",
            options.threads, options.connections
        );
        Cli::command()
            .error(ErrorKind::ArgumentConflict, text)
            .exit();
    }
    if options.workload == Workload::Churn && (options.stall || options.crash) {
        let text = "churn holds no connections to try --stall or --crash on";
        Cli::command()
            .error(ErrorKind::ArgumentConflict, text)
            .exit();
    }
    let mut run = Run::new(options)?;
    let ended = run
        .ramp()
        .and_then(|()| run.offer())
        .and_then(|()| run.try_trials());
    let summary = run.summarize(ended);
    print(&run, &summary)?;
    Ok(if summary.complete {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print(run: &Run<'_>, summary: &Summary) -> Result<()> {
    if run.options.paced {
        if let Some(reason) = &summary.reason {
            run.control.report(&Event::Failed { reason })?;
        }
        return run.control.report(&Event::Done { result: summary });
    }
    let text = match run.options.format {
        Format::Json => serde_json::to_string(summary)? + "\n",
        Format::Table => summary.table(),
    };
    let mut output = std::io::stdout().lock();
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
        .context("cannot write to standard output")
}
