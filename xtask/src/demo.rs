//! The main job in short: build, then become `connscope compare` with its terminal and its exit
//! status.

use crate::cargo;
use crate::host::Root;
use crate::runtimes;
use crate::workspace::Workspace;
use anyhow::{Error, Result};
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

const ARGUMENTS: &[&str] = &[
    "compare",
    "--models",
    "process-per-connection,thread-per-connection,event-loop",
    "--connections",
    "1,10,100,1000",
    "--duration",
    "2s",
];

/// Builds, then replaces this process by the demonstration; comes back only with an error.
pub(crate) fn run() -> Result<ExitCode> {
    let root = Root::require("the measurements")?;
    cargo::build_programs()?;
    runtimes::build()?;
    let program = Workspace::read()?
        .target_directory
        .join("release/connscope");
    eprintln!("running: {} {}", program.display(), ARGUMENTS.join(" "));
    // Replaced, not started: Ctrl-C then reaches one program, which still reports what it has.
    let error = root.command(&program).args(ARGUMENTS).exec();
    Err(Error::new(error).context(format!("cannot run {}", program.display())))
}
