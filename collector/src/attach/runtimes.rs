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
use threads::{Names, Threads};

/// A runtime that is known by sight.
struct Runtime {
    name: &'static str,
    /// What it switches between.
    tasks: &'static str,
    /// Whether a process has it.
    runs_in: RunsIn,
    /// What its threads do, by their names, if it gives them any.
    threads: Option<&'static Names>,
}

/// Whether a process has a runtime, which it may come to have: what starts it may be a script.
type RunsIn = fn(u32) -> bool;

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
    // Of several, the first tells.
    runtimes_of(target).find_map(|it| Some(it.threads?.roles))
}

/// The line of a target without roles of a runtime that has one now.
#[must_use]
pub fn came_late(target: &Chosen) -> Option<Unavailable> {
    let runtime = runtimes_of(target).find(|it| it.threads.is_some())?;
    Some(Unavailable {
        measure: "roles".to_owned(),
        reason: format!(
            "{}: its runtime, {}, was not there when the watch began; for the roles of its threads attach again",
            target.name, runtime.name
        ),
    })
}

/// Tells the tasks of a target of these roles, with these processes, what they are. A process that does not have
/// the runtime of the roles is asked again later.
#[must_use]
pub fn telling_of(roles: &Roles, pids: &[u32]) -> Option<Box<dyn Telling>> {
    let (names, runs_in) = naming(roles)?;
    Some(Box::new(Threads::of(names, runs_in, pids)))
}

/// Whether they are those of a runtime that names its threads.
#[must_use]
pub fn are_of_a_runtime(roles: &Roles) -> bool {
    naming(roles).is_some()
}

fn naming(roles: &Roles) -> Option<(&'static Names, RunsIn)> {
    let mut naming = RUNTIMES
        .iter()
        .filter_map(|it| Some((it.threads?, it.runs_in)));
    naming.find(|(names, _)| names.roles == roles)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles::OF_ANY;

    #[test]
    fn the_roles_say_by_which_names_a_target_is_told() {
        // This process has none of these runtimes.
        let pids = [std::process::id()];
        assert!(telling_of(&OF_ANY, &pids).is_none());
        for names in RUNTIMES.iter().filter_map(|it| it.threads) {
            assert!(telling_of(names.roles, &pids).is_some(), "{names:?}");
        }
    }
}
