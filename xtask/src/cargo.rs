//! Runs Cargo as the user's own call did: same toolchain, from the root of the workspace.

use crate::host::Root;
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::env;
use std::process::Command;

/// Cargo with these arguments, not yet started.
pub(crate) fn command<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(args).current_dir(workspace::root());
    // Cargo tells us of our own package. Build scripts that look at the same variables would take another value than
    // in the user's own calls for a change, and build anew.
    let of_our_package =
        |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(of_our_package) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs Cargo to its end; what it prints goes where ours goes.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let status = command(args.iter().copied())
        .status()
        .with_context(|| format!("cannot run cargo {}", args.join(" ")))?;
    match status.success() {
        true => Ok(()),
        false => bail!("cargo {} failed: {status}", args.join(" ")),
    }
}

/// Builds every program of the workspace as users get them. The same call serves the
/// demonstration, the tests and the benchmarks, so that they share one build.
pub(crate) fn build_programs() -> Result<()> {
    run(&["build", "--release", "--workspace", "--bins"])
}

/// The `--config` that makes Cargo run tests and benchmarks as root. `cfg(all())` is true
/// everywhere, which spares us the name of the host's platform.
pub(crate) fn runner_config(root: Root) -> Result<Option<String>> {
    let runner = root.runner()?;
    if runner.is_empty() {
        return Ok(None);
    }
    // An array of JSON strings reads the same in TOML.
    let array = serde_json::to_string(&runner)?;
    Ok(Some(format!("target.'cfg(all())'.runner = {array}")))
}
