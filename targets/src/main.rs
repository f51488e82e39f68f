//! `connscope-target`: reference servers, one per concurrency model, and a load generator.

mod blocking;
mod cli;
mod connections;
mod counters;
mod errors;
mod event_loop;
mod limits;
mod listen;
mod load;
mod memory;
mod models;
mod processes;
mod protocol;
mod quantity;
mod serve;
mod session;
mod signals;
mod slots;
mod store;
mod timers;
mod work;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(options) => {
            options.check();
            serve::run(&options).map(|()| ExitCode::SUCCESS)
        }
        Command::Load(options) => load::run(&options),
        Command::Models(options) => {
            models::list(options.format, !options.not_built).map(|()| ExitCode::SUCCESS)
        }
        Command::Completions(options) => options.print().map(|()| ExitCode::SUCCESS),
        Command::Man(options) => options.write().map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        eprintln!("connscope-target: {error:#}");
        ExitCode::FAILURE
    })
}
