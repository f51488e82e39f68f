//! Which tests are run in a virtual machine, and which are not, and why.

use crate::cargo;
use crate::test::Tier;
use crate::workspace;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Which tests of which folders are run: the kernel half's against the kernel, and those of the
/// program as users have it that want a machine to themselves.
const FOLDERS: &[(&str, Tier)] = &[("probe-ebpf", Tier::Root), ("collector", Tier::Vm)];

/// Tests that want a kernel booted in another way than usual, by the start of their path.
const BOOTS: &[(&str, Boot)] = &[("vm_locked_down", Boot::LockedDown)];

/// Tests that an emulated machine cannot pass however right the probes are, or in which it has nothing to prove, and
/// why: each is given by the start of its path.
const NOT_EMULATED: &[(&str, &str)] = &[
    (
        "root_tlb::six_address_spaces",
        "QEMU's emulated CPU has no tags for address spaces (PCID)",
    ),
    (
        "root_switch_latency::corrected_medians_are_steady",
        "the time that an emulated CPU takes is that of its emulation",
    ),
];

/// How a kernel is booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Boot {
    Usual,
    /// Even root may not read the kernel's memory.
    LockedDown,
}

impl Boot {
    pub(super) const ALL: [Self; 2] = [Self::Usual, Self::LockedDown];

    /// Names its plan and its console.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::LockedDown => "locked-down",
        }
    }

    /// What the kernel is told beyond the usual.
    pub(super) fn kernel_arguments(self) -> &'static str {
        match self {
            Self::Usual => "",
            Self::LockedDown => "lockdown=confidentiality",
        }
    }
}

/// A program that holds tests.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) name: String,
    pub(super) executable: PathBuf,
}

/// One test: its program and its name in there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) program: String,
    pub(super) name: String,
    pub(super) boot: Boot,
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
        let mut programs = build()?;
        programs.sort_by(|a, b| a.name.cmp(&b.name));
        let mut tests = Vec::new();
        for program in &programs {
            let listed = list(program)?;
            tests.extend(tests_in(&program.name, &listed));
        }
        tests.retain(|test: &Test| filter.is_none_or(|filter| test.path().contains(filter)));
        Ok(Self { programs, tests })
    }

    /// The tests of these paths alone.
    pub(super) fn only(&self, paths: &[String]) -> Self {
        let wanted = |test: &&Test| paths.contains(&test.path());
        Self {
            programs: self.programs.clone(),
            tests: self.tests.iter().filter(wanted).cloned().collect(),
        }
    }

    /// Whether nothing would run.
    pub(super) fn is_empty(&self) -> bool {
        self.tests.iter().all(|test| test.skipped.is_some())
    }

    /// The tests of one boot, those that are skipped too.
    pub(super) fn tests(&self, boot: Boot) -> impl Iterator<Item = &Test> {
        self.tests.iter().filter(move |test| test.boot == boot)
    }

    pub(super) fn to_run(&self, boot: Boot) -> impl Iterator<Item = &Test> {
        self.tests(boot).filter(|test| test.skipped.is_none())
    }
}

/// Builds the tests, and with them the programs of each package that has some, as `cargo xtask test` does: a part of
/// the packages, or the programs alone, would have its libraries built anew, with the features that this part asks of
/// them.
fn build() -> Result<Vec<Program>> {
    let output = cargo::command(["test", "--release", "--workspace", "--no-run"])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo test")?;
    if !output.status.success() {
        bail!("cargo test --no-run failed, see above");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let root = workspace::root();
    Ok(messages
        .lines()
        .filter_map(|message| program(message, &root))
        .collect())
}

/// The program that a message of Cargo's speaks of, if it is one that is run.
fn program(message: &str, root: &Path) -> Option<Program> {
    let message: Value = serde_json::from_str(message).ok()?;
    let name = message.get("target")?.get("name")?.as_str()?;
    let executable = message.get("executable")?.as_str()?;
    let package = Path::new(message.get("manifest_path")?.as_str()?).parent()?;
    let is_run =
        |(folder, tier): &(&str, Tier)| package == root.join(folder) && *tier == Tier::of(name);
    FOLDERS.iter().any(is_run).then(|| Program {
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
        boot: Boot::Usual,
        skipped: None,
    });
    tests
        .map(|test| Test {
            boot: boot(&test.path()),
            skipped: reason_to_skip(&test.path()),
            ..test
        })
        .collect()
}

fn boot(path: &str) -> Boot {
    let entry = BOOTS.iter().find(|(start, _)| path.starts_with(start));
    entry.map_or(Boot::Usual, |(_, boot)| *boot)
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
    fn only_messages_of_programs_that_are_run_count() {
        let message = |folder: &str, name: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/w/{folder}/Cargo.toml","target":{{"name":"{name}"}},"executable":"/x/{name}-1"}}"#
            )
        };
        let program = |message: &str| program(message, Path::new("/w"));
        let found = program(&message("probe-ebpf", "root_x")).unwrap();
        assert_eq!(found.name, "root_x");
        assert!(program(&message("collector", "root_x")).is_none());
        assert!(program(&message("collector", "vm_x")).is_some());
        assert!(program(r#"{"reason":"build-finished","success":true}"#).is_none());
        assert!(program("   Compiling x").is_none());
    }

    #[test]
    fn listed_tests_are_planned() {
        let tests = tests_in("root_x", "a: test\nb::c: test\nd: benchmark\n");
        let paths: Vec<_> = tests.iter().map(Test::path).collect();
        assert_eq!(paths, ["root_x::a", "root_x::b::c"]);
    }

    #[test]
    fn each_test_is_run_after_the_boot_it_wants() {
        let programs = ["root_x", "vm_locked_down"];
        let plan = Plan {
            programs: Vec::new(),
            tests: programs
                .iter()
                .flat_map(|program| tests_in(program, "a: test\n"))
                .collect(),
        };
        let paths = |boot| plan.to_run(boot).map(Test::path).collect::<Vec<_>>();
        assert_eq!(paths(Boot::Usual), ["root_x::a"]);
        assert_eq!(paths(Boot::LockedDown), ["vm_locked_down::a"]);
        assert!(!plan.is_empty());
    }
}
