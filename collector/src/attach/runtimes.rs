//! Runtimes that switch between tasks of their own in user space, where the kernel sees nothing of it.

use super::choice::Chosen;
use crate::snapshot::{TargetKind, Unavailable};
use crate::user_space::MEASURE;
use object::read::elf::ElfFile64;
use object::{Object as _, ReadCache};
use std::fs::{self, File};

/// A runtime that is known by sight.
struct Runtime {
    name: &'static str,
    /// What it switches between.
    tasks: &'static str,
    /// Whether a process has it.
    runs_in: fn(u32) -> bool,
}

const RUNTIMES: [Runtime; 2] = [
    Runtime {
        name: "Go",
        tasks: "goroutines",
        runs_in: is_go,
    },
    Runtime {
        name: "Java",
        tasks: "virtual threads",
        runs_in: is_java,
    },
];

/// A line for each of these targets that has one, or several.
#[must_use]
pub fn hidden_switches(targets: &[Chosen]) -> Vec<Unavailable> {
    let plain = targets.iter().filter(|it| it.kind == TargetKind::Process);
    let lines = plain.flat_map(|target| {
        let found = RUNTIMES.iter();
        let found = found.filter(|it| target.pids.iter().any(|pid| (it.runs_in)(*pid)));
        found.map(|it| line(target, it))
    });
    lines.collect()
}

fn line(target: &Chosen, runtime: &Runtime) -> Unavailable {
    Unavailable {
        measure: MEASURE.to_owned(),
        reason: format!(
            "{}: {}'s runtime switches between {} in user space, which the kernel does not see; all switches here are \
             those of its threads",
            target.name, runtime.name, runtime.tasks
        ),
    }
}

/// Go's linker puts what a program was built of in a section of its own.
fn is_go(pid: u32) -> bool {
    let has_section = || {
        let cache = ReadCache::new(File::open(format!("/proc/{pid}/exe")).ok()?);
        let program: ElfFile64<'_, object::Endianness, _> = ElfFile64::parse(&cache).ok()?;
        program.section_by_name(".go.buildinfo").map(|_| ())
    };
    has_section().is_some()
}

/// Java's virtual machine is a library, whatever the program that starts it is called.
fn is_java(pid: u32) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"));
    maps.is_ok_and(|maps| maps.lines().any(|line| line.contains("/libjvm.so")))
}
