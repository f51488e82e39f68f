//! `connscope completions` and `connscope man`: what shells and man(1) know of the command line, made of the
//! command line itself.

use super::output::{cannot, print};
use crate::cli::{Cli, Completions, Man};
use anyhow::{Result, anyhow};
use clap::CommandFactory;
use std::{fs, process::ExitCode};

/// Writes the completions for a shell to stdout.
///
/// # Errors
/// If they cannot be written.
pub fn run(args: &Completions) -> Result<ExitCode> {
    let mut script = Vec::new();
    let mut command = Cli::command();
    clap_complete::generate(args.shell, &mut command, "connscope", &mut script);
    print(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a page for connscope and one for each of its commands into a folder, which is made where it is not
/// there.
///
/// # Errors
/// If they cannot be written.
pub fn pages(args: &Man) -> Result<ExitCode> {
    fs::create_dir_all(&args.folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &args.folder))
        .map_err(|error| anyhow!(cannot(&args.folder, &error)))?;
    Ok(ExitCode::SUCCESS)
}
