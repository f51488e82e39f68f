//! Boots Debian's own kernels in QEMU, without hardware virtualisation, and runs there the root
//! tests of the kernel half: they must load, and be right, on more kernels than the host's.

mod apt;
mod image;
mod kernel;
mod machine;
mod plan;
mod transcript;

use crate::test::Counts;
use crate::workspace::Workspace;
use anyhow::{Result, bail, ensure};
use kernel::Kernel;
pub(crate) use kernel::Name;
use plan::Plan;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use transcript::{Outcome, Transcript};

/// Boots each kernel, runs the tests whose path contains `filter`, prints a line for each.
pub(crate) fn run(names: &[Name], filter: Option<&str>) -> Result<ExitCode> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the kernels that are booted are for x86-64, and this host builds for another machine"
    );
    let folder = Workspace::read()?.target_directory.join("vm");
    let plan = Plan::make(filter)?;
    if plan.is_empty() {
        bail!("no test to run in a virtual machine matches");
    }
    let kernels = kernel::obtain(names, &folder)?;
    let image = image::build(&plan, &folder)?;
    let mut total = Counts::default();
    for kernel in &kernels {
        total += test(kernel, &plan, &image, &folder)?;
    }
    println!("{total}");
    match total.failed > 0 || total.passed == 0 {
        true => Ok(ExitCode::FAILURE),
        false => Ok(ExitCode::SUCCESS),
    }
}

/// Boots one kernel; every planned test is in the counts, whatever becomes of the machine.
fn test(kernel: &Kernel, plan: &Plan, image: &Path, folder: &Path) -> Result<Counts> {
    let started = Instant::now();
    let console = folder.join(format!("console-{}.log", kernel.version));
    let mut transcript = Transcript::new(plan);
    let mut counts = Counts::default();
    let mut tell = |outcome: Outcome| {
        counts += outcome.counts();
        println!("{:<18} {outcome}", kernel.version);
    };
    let end = machine::run(kernel, image, &console, |line| {
        transcript.read(line).into_iter().for_each(&mut tell);
    })?;
    let release = transcript.release().unwrap_or("no kernel").to_owned();
    transcript.finish(&end).into_iter().for_each(&mut tell);
    println!(
        "{:<18} {counts}; {release} in {:.0} s, console in {}",
        kernel.version,
        started.elapsed().as_secs_f64(),
        console.display()
    );
    Ok(counts)
}
