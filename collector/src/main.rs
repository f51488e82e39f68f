//! The `connscope` binary.

use clap::Parser;
use connscope::{
    cli::Cli,
    command::{self, BAD_USAGE, Usage, say},
};
use std::process::ExitCode;

fn main() -> ExitCode {
    match command::run(&Cli::parse()) {
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
