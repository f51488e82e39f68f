//! Runs the tests tier by tier and counts what libtest says. Everything is built in the release
//! profile: measurements need optimised code, and one build then serves all.
//!
//! A few tests that failed are run once more, one at a time, and that run counts: figures of time are
//! at the mercy of who else has work for the CPUs. They are named at the end.

mod tally;
mod tier;

use crate::cargo;
use crate::host::Root;
use crate::runtimes;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::panic::resume_unwind;
use std::process::{ExitCode, Stdio};
use std::thread;
pub(crate) use tally::Counts;
use tally::Tally;
pub(crate) use tier::Tier;

/// Refuses before anything is installed or built if a tier cannot run on this host.
pub(crate) fn ensure_possible(tiers: &[Tier]) -> Result<()> {
    if tiers.iter().any(|tier| tier.needs_root()) {
        Root::require("the tiers root and servers")?;
    }
    Ok(())
}

/// Runs the tests of these tiers whose path contains `filter`, and prints the counts.
pub(crate) fn run(tiers: &[Tier], filter: Option<&str>) -> Result<ExitCode> {
    let workspace = Workspace::read()?;
    let files = workspace.targets("test");
    // Programs too: tests start those of other packages, which Cargo would not build for them.
    cargo::run(&["build", "--release", "--workspace", "--bins", "--tests"])?;
    let lacking = runtimes::build()?;
    let mut results = Vec::new();
    for tier in tiers {
        results.push((*tier, run_tier(*tier, &files, filter)?));
    }
    let code = summarise(&results, filter.is_some());
    if lacking.is_empty() {
        return Ok(code);
    }
    // Tests take the models that there are, and pass without the others.
    bail!(
        "not tested, since not built: {}; see above for what is missing",
        lacking.join(", ")
    )
}

/// What became of the tests of a tier.
#[derive(Default)]
struct Tested {
    counts: Counts,
    /// The names of those that failed, and then passed when they were run once more.
    passed_later: Vec<String>,
}

fn run_tier(tier: Tier, files: &[&str], filter: Option<&str>) -> Result<Tested> {
    eprintln!("\ntier {tier}");
    let files: Vec<_> = files
        .iter()
        .copied()
        .filter(|file| Tier::of(file) == tier)
        .collect();
    let mut tested = Tested::default();
    if tier == Tier::Pure {
        run_tests(tier, &["--lib", "--bins"], &files, filter, &mut tested)?;
        run_tests(tier, &["--doc"], &[], filter, &mut tested)?;
    } else if !files.is_empty() {
        run_tests(tier, &[], &files, filter, &mut tested)?;
    }
    Ok(tested)
}

/// Runs tests, and those that failed once more.
fn run_tests(
    tier: Tier,
    kinds: &[&str],
    files: &[&str],
    filter: Option<&str>,
    tested: &mut Tested,
) -> Result<()> {
    let mut options: Vec<_> = filter.into_iter().collect();
    if tier.needs_root() {
        options.push("--test-threads=1");
    }
    let (mut counts, mut failed) = call_cargo(tier, kinds, files, &options)?;
    if counts.may_be_the_hosts_doing(failed.len()) {
        eprintln!("\nthose that failed, once more: {}", failed.join(", "));
        let mut options = vec!["--test-threads=1", "--exact"];
        options.extend(failed.iter().map(String::as_str));
        let (again, failed_again) = call_cargo(tier, kinds, files, &options)?;
        counts.correct(again);
        // Unless some of them died without their names.
        if again.failed == failed_again.len() as u64 {
            failed.retain(|name| !failed_again.contains(name));
            tested.passed_later.append(&mut failed);
        }
    }
    tested.counts += counts;
    Ok(())
}

/// One call of `cargo test`: the counts, and the names of those that failed.
fn call_cargo(
    tier: Tier,
    kinds: &[&str],
    files: &[&str],
    options: &[&str],
) -> Result<(Counts, Vec<String>)> {
    let runner = match tier.needs_root() {
        true => cargo::runner_config(Root::require("these tests")?)?,
        false => None,
    };
    let mut args = vec!["test", "--release", "--workspace", "--no-fail-fast"];
    args.extend(kinds);
    args.extend(files.iter().flat_map(|file| ["--test", file]));
    args.extend(runner.iter().flat_map(|runner| ["--config", runner]));
    if io::stderr().is_terminal() {
        // Both write to us, and would not guess.
        args.push("--color=always");
    }
    args.push("--");
    args.extend(options);
    if io::stdout().is_terminal() {
        args.push("--color=always");
    }
    count(&args)
}

/// Runs Cargo, passes its output on and counts the tests in it.
fn count(args: &[&str]) -> Result<(Counts, Vec<String>)> {
    let mut child = cargo::command(args.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run cargo test")?;
    let mut output = child.stdout.take().context("cargo test has no output")?;
    let errors = child.stderr.take().context("cargo test has no errors")?;
    let programs_failed = thread::spawn(move || pass_errors_on(errors));
    let mut tally = Tally::default();
    let mut buffer = [0; 8192];
    loop {
        let length = output
            .read(&mut buffer)
            .context("cannot read from cargo test")?;
        if length == 0 {
            break;
        }
        io::stdout().write_all(&buffer[..length])?;
        io::stdout().flush()?;
        tally.add(&buffer[..length]);
    }
    let status = child.wait().context("cannot wait for cargo test")?;
    let programs_failed = programs_failed
        .join()
        .unwrap_or_else(|panic| resume_unwind(panic))?;
    Ok(tally.finish(status.success(), programs_failed))
}

/// Passes on what Cargo and the tests say of errors; counts the programs that Cargo says have failed.
fn pass_errors_on(errors: impl Read) -> io::Result<u64> {
    let mut programs = 0;
    for line in BufReader::new(errors).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        programs += u64::from(line.contains(" failed, to rerun pass "));
        eprintln!("{line}");
    }
    Ok(programs)
}

/// Prints a line for each tier, then the line that counts all.
fn summarise(results: &[(Tier, Tested)], filtered: bool) -> ExitCode {
    let mut total = Counts::default();
    let mut empty = false;
    println!();
    for (tier, Tested { counts, .. }) in results {
        let none = counts.ran() == 0;
        // A filter may well name tests of one tier only.
        empty |= none && !filtered;
        println!(
            "{tier}: {counts}{}",
            if none { "; no test ran" } else { "" }
        );
        total += *counts;
    }
    let later = results.iter().flat_map(|(_, tested)| &tested.passed_later);
    later.for_each(|name| println!("failed, then passed when run once more: {name}"));
    println!("{total}");
    match total.failed > 0 || empty || total.ran() == 0 {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
