//! Runtimes that switch between tasks of their own in user space, where the kernel sees nothing of it: known by their
//! programs, their threads by name.

mod threads;

use super::choice::Chosen;
use super::telling::Telling;
use crate::roles::Roles;
use crate::snapshot::{TargetKind, Unavailable};
use crate::user_space::MEASURE;
use object::read::elf::ElfFile64;
use object::{Object as _, ReadCache};
use std::fs::{self, File};
use threads::Names;

/// A runtime that is known by sight.
struct Runtime {
    name: &'static str,
    /// What it switches between.
    tasks: &'static str,
    /// Whether a process has it.
    runs_in: fn(u32) -> bool,
    /// What its threads do, by their names, if it gives them any.
    threads: Option<&'static Names>,
}

static RUNTIMES: [Runtime; 3] = [
    Runtime {
        name: "Go",
        tasks: "goroutines",
        runs_in: is_go,
        // They all have that of the program.
        threads: None,
    },
    Runtime {
        name: "Java",
        tasks: "virtual threads",
        runs_in: is_java,
        threads: Some(&threads::OF_JAVA),
    },
    Runtime {
        name: "Seastar",
        tasks: "tasks and fibers",
        runs_in: is_seastar,
        threads: Some(&threads::OF_SEASTAR),
    },
];

/// A line for each of these targets that has one, or several.
#[must_use]
pub fn hidden_switches(targets: &[Chosen]) -> Vec<Unavailable> {
    let lines = targets
        .iter()
        .flat_map(|target| runtimes_of(target).map(|it| line(target, it)));
    lines.collect()
}

/// The roles of a target whose runtime names its threads.
#[must_use]
pub fn roles_of(target: &Chosen) -> Option<&'static Roles> {
    names_of(target).map(|names| names.roles)
}

/// Tells the tasks of such a target what they are.
#[must_use]
pub fn telling_of(target: &Chosen) -> Option<Box<dyn Telling>> {
    names_of(target).map(|names| names.telling(&target.pids))
}

/// Of several processes with runtimes, the first that names threads tells.
fn names_of(target: &Chosen) -> Option<&'static Names> {
    runtimes_of(target).find_map(|it| it.threads)
}

fn runtimes_of(target: &Chosen) -> impl Iterator<Item = &'static Runtime> {
    let runtimes = RUNTIMES.iter();
    runtimes.filter(|it| {
        target.kind == TargetKind::Process && target.pids.iter().any(|pid| (it.runs_in)(*pid))
    })
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

/// ScyllaDB and others: static, but with a thread for each core that is called so. Of one core alone there is none.
fn is_seastar(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let mut threads = threads.into_iter().flatten().flatten();
    threads.any(|thread| {
        let name = fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        let number = name.trim_end().strip_prefix("reactor-");
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    })
}
