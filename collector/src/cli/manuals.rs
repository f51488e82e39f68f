//! What shells and man(1) know of the command line.

use clap::Args;
use clap_complete::Shell;
use std::path::PathBuf;

/// `connscope completions`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  connscope completions bash > ~/.local/share/bash-completion/completions/connscope
  connscope completions zsh > ~/.zfunc/_connscope
  connscope completions fish > ~/.config/fish/completions/connscope.fish")]
pub struct Completions {
    /// For which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `connscope man`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  connscope man ~/.local/share/man/man1 && man connscope-compare")]
pub struct Man {
    /// The folder to write them into; made where it is not there
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
}
