//! Which tests are run in a virtual machine, and which are not, and why.

use crate::cargo;
use crate::test::Tier;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The package whose root tests are run.
const PACKAGE: &str = "probe-ebpf";

/// Tests that an emulated machine cannot pass however right the probes are, and why: each is
/// given by the start of its path.
const NOT_EMULATED: &[(&str, &str)] = &[];

/// A program that holds tests.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: String,
    pub(super) executable: PathBuf,
}

/// One test: its program and its name in there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) program: String,
    pub(super) name: String,
    /// Why it is not run.
    pub(super) skipped: Option<&'static str>,
}

impl Test {
    pub(super) fn path(&self) -> String {
        format!("{}::{}", self.program, self.name)
    }
}

/// What there is to run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) programs: Vec<Program>,
    pub(super) tests: Vec<Test>,
}

impl Plan {
    /// Builds the tests, and plans those whose path contains `filter`.
    pub(super) fn make(filter: Option<&str>) -> Result<Self> {
        let programs = build()?;
        let mut tests = Vec::new();
        for program in &programs {
            let listed = list(program)?;
            tests.extend(tests_in(&program.name, &listed));
        }
        tests.retain(|test: &Test| filter.is_none_or(|filter| test.path().contains(filter)));
        Ok(Self { programs, tests })
    }

    /// Whether nothing would run.
    pub(super) fn is_empty(&self) -> bool {
        self.to_run().next().is_none()
    }

    pub(super) fn to_run(&self) -> impl Iterator<Item = &Test> {
        self.tests.iter().filter(|test| test.skipped.is_none())
    }
}

/// Builds the programs of the root tier.
fn build() -> Result<Vec<Program>> {
    let output = cargo::command(["test", "--release", "--package", PACKAGE, "--no-run"])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo test")?;
    if !output.status.success() {
        bail!("cargo test --package {PACKAGE} --no-run failed, see above");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut programs: Vec<_> = messages.lines().filter_map(program).collect();
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(programs)
}

/// The program of the root tier that a message of Cargo's speaks of.
fn program(message: &str) -> Option<Program> {
    let message: Value = serde_json::from_str(message).ok()?;
    let name = message.get("target")?.get("name")?.as_str()?;
    let executable = message.get("executable")?.as_str()?;
    (Tier::of(name) == Tier::Root).then(|| Program {
        name: name.to_owned(),
        executable: executable.into(),
    })
}

fn list(program: &Program) -> Result<String> {
    let output = Command::new(&program.executable)
        .args(["--list", "--format", "terse"])
        .output()
        .with_context(|| format!("cannot run {}", program.executable.display()))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => bail!("{} cannot list its tests", program.name),
    }
}

fn tests_in(program: &str, listed: &str) -> Vec<Test> {
    let names = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"));
    let tests = names.map(|name| Test {
        program: program.to_owned(),
        name: name.to_owned(),
        skipped: None,
    });
    tests
        .map(|test| Test {
            skipped: reason_to_skip(&test.path()),
            ..test
        })
        .collect()
}

fn reason_to_skip(path: &str) -> Option<&'static str> {
    let entry = NOT_EMULATED
        .iter()
        .find(|(start, _)| path.starts_with(start));
    entry.map(|(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_programs_of_the_root_tier_count() {
        let message = |name: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"{name}"}},"executable":"/x/{name}-1"}}"#
            )
        };
        assert_eq!(program(&message("root_x")).unwrap().name, "root_x");
        assert!(program(&message("pure_x")).is_none());
        assert!(program(r#"{"reason":"build-finished","success":true}"#).is_none());
        assert!(program("   Compiling x").is_none());
    }

    #[test]
    fn listed_tests_are_planned() {
        let tests = tests_in("root_x", "a: test\nb::c: test\nd: benchmark\n");
        let paths: Vec<_> = tests.iter().map(Test::path).collect();
        assert_eq!(paths, ["root_x::a", "root_x::b::c"]);
    }
}
