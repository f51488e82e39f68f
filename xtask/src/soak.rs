//! Runs the exporter's soak test for longer than the tests do.

use crate::cargo;
use crate::host::Root;
use anyhow::{Context as _, Result, bail};

/// For so many minutes, as root.
pub(crate) fn run(minutes: u32) -> Result<()> {
    let runner = cargo::runner_config(Root::require("the soak")?)?;
    cargo::build_programs()?;
    let mut args = vec!["test", "--release", "--package", "connscope"];
    args.extend(["--test", "root_serve_soak"]);
    if let Some(runner) = &runner {
        args.extend(["--config", runner]);
    }
    args.extend(["--", "--nocapture"]);
    let status = cargo::command(args)
        .env("CONNSCOPE_SOAK_MINUTES", minutes.to_string())
        .status()
        .context("cannot run cargo test")?;
    match status.success() {
        true => Ok(()),
        false => bail!("something grows or goes back: see above"),
    }
}
