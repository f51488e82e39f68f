//! The `connscope` binary.

use clap::Parser;
use connscope::{
    arguments::hide_dsns,
    cli::Cli,
    command::{self, BAD_USAGE, Usage, say},
};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    hide_dsns();
    match command::run(&cli) {
        Ok(status) => status,
        Err(error) => {
            say(&format!("{error:#}"));
            if error.is::<Usage>() {
                ExitCode::from(BAD_USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}
