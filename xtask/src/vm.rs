//! Boots Debian's own kernels in QEMU, without hardware virtualisation. The root tests of the kernel
//! half run there: it must load, and be right, on more kernels than the host's. So do tests of the
//! whole program that want a machine to themselves.

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
use plan::{Boot, Plan};
use std::mem;
use std::ops::AddAssign;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::ExitCode;
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;
use transcript::{Outcome, Transcript};

/// The programs that users have, which some tests start.
const OURS: [&str; 2] = ["connscope", "connscope-target"];

/// Boots each kernel, runs the tests whose path contains `filter`, prints a line for each.
pub(crate) fn run(names: &[Name], filter: Option<&str>) -> Result<ExitCode> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the kernels that are booted are for x86-64, and this host builds for another machine"
    );
    let target = Workspace::read()?.target_directory;
    let folder = target.join("vm");
    let ours = OURS.map(|program| target.join("release").join(program));
    let plan = Plan::make(filter)?;
    if plan.is_empty() {
        bail!("no test to run in a virtual machine matches");
    }
    let kernels = kernel::obtain(names, &folder)?;
    let image = image::build(&plan, &ours, &folder)?;
    let mut tested = test_all(&kernels, &plan, &image, &folder)?;
    if tested.may_be_the_hosts_doing() {
        println!("those that failed, once more:");
        let plan = plan.only(&tested.failed);
        let image = image::build(&plan, &ours, &folder)?;
        let passed_later = tested.correct(test_all(&kernels, &plan, &image, &folder)?);
        if !passed_later.is_empty() {
            println!("passed when run once more: {}", passed_later.join(", "));
        }
    }
    let Tested {
        counts, failures, ..
    } = tested;
    // Once more, below all that passed.
    failures.iter().for_each(|failure| println!("{failure}"));
    println!("{counts}");
    match counts.failed > 0 || counts.passed == 0 {
        true => Ok(ExitCode::FAILURE),
        false => Ok(ExitCode::SUCCESS),
    }
}

/// What became of the tests of one or more machines.
#[derive(Default)]
struct Tested {
    counts: Counts,
    /// What was printed of each that failed.
    failures: Vec<String>,
    /// The paths of those of them that ran to their end.
    failed: Vec<String>,
}

impl Tested {
    /// A machine without hardware virtualisation is not told when its host has no CPU for it, so that
    /// tests cannot allow for it.
    fn may_be_the_hosts_doing(&self) -> bool {
        self.counts.may_be_the_hosts_doing(self.failed.len())
    }

    /// Takes the outcome of a second run of all that failed for theirs; on kernels where they passed
    /// they have passed twice. Returns the paths of those that failed on some kernel before, and on none now.
    fn correct(&mut self, again: Self) -> Vec<String> {
        self.counts.correct(again.counts);
        self.failures = again.failures;
        let mut failed = mem::replace(&mut self.failed, again.failed);
        failed.retain(|path| !self.failed.contains(path));
        failed.sort();
        failed.dedup();
        failed
    }
}

impl AddAssign for Tested {
    fn add_assign(&mut self, other: Self) {
        self.counts += other.counts;
        self.failures.extend(other.failures);
        self.failed.extend(other.failed);
    }
}

/// As many kernels side by side as there are CPUs, since a machine takes one of them.
fn test_all(kernels: &[Kernel], plan: &Plan, image: &Path, folder: &Path) -> Result<Tested> {
    let all_boots = |kernel| {
        let mut tested = Tested::default();
        for boot in Boot::ALL {
            if plan.to_run(boot).next().is_some() {
                tested += test(kernel, boot, plan, image, folder)?;
            }
        }
        anyhow::Ok(tested)
    };
    let at_once = thread::available_parallelism().map_or(1, usize::from);
    let mut total = Tested::default();
    for kernels in kernels.chunks(at_once) {
        let tested: Vec<_> = thread::scope(|scope| {
            let machines: Vec<_> = kernels
                .iter()
                .map(|kernel| scope.spawn(move || all_boots(kernel)))
                .collect();
            machines.into_iter().map(ScopedJoinHandle::join).collect()
        });
        for tested in tested {
            total += tested.unwrap_or_else(|panic| resume_unwind(panic))?;
        }
    }
    Ok(total)
}

/// Boots one kernel in one way; every test planned for that is in the counts, whatever becomes of
/// the machine.
fn test(kernel: &Kernel, boot: Boot, plan: &Plan, image: &Path, folder: &Path) -> Result<Tested> {
    let started = Instant::now();
    let console = folder.join(format!("console-{}-{}.log", kernel.version, boot.name()));
    let mut transcript = Transcript::new(plan, boot);
    let mut tested = Tested::default();
    let mut tell = |outcome: Outcome| {
        let line = format!("{:<18} {outcome}", kernel.version);
        println!("{line}");
        let counts = outcome.counts();
        let failures = (counts.failed > 0).then_some(line).into_iter().collect();
        let failed = outcome.failed().map(str::to_owned).into_iter().collect();
        tested += Tested {
            counts,
            failures,
            failed,
        };
    };
    let end = machine::run(kernel, boot, image, &console, |line| {
        transcript.read(line).into_iter().for_each(&mut tell);
    })?;
    let release = transcript.release().unwrap_or("no kernel").to_owned();
    transcript.finish(&end).into_iter().for_each(&mut tell);
    println!(
        "{:<18} {}; {release} in {:.0} s, console in {}",
        kernel.version,
        tested.counts,
        started.elapsed().as_secs_f64(),
        console.display()
    );
    Ok(tested)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tested(passed: u64, failures: &[&str], failed: &[&str]) -> Tested {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Tested {
            counts: Counts {
                passed,
                failed: failures.len() as u64,
                skipped: 0,
            },
            failures: owned(failures),
            failed: owned(failed),
        }
    }

    #[test]
    fn the_second_run_counts() {
        let first = || tested(9, &["6.1 a", "7.3 a", "7.3 b"], &["a", "a", "b"]);
        let mut passed = first();
        assert_eq!(passed.correct(tested(4, &[], &[])), ["a", "b"]);
        assert_eq!((passed.counts.passed, passed.counts.failed), (12, 0));
        let mut failed = first();
        assert_eq!(failed.correct(tested(3, &["7.3 b"], &["b"])), ["a"]);
        assert_eq!((failed.counts.passed, failed.counts.failed), (11, 1));
        assert_eq!(failed.failures, ["7.3 b"]);
    }
}
