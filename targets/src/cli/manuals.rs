//! What shells and man(1) know of the command line, made of the command line itself.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;

/// Options of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connscope-target completions bash > ~/.local/share/bash-completion/completions/connscope-target")]
pub(crate) struct Completions {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Options of `man`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connscope-target man ~/.local/share/man/man1 && man connscope-target-load")]
pub(crate) struct Man {
    /// The folder to write them into; made where it is not there
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

impl Completions {
    /// Writes them to standard output.
    ///
    /// # Errors
    /// If it cannot be written to, unless nobody reads it any more.
    pub(crate) fn print(&self) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(
            self.shell,
            &mut Cli::command(),
            "connscope-target",
            &mut script,
        );
        match std::io::stdout().lock().write_all(&script) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => written.context("cannot write to standard output"),
        }
    }
}

impl Man {
    /// Writes a page for the program and one for each of its commands.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(crate) fn write(&self) -> Result<()> {
        fs::create_dir_all(&self.folder)
            .and_then(|()| clap_mangen::generate_to(Cli::command(), &self.folder))
            .with_context(|| format!("cannot write {}", self.folder.display()))
    }
}
