//! `connscope calibrate`: what the basic operations cost on this host.

use super::{
    Usage,
    keeping::Keeping,
    output::{Sink, print},
    report,
};
use crate::{
    calibrate::{self, OPERATIONS, Operation, supervisor},
    cli::{Calibrate, CalibrateOperation},
    host,
    interrupt::Interrupt,
    progress::Progress,
    record::Entry,
    series::{Calibration, Finding},
};
use anyhow::{Context, Result, bail};
use std::{
    fmt::Write,
    process::ExitCode,
    time::{Duration, Instant},
};

/// Measures the operations that were asked for, one after another, and reports them.
///
/// # Errors
/// If an operation is not known, nothing could be measured, or the report cannot be written.
pub fn run(args: &Calibrate, quiet: bool) -> Result<ExitCode> {
    if args.list {
        print(list().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let interrupt = Interrupt::install().context("cannot handle signals")?;
    let operations = chosen(&args.only)?;
    let sink = Sink::open(&args.output)?;
    let mut keeping = Keeping::open(args.recorded.record.as_deref())?;
    let host = host::describe(None);
    let begun = Instant::now();
    let (findings, incomplete) = measure_all(&operations, args.quick, quiet, &interrupt);
    if !findings.iter().any(|it| matches!(it, Finding::Series(_))) {
        bail!(
            "nothing was measured: {}",
            why_nothing(&findings, incomplete)
        );
    }
    keeping.begin("calibrate", host.clone(), Vec::new(), Vec::new());
    let calibration = Calibration {
        host,
        operations: operations.iter().map(|it| it.described()).collect(),
        findings,
        quick: args.quick,
        took_ns: begun.elapsed().as_nanos() as u64,
        incomplete,
    };
    let incomplete = calibration.incomplete.clone();
    keeping.take(Entry::Calibration(Box::new(calibration)));
    report::end(keeping, incomplete, sink, &args.output)
}

/// Measures one operation for [`run`], which has started this process for it.
///
/// # Errors
/// If nobody reads what is found.
pub fn work(args: &CalibrateOperation) -> Result<ExitCode> {
    calibrate::work(&args.name, args.quick)?;
    Ok(ExitCode::SUCCESS)
}

/// What was found, and why not everything was measured, if a signal came.
fn measure_all(
    operations: &[&Operation],
    quick: bool,
    quiet: bool,
    interrupt: &Interrupt,
) -> (Vec<Finding>, Option<String>) {
    let all: Duration = operations.iter().map(|it| it.takes(quick)).sum();
    let progress = Progress::new(all, quiet);
    let mut findings = Vec::new();
    let mut expected = Duration::ZERO;
    for (number, operation) in operations.iter().enumerate() {
        progress.begin(operation.name, expected, operation.takes(quick));
        expected += operation.takes(quick);
        match supervisor::measure(operation, quick, interrupt) {
            Ok(found) => findings.extend(found),
            Err(found) => {
                findings.extend(found);
                let (signal, left) = (interrupt.signal(), operations.len() - number);
                let incomplete = format!(
                    "interrupted by {}, {left} of {} operations not measured to their end",
                    signal.unwrap_or("a signal"),
                    operations.len()
                );
                return (findings, Some(incomplete));
            }
        }
    }
    (findings, None)
}

fn why_nothing(findings: &[Finding], incomplete: Option<String>) -> String {
    let missing = findings.iter().find_map(|finding| match finding {
        Finding::Missing(missing) => Some(format!("{}: {}", missing.operation, missing.reason)),
        Finding::Series(_) => None,
    });
    incomplete
        .or(missing)
        .unwrap_or_else(|| "the operation has no result".to_owned())
}

fn chosen(names: &[String]) -> Result<Vec<&'static Operation>> {
    if names.is_empty() {
        return Ok(OPERATIONS.iter().collect());
    }
    let known = || OPERATIONS.iter().map(|it| it.name).collect::<Vec<_>>();
    for (place, name) in names.iter().enumerate() {
        if Operation::named(name).is_none() {
            let known = known().join(", ");
            return Err(Usage(format!("unknown operation {name:?}; known are {known}")).into());
        }
        if names[..place].contains(name) {
            return Err(Usage(format!("{name} is given twice in --only")).into());
        }
    }
    let wanted = |operation: &&Operation| names.iter().any(|name| name == operation.name);
    Ok(OPERATIONS.iter().filter(wanted).collect())
}

fn list() -> String {
    let width = OPERATIONS.iter().map(|it| it.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for operation in OPERATIONS {
        let _ = writeln!(text, "{:<width$}  {}", operation.name, operation.method);
    }
    text
}
