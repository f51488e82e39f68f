//! Reads the probes into snapshots of targets.

mod conversions;
mod given_up;

use crate::counters::TargetCounters;
use crate::snapshot::{Map, Method, Program, Role, Snapshot, Statistics, Unavailable};
use crate::user_space;
use conversions::{loss, role, window};
use probe_ebpf::{
    Assignment, Error, GroupRule, Options, Watch,
    cost::{MapCost, ProgramCost},
    sample::{self, GroupSample},
};
use std::collections::HashSet;

/// The roles of every target, in the order of its groups.
const ROLES: [&str; 3] = ["main", "thread", "child"];
const MAIN: u32 = 0;
const THREAD: u32 = 1;
const CHILD: u32 = 2;

/// A watch over some targets, each in three roles: the main thread of its process, the other
/// threads, and all that descends from it.
pub struct Sampler {
    watch: Watch,
    /// By target, where they were asked for.
    counters: Vec<TargetCounters>,
    /// By target, where it has a scheduler in user space.
    user_space: Vec<Option<user_space::Source>>,
    /// What could not be had besides the measures of the watch.
    lacking: Vec<Unavailable>,
    /// By group, of the last reading what a probe that fails shows no more.
    last: Vec<Role>,
}

impl Sampler {
    /// Loads the probes, with room for so many targets.
    ///
    /// # Errors
    /// If the kernel refuses a probe, with the remedy.
    pub fn load(targets: usize, options: &Options) -> Result<Self, Error> {
        let rules = (0..targets as u32).flat_map(|target| {
            let thread_group = group(target, THREAD);
            let process_group = group(target, CHILD);
            let of_process = GroupRule {
                thread_group,
                process_group,
            };
            let of_child = GroupRule {
                thread_group: process_group,
                process_group,
            };
            [of_process, of_process, of_child]
        });
        Ok(Self {
            watch: Watch::load(&rules.collect::<Vec<_>>(), options)?,
            counters: Vec::new(),
            user_space: (0..targets).map(|_| None).collect(),
            lacking: Vec::new(),
            last: Vec::new(),
        })
    }

    /// Watches a process as the target of that number; returns how many tasks it has.
    ///
    /// # Errors
    /// If there is no such process, or it is watched already.
    pub fn add(&mut self, target: usize, pid: u32) -> Result<u64, Error> {
        let target = target as u32;
        let (main_group, thread_group, process_group) = (
            group(target, MAIN),
            group(target, THREAD),
            group(target, CHILD),
        );
        self.watch.add(Assignment {
            pid,
            main_group,
            thread_group,
            process_group,
        })
    }

    /// Reads from now on what the scheduler in user space of that target does, if it has one.
    pub fn add_user_space(&mut self, target: usize, source: Option<user_space::Source>) {
        self.user_space[target] = source;
    }

    /// Opens perf counters of all that is watched now, and of what that creates later.
    ///
    /// # Errors
    /// If the kernel refuses to be read. Counters that cannot be had are [`unavailable`](Self::unavailable).
    pub fn count_events(&mut self) -> Result<(), Error> {
        self.counters.clear();
        for threads in threads(&self.watch.read()?) {
            let (counters, lacking) = TargetCounters::open(threads);
            self.counters.push(counters);
            lacking.into_iter().for_each(|one| self.lacks(one));
        }
        let now = threads(&self.watch.read()?);
        for (counters, threads) in self.counters.iter_mut().zip(&now) {
            counters.opened(threads);
        }
        Ok(())
    }

    /// A snapshot of each target, all of the same instant.
    ///
    /// # Errors
    /// If the kernel refuses to be read.
    pub fn read(&mut self) -> Result<Vec<Snapshot>, Error> {
        let sample = self.watch.read()?;
        let sources = self.user_space.iter_mut().map(Option::as_mut);
        let user_space: Vec<_> = sources.map(|source| Some(source?.read())).collect();
        let (counters, lacking): (Vec<_>, Vec<_>) =
            self.counters.iter_mut().map(TargetCounters::read).unzip();
        lacking
            .into_iter()
            .flatten()
            .for_each(|one| self.lacks(one));
        let observer = Observer::now();
        let (programs, statistics) = self.programs();
        let same_for_all = Snapshot {
            at_ns: sample.at_ns,
            roles: Vec::new(),
            losses: sample.losses.iter().map(loss).collect(),
            windows: sample.windows.iter().map(window).collect(),
            stolen_ns: stolen_ns(),
            programs,
            statistics,
            maps: self.maps(),
            counters: None,
            user_space: None,
            observer_cpu_ns: observer.cpu_ns,
            observer_rss_bytes: observer.rss_bytes,
        };
        let roles = ROLES.iter().cycle().zip(sample.groups);
        let mut roles: Vec<Role> = roles.map(|(name, group)| role(name, group)).collect();
        given_up::keep(&mut roles, &self.last, &self.unavailable());
        self.last = roles.iter().map(given_up::shown).collect();
        let mut roles = roles.into_iter().peekable();
        let mut counters = counters.into_iter();
        let mut user_space = user_space.into_iter();
        let mut snapshots = Vec::new();
        while roles.peek().is_some() {
            let roles = roles.by_ref().take(ROLES.len()).collect();
            snapshots.push(Snapshot {
                roles,
                counters: counters.next(),
                user_space: user_space.next().flatten(),
                ..same_for_all.clone()
            });
        }
        Ok(snapshots)
    }

