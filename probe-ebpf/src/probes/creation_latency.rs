//! How long fork, posix_spawn, pthread_create and clone take, as their caller sees them.

mod instrument;
mod sites;

use super::{
    Context, MapSize, Measure, Part, Probe,
    kept_calls::{NO_ROOM, forget_ended, losses, read_group},
};
use crate::{
    Error,
    c_library::{self, Function, Library},
    calls::Instrument,
    loader::Loaded,
    sample::{GroupSample, Loss, Unavailable},
    watch::Assignment,
};
use libbpf_rs::Link;
use sites::Sites;
use std::{
    collections::{HashMap, HashSet},
    fs,
    os::unix::fs::MetadataExt,
    thread::JoinHandle,
};

/// The programs at entry and return of functions of the C library.
pub static PROBE: Probe = Probe {
    name: "creation_latency",
    object: object!("creation_latency"),
    hooks: &[
        "uprobe on fork, vfork, posix_spawn, pthread_create, clone",
        "uretprobe",
    ],
    map_sizes: &[MapSize {
        map: "group_calls",
        entries: |groups| groups + 1, // and one of our own
    }],
    essential: false,
    measures: &[Measure {
        name: "creation_latency",
        method: "uprobes by inode on fork, vfork, posix_spawn, pthread_create and clone of the mapped C library, \
                 from the end of the entry's to the begin of the return's; of calls within calls the outermost",
    }],
    start: Some(start),
};

/// Of the flags and numbers in the attach cookie; see the programs.
const COOKIE_RETURNS_PID: u64 = 4;
const COOKIE_FUNCTION_SHIFT: u32 = 8;
const COOKIE_OWN_SHIFT: u32 = 32;

struct CreationLatency {
    /// In front of the programs: dropped first.
    links: Vec<Link>,
    loaded: Loaded,
    /// The files that were probed, or why they could not be.
    probed: HashMap<(u64, u64), Result<(), String>>,
    /// The groups whose calls are seen.
    groups: Vec<bool>,
    functions: u64,
    /// Calls that had not returned when their thread ended.
    ended: u64,
    instrument: Instrument,
    /// One link leads to many functions.
    at_once: bool,
    /// Leaves what the instrument was measured on.
    leaving: Option<JoinHandle<()>>,
}

fn start(context: &Context<'_>) -> Result<Box<dyn Part>, Error> {
    let tried = instrument::load(context)?;
    Ok(Box::new(CreationLatency {
        links: Vec::new(),
        loaded: tried.loaded,
        probed: HashMap::new(),
        groups: vec![false; context.groups as usize],
        functions: 0,
        ended: 0,
        instrument: tried.instrument,
        at_once: tried.at_once,
        leaving: tried.leaving,
    }))
}

impl Drop for CreationLatency {
    fn drop(&mut self) {
        if let Some(leaving) = self.leaving.take() {
            // A thread that panicked has said so itself.
            let _ = leaving.join();
        }
    }
}

impl Part for CreationLatency {
    fn added(&mut self, process: &Assignment, with_descendants: &HashSet<u32>) -> Vec<Unavailable> {
        match self.probe(process.pid, with_descendants) {
            Ok(()) => {
                let of_process = [
                    process.main_group,
                    process.thread_group,
                    process.process_group,
                ];
                for group in of_process {
                    if let Some(seen) = self.groups.get_mut(group as usize) {
                        *seen = true;
                    }
                }
                Vec::new()
            }
            Err(reason) => vec![Unavailable {
                measure: PROBE.measures[0].name,
                reason: format!("pid {}: {reason}", process.pid),
            }],
        }
    }

    fn read(&mut self, groups: &mut [GroupSample]) -> Result<Vec<Loss>, Error> {
        self.ended += forget_ended(&self.loaded, groups)?;
        for (number, group) in (0u32..).zip(groups.iter_mut()) {
            if self.groups.get(number as usize) == Some(&true) {
                group.calls = Some(read_group(&self.loaded, number, self.instrument)?);
            }
        }
        let no_return = "calls that create tasks without a latency (they never returned)";
        losses(&self.loaded, [NO_ROOM, no_return], self.ended)
    }

    fn program_ids(&self) -> Vec<u32> {
        self.loaded.program_ids()
    }

    fn measures(&self) -> Vec<Measure> {
        PROBE.measures.to_vec()
    }
}

impl CreationLatency {
    /// Probes what a process calls, and what those of its descendants call that run another program.
    fn probe(&mut self, pid: u32, with_descendants: &HashSet<u32>) -> Result<(), String> {
        let own = c_library::of_process(pid).and_then(|libraries| self.probe_all(libraries));
        for descendant in with_other_programs(pid, with_descendants) {
            // Of a child whose calls cannot be seen, the tasks it creates are counted as unseen.
            let _ =
                c_library::of_process(descendant).and_then(|libraries| self.probe_all(libraries));
        }
        own
    }

    fn probe_all(&mut self, libraries: Vec<Library>) -> Result<(), String> {
        for library in libraries {
            let done = match self.probed.get(&library.identity) {
                Some(done) => done.clone(),
                None => self.probe_library(&library).map_err(|e| e.to_string()),
            };
            self.probed.insert(library.identity, done.clone());
            done?;
        }
        Ok(())
    }

    /// The programs are to run for every process that has the file mapped, and look who it is: an
    /// event that is bound to a process and inherited makes the fork of that process fail.
    fn probe_library(&mut self, library: &Library) -> Result<(), Error> {
        let cookie = |function: &Function| {
            self.functions += 1;
            cookie(function, self.functions)
        };
        let sites = Sites {
            file: &library.path,
            offsets: library.functions.iter().map(|f| f.offset).collect(),
            cookies: library.functions.iter().map(cookie).collect(),
        };
        let links = sites.attach(&self.loaded, self.at_once)?;
        self.links.extend(links);
        Ok(())
    }
}

fn cookie(function: &Function, number: u64) -> u64 {
    let returns_pid = if function.returns_pid {
        COOKIE_RETURNS_PID
    } else {
        0
    };
    u64::from(function.kind.in_kernel().0) | returns_pid | number << COOKIE_FUNCTION_SHIFT
}

/// Of these processes one for each program other than that of `pid`.
fn with_other_programs(pid: u32, processes: &HashSet<u32>) -> Vec<u32> {
    let program = |pid: u32| fs::metadata(format!("/proc/{pid}/exe")).ok();
    let identity = |pid| program(pid).map(|file| (file.dev(), file.ino()));
    let mut seen = HashSet::from([identity(pid)]);
    let other = |process: &&u32| seen.insert(identity(**process));
    processes.iter().filter(other).copied().collect()
}
