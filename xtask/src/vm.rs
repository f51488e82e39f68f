//! Boots Debian's own kernels in QEMU, without hardware virtualisation. The root tests of the kernel
//! half run there: it must load, and be right, on more kernels than the host's. So do tests of the
//! whole program that want a machine to themselves.

mod apt;
mod image;
mod kernel;
mod machine;
mod plan;
mod transcript;

use crate::cargo;
use crate::test::Counts;
use crate::workspace::Workspace;
use anyhow::{Result, bail, ensure};
use kernel::Kernel;
pub(crate) use kernel::Name;
use plan::{Boot, Plan};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use transcript::{Outcome, Transcript};

/// The programs that users have, which some tests start.
const OURS: [&str; 2] = ["connscope", "connscope-target"];

/// How often a kernel that the emulator breaks is booted.
const BOOTS: u32 = 3;

/// Boots each kernel, runs the tests whose path contains `filter`, prints a line for each.
pub(crate) fn run(names: &[Name], filter: Option<&str>) -> Result<ExitCode> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the kernels that are booted are for x86-64, and this host builds for another machine"
    );
    let target = Workspace::read()?.target_directory;
    let folder = target.join("vm");
    // With the others: Cargo would leave out the programs of packages that have no test here.
    cargo::build_programs()?;
    let ours = OURS.map(|program| target.join("release").join(program));
    let plan = Plan::make(filter)?;
    if plan.is_empty() {
        bail!("no test to run in a virtual machine matches");
    }
    let kernels = kernel::obtain(names, &folder)?;
    let image = image::build(&plan, &ours, &folder)?;
    let mut total = Counts::default();
    for kernel in &kernels {
        for boot in Boot::ALL {
            if plan.to_run(boot).next().is_some() {
                total += test(kernel, boot, &plan, &image, &folder)?;
            }
        }
    }
    println!("{total}");
    match total.failed > 0 || total.passed == 0 {
        true => Ok(ExitCode::FAILURE),
        false => Ok(ExitCode::SUCCESS),
    }
}

/// Boots one kernel in one way; every test planned for that is in the counts, whatever becomes of
/// the machine.
fn test(kernel: &Kernel, boot: Boot, plan: &Plan, image: &Path, folder: &Path) -> Result<Counts> {
    let started = Instant::now();
    let console = folder.join(format!("console-{}-{}.log", kernel.version, boot.name()));
    let mut transcript = Transcript::new(plan, boot);
    let mut counts = Counts::default();
    let mut tell = |outcome: Outcome| {
        counts += outcome.counts();
        println!("{:<18} {outcome}", kernel.version);
    };
    let mut boots = 0;
    let end = loop {
        boots += 1;
        let from = transcript.done();
        let end = machine::run(kernel, boot, from, image, &console, |line| {
            transcript.read(line).into_iter().for_each(&mut tell);
        })?;
        if boots == BOOTS || !transcript.take_back_what_the_emulator_broke() {
            break end;
        }
        println!(
            "{:<18} the emulator ran code that was being patched; booted again",
            kernel.version
        );
    };
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
