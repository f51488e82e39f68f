//! What connscope must not leave behind: programs and maps in the kernel, processes, cgroups.
#![allow(dead_code, unreachable_pub)]

use super::program::CONNSCOPE;
use aya::{maps::loaded_maps, programs::loaded_programs};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// What names of our programs begin with, of those on tracepoints, uprobes and iterators alike; and those that do not.
const PREFIX: &str = "on_";
const OTHERS: [&str; 3] = ["count_recorders", "follow_caller", "call_nothing"];
const MAPS: [&str; 2] = ["watched", "groups"];
/// The kernel frees programs and maps some time after they were closed.
const LIMIT: Duration = Duration::from_secs(5);

/// What was there before a test.
pub struct Before(BTreeSet<String>);

impl Before {
    pub fn now() -> Self {
        Self(everything())
    }

    /// Fails if, after a while, there is anything that was not there before.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let end = Instant::now() + LIMIT;
        loop {
            let left: Vec<_> = everything().difference(&self.0).cloned().collect();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "left behind: {left:#?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// How many of our programs and maps the kernel holds, without those of another connscope.
pub fn programs_and_maps() -> (usize, usize) {
    let (programs, maps) = (programs(), maps());
    let foreign = held_by_others();
    let ours = |all: BTreeSet<String>| all.difference(&foreign).count();
    (ours(programs), ours(maps))
}

/// The cgroups that any connscope has made.
pub fn cgroups() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for parent in memory_hierarchies() {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        let ours = entries.filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with("connscope-")
        });
        found.extend(ours.map(|entry| entry.path()));
    }
    found
}

/// Where hierarchies that may account memory are mounted.
pub fn memory_hierarchies() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("proc");
    let of_memory = |line: &str| {
        let fields: Vec<_> = line.split(' ').collect();
        let [_, place, kind, options, ..] = fields[..] else {
            return None;
        };
        let accounts = match kind {
            "cgroup" => options.split(',').any(|option| option == "memory"),
            kind => kind == "cgroup2",
        };
        accounts.then(|| PathBuf::from(place))
    };
    mounts.lines().filter_map(of_memory).collect()
}

fn everything() -> BTreeSet<String> {
    let mut all: BTreeSet<_> = processes().into_iter().collect();
    let (programs, maps) = (programs(), maps());
    if !programs.is_empty() || !maps.is_empty() {
        let foreign = held_by_others();
        let ours = programs.into_iter().chain(maps);
        all.extend(ours.filter(|object| !foreign.contains(object)));
    }
    let cgroups = cgroups().into_iter().filter(|path| !is_foreign(path));
    all.extend(cgroups.map(|path| format!("cgroup {}", path.display())));
    all
}

/// All of them at one moment: one that goes between its listing and the look at it is an error of the list.
fn listed<T, E: std::fmt::Debug, List: Iterator<Item = Result<T, E>>>(
    list: impl Fn() -> List,
) -> Vec<T> {
    let mut last = None;
    for _ in 0..10 {
        match list().collect() {
            Ok(all) => return all,
            Err(error) => last = Some(error),
        }
    }
    panic!("root may list programs and maps: {last:?}")
}

/// As `prog_id 7`.
fn programs() -> BTreeSet<String> {
    let programs = listed(loaded_programs).into_iter();
    programs
        .filter(|program| {
            program
                .name_as_str()
                .is_some_and(|name| name.starts_with(PREFIX) || OTHERS.contains(&name))
        })
        .map(|program| format!("prog_id {}", program.id()))
        .collect()
}

/// As `map_id 7`.
fn maps() -> BTreeSet<String> {
    let maps = listed(loaded_maps).into_iter();
    maps.filter(|map| map.name_as_str().is_some_and(|name| MAPS.contains(&name)))
        .map(|map| format!("map_id {}", map.id()))
        .collect()
}

/// Our programs that run: this build's, or copies that a test made.
fn processes() -> Vec<String> {
    let running = pids().filter_map(|pid| Some((pid, program_of(pid)?)));
    let ours = running.filter(|(_, program)| {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        is_ours(program) && name.starts_with("connscope") && !is_test(program)
    });
    ours.map(|(pid, program)| format!("process {pid}, {}", program.display()))
        .collect()
}

/// Programs and maps that are held by another connscope, which somebody else uses now.
fn held_by_others() -> BTreeSet<String> {
    let mut held = BTreeSet::new();
    for pid in pids() {
        if program_of(pid).is_none_or(|program| is_ours(&program)) {
            continue;
        }
        let files = fs::read_dir(format!("/proc/{pid}/fdinfo"));
        for file in files.into_iter().flatten().flatten() {
            let info = fs::read_to_string(file.path()).unwrap_or_default();
            let ids = info.lines().filter_map(|line| line.split_once(":\t"));
            held.extend(ids.map(|(key, id)| format!("{key} {id}")));
        }
    }
    held
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("proc").flatten();
    entries.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
}

fn program_of(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

fn is_ours(program: &Path) -> bool {
    let folder = Path::new(CONNSCOPE).parent().expect("a folder");
    program.starts_with(folder) || program.starts_with(std::env::temp_dir())
}

fn is_test(program: &Path) -> bool {
    program
        .parent()
        .is_some_and(|folder| folder.ends_with("deps"))
}

/// Whether the maker of a cgroup, named in its name, still runs and is not one of ours.
fn is_foreign(cgroup: &Path) -> bool {
    let name = cgroup.file_name().unwrap_or_default().to_string_lossy();
    let maker = name.split('-').nth(1).and_then(|pid| pid.parse().ok());
    maker
        .and_then(program_of)
        .is_some_and(|program| !is_ours(&program))
}
