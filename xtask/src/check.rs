//! Formatting, lints, and the rules of the house: who may know whom, and what files are called.
//! All are checked, whatever the first ones found.

mod edges;
mod imports;
mod names;
mod source;

use crate::cargo;
use crate::fuzz;
use crate::workspace::{self, Workspace};
use anyhow::Result;
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

/// A rule broken at a place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Relative to the root of the workspace.
    pub(crate) file: PathBuf,
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.rule)
    }
}

type Check = fn() -> Result<bool>;

const CHECKS: &[(&str, Check)] = &[
    ("rules of the house", rules),
    ("formatting", formatting),
    ("lints", lints),
];

/// Runs every check.
pub(crate) fn run() -> Result<ExitCode> {
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        eprintln!("checking {name}");
        if !check()? {
            failed.push(*name);
        }
    }
    if failed.is_empty() {
        eprintln!("all checks passed");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("failed: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

fn rules() -> Result<bool> {
    let root = workspace::root();
    let files = source::files(&root)?;
    let mut violations = edges::violations(&Workspace::read()?, &root);
    violations.extend(names::violations(&files));
    violations.extend(imports::violations(&root, &files)?);
    for violation in &violations {
        eprintln!("{violation}");
    }
    Ok(violations.is_empty())
}

fn formatting() -> Result<bool> {
    let ours = succeeds(&["fmt", "--all", "--check"])?;
    // A workspace of its own, for its flags.
    let fuzz = "targets/fuzz/Cargo.toml";
    Ok(succeeds(&["fmt", "--check", "--manifest-path", fuzz])? && ours)
}

fn lints() -> Result<bool> {
    // In the release profile, like the tests, to share what both build.
    let ours = succeeds(&[
        "clippy",
        "--release",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])?;
    Ok(fuzz::lints()? && ours)
}

fn succeeds(args: &[&str]) -> Result<bool> {
    Ok(cargo::command(args.iter().copied()).status()?.success())
}
