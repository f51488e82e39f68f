//! Lets libFuzzer look for bytes that break a session of the reference servers. The compiler's
//! instrumentation, which tells it what each input reaches, is in every toolchain, so none but the
//! usual one is needed; no sanitizer is.

use crate::cargo;
use crate::workspace::{self, Workspace};
use anyhow::{Context, Result, bail};
use std::fs;
use std::process::Command;

/// Counts which edges an input takes and what it compares; checks what release builds do not.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Cdebug-assertions \
    -Coverflow-checks -Ccodegen-units=1";
/// The longest input, in bytes: several requests. Longer ones only make each try slower.
const LONGEST_INPUT: u32 = 4096;
/// One input may take so many seconds.
const LONGEST_TRY_S: u32 = 10;

/// Whether clippy has nothing to say of what is built for it alone: without the instrumentation.
pub(crate) fn lints() -> Result<bool> {
    let target = Workspace::read()?.target_directory.join("fuzz");
    let status = cargo::command(["clippy", "--release", "--locked", "--target", &platform()])
        .current_dir(workspace::root().join("targets/fuzz"))
        .arg("--target-dir")
        .arg(&target)
        .args(["--", "-D", "warnings"])
        .env("RUSTFLAGS", "--cfg fuzzing")
        .status()
        .context("cannot run cargo clippy")?;
    Ok(status.success())
}

/// Flags for another target than the host's, though it is the same, spare build scripts.
fn platform() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Tries inputs for so many seconds. What was found worth keeping stays in the target folder, and
/// is where the next run begins.
pub(crate) fn run(seconds: u32) -> Result<()> {
    let sources = workspace::root().join("targets/fuzz");
    let target = Workspace::read()?.target_directory.join("fuzz");
    let (corpus, failures) = (target.join("corpus"), target.join("failures"));
    for folder in [&corpus, &failures] {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let platform = platform();
    let status = cargo::command(["build", "--release", "--locked", "--target", &platform])
        .current_dir(&sources)
        .arg("--target-dir")
        .arg(&target)
        .env("RUSTFLAGS", FLAGS)
        .status()
        .context("cannot run cargo build")?;
    if !status.success() {
        bail!("cannot build {}, see above", sources.display());
    }
    let program = target
        .join(&platform)
        .join("release/connscope-targets-fuzz");
    let status = Command::new(&program)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={LONGEST_INPUT}"))
        .arg(format!("-timeout={LONGEST_TRY_S}"))
        .arg(format!("-dict={}", sources.join("resp.dict").display()))
        .arg(format!("-artifact_prefix={}/", failures.display()))
        .args(["-print_final_stats=1", "-verbosity=0"])
        .args([&corpus, &sources.join("corpus")])
        .status()
        .with_context(|| format!("cannot run {}", program.display()))?;
    match status.success() {
        true => Ok(()),
        false => bail!(
            "an input breaks a session: see above; it is in {}",
            failures.display()
        ),
    }
}