    /// How each measure is taken here.
    #[must_use]
    pub fn methods(&self) -> Vec<Method> {
        let method = |measure: &probe_ebpf::probes::Measure| Method {
            measure: measure.name.into(),
            method: measure.method.into(),
        };
        self.watch.measures().iter().map(method).collect()
    }

    /// What cannot be measured here, and why; grows if a probe fails later.
    #[must_use]
    pub fn unavailable(&self) -> Vec<Unavailable> {
        let unavailable = |unavailable: &sample::Unavailable| Unavailable {
            measure: unavailable.measure.into(),
            reason: unavailable.reason.clone(),
        };
        let of_watch = self.watch.unavailable().iter().map(unavailable);
        of_watch.chain(self.lacking.iter().cloned()).collect()
    }

    fn lacks(&mut self, unavailable: Unavailable) {
        if !self.lacking.contains(&unavailable) {
            self.lacking.push(unavailable);
        }
    }

    /// What our programs have cost while the kernel kept statistics, and how long it did.
    fn programs(&mut self) -> (Vec<Program>, Statistics) {
        let program = |cost: ProgramCost| Program {
            name: cost.name,
            runs: cost.runs,
            run_ns: cost.run_ns,
        };
        match self.watch.counted() {
            Ok(counted) => (
                counted.programs.into_iter().map(program).collect(),
                Statistics {
                    on_ns: counted.on_ns,
                    samples: counted.samples,
                },
            ),
            Err(error) => {
                self.lacks(needs_admin("observer.programs", "keep statistics", &error));
                Default::default()
            }
        }
    }

    fn maps(&mut self) -> Vec<Map> {
        let map = |cost: &MapCost| Map {
            name: cost.name.clone(),
            bytes: cost.bytes,
        };
        match self.watch.maps() {
            Ok(maps) => maps.iter().map(map).collect(),
            Err(error) => {
                self.lacks(needs_admin("observer.maps", "list its maps", &error));
                Vec::new()
            }
        }
    }
}

fn needs_admin(measure: &str, what: &str, error: &std::io::Error) -> Unavailable {
    Unavailable {
        measure: measure.into(),
        reason: format!("the kernel does not {what} for us: {error}; needs CAP_SYS_ADMIN"),
    }
}

/// The threads of each target.
fn threads(sample: &sample::Sample) -> Vec<HashSet<u32>> {
    let of_target = |groups: &[GroupSample]| {
        let tasks = groups.iter().flat_map(|group| &group.tasks);
        tasks.map(|task| task.tid).collect()
    };
    sample.groups.chunks(ROLES.len()).map(of_target).collect()
}

fn group(target: u32, role: u32) -> u32 {
    target * ROLES.len() as u32 + role
}

/// Time that the hypervisor gave to others, of all CPUs since boot; 0 where it does not say.
fn stolen_ns() -> u64 {
    use procfs::CurrentSI;
    let ticks = procfs::KernelStats::current()
        .ok()
        .and_then(|stats| stats.total.steal)
        .unwrap_or(0);
    ticks * (1_000_000_000 / procfs::ticks_per_second().max(1))
}

/// What connscope itself has used.
struct Observer {
    cpu_ns: u64,
    rss_bytes: u64,
}

impl Observer {
    fn now() -> Self {
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let rss = procfs::process::Process::myself().and_then(|process| process.statm());
        Self {
            cpu_ns: cpu.tv_sec as u64 * 1_000_000_000 + cpu.tv_nsec as u64,
            rss_bytes: rss.map_or(0, |statm| statm.resident * procfs::page_size()),
        }
    }
}
