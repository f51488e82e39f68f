//! Reads the probes into snapshots of targets.

mod conversions;
mod given_up;
mod stacks;
mod timeline;

use crate::counters::TargetCounters;
use crate::roles::Roles;
use crate::snapshot::{
    Map, Method, Program, Role, Snapshot, Statistics, Unavailable, counters::Counters,
    user_space::UserSpace,
};
use crate::user_space;
use conversions::{loss, role, window};
use probe_ebpf::{
    Assignment, Error, GroupRule, Options, Unsettled, Watch,
    cost::{MapCost, ProgramCost},
    probes::socket_waiters::{self, WaitersBySocket},
    sample,
};
use std::{collections::HashSet, ops::Range};

/// A watch over some targets, the tasks of each by role.
pub struct Sampler {
    watch: Watch,
    targets: Vec<Watched>,
    /// What could not be had besides the measures of the watch.
    lacking: Vec<Unavailable>,
    /// By group, of the last reading what a probe that fails shows no more.
    last: Vec<Role>,
}

/// One target.
struct Watched {
    roles: &'static Roles,
    /// The groups of its roles are those from this one on.
    first_group: usize,
    /// Where they were asked for.
    counters: Option<TargetCounters>,
    /// Where it has a scheduler in user space.
    user_space: Option<user_space::Source>,
}

impl Sampler {
    /// Loads the probes, for targets with these roles.
    ///
    /// # Errors
    /// If the kernel refuses a probe, with the remedy.
    pub fn load(targets: &[&'static Roles], options: &Options) -> Result<Self, Error> {
        let mut first_group = 0;
        let watched = targets.iter().map(|&roles| {
            let watched = Watched {
                roles,
                first_group,
                counters: None,
                user_space: None,
            };
            first_group += roles.names.len();
            watched
        });
        let targets: Vec<Watched> = watched.collect();
        let rules: Vec<GroupRule> = targets.iter().flat_map(Watched::rules).collect();
        Ok(Self {
            watch: Watch::load(&rules, options)?,
            targets,
            lacking: Vec::new(),
            last: Vec::new(),
        })
    }

    /// The roles of the target of that number.
    #[must_use]
    pub fn roles(&self, target: usize) -> &'static Roles {
        self.targets[target].roles
    }

    /// Watches a process as one of the target of that number; returns how many tasks it has.
    ///
    /// # Errors
    /// If there is no such process, or it is watched already.
    pub fn add(&mut self, target: usize, pid: u32) -> Result<u64, Error> {
        let target = &self.targets[target];
        self.watch.add(Assignment {
            pid,
            main_group: target.group(target.roles.main),
            thread_group: target.group(target.roles.thread),
            process_group: target.group(target.roles.process),
            unsettled: target.roles.told_later,
        })
    }

    /// Asks of each task that has not told what it is, and of the target of which number it is, for its
    /// role, by the place among those of the target. What it did until it was last read stays with the role
    /// that it had.
    ///
    /// # Errors
    /// If the kernel refuses to be told.
    pub fn tell(
        &mut self,
        mut role_of: impl FnMut(usize, &Unsettled) -> Option<usize>,
    ) -> Result<(), Error> {
        let targets = &self.targets;
        self.watch.settle(|task| {
            let number = targets.iter().position(|target| target.has(task.group))?;
            targets[number].told_group(role_of(number, task)?)
        })
    }

    /// Reads from now on what the scheduler in user space of that target does, if it has one.
    pub fn add_user_space(&mut self, target: usize, source: Option<user_space::Source>) {
        self.targets[target].user_space = source;
    }

    /// Notes from now on which tasks wait at which sockets, so that it is known whom they serve while they are at work.
    /// If that cannot be had, it is [`unavailable`](Self::unavailable).
    pub fn note_socket_waiters(&mut self) {
        if let Err(error) = self.watch.note_socket_waiters() {
            self.lacks(Unavailable {
                measure: socket_waiters::PROBE.measures[0].name.into(),
                reason: error.to_string(),
            });
        }
    }

    /// Those that were noted so far; `None` where it was not asked for, or if they cannot be read, which is
    /// [`unavailable`](Self::unavailable) from then on.
    pub fn socket_waiters(&mut self) -> Option<WaitersBySocket> {
        self.watch.socket_waiters()
    }

    /// Opens perf counters of all that is watched now, and of what that creates later.
    ///
    /// # Errors
    /// If the kernel refuses to be read. Counters that cannot be had are [`unavailable`](Self::unavailable).
    pub fn count_events(&mut self) -> Result<(), Error> {
        let sample = self.watch.read()?;
        for target in 0..self.targets.len() {
            let threads = self.targets[target].threads(&sample);
            let (counters, lacking) = TargetCounters::open(threads);
            self.targets[target].counters = Some(counters);
            lacking.into_iter().for_each(|one| self.lacks(one));
        }
        let now = self.watch.read()?;
        for target in &mut self.targets {
            let threads = target.threads(&now);
            if let Some(counters) = &mut target.counters {
                counters.opened(&threads);
            }
        }
        Ok(())
    }

    /// Looks at the tasks alone, so that those which are new can [`tell`](Self::tell) what they are: a part of what
    /// [`read`](Self::read) takes.
    ///
    /// # Errors
    /// If the kernel refuses to be read.
    pub fn look(&mut self) -> Result<(), Error> {
        self.watch.read().map(drop)
    }

    /// A snapshot of each target, all of the same instant.
    ///
    /// # Errors
    /// If the kernel refuses to be read.
    pub fn read(&mut self) -> Result<Vec<Snapshot>, Error> {
        let sample = self.watch.read()?;
        let besides: Vec<_> = self.targets.iter_mut().map(Watched::read).collect();
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
        let names = self.targets.iter().flat_map(|target| target.roles.names);
        let roles = names.zip(sample.groups);
        let mut roles: Vec<Role> = roles.map(|(name, group)| role(name, group)).collect();
        given_up::keep(&mut roles, &self.last, &self.unavailable());
        self.last = roles.iter().map(given_up::shown).collect();
        let mut roles = roles.into_iter();
        let mut snapshots = Vec::new();
        for (target, (counters, user_space)) in besides.into_iter().enumerate() {
            let (counters, lacking) = counters.unzip();
            let lacking = lacking.into_iter().flatten();
            lacking.for_each(|one| self.lacks(one));
            let count = self.targets[target].roles.names.len();
            snapshots.push(Snapshot {
                roles: roles.by_ref().take(count).collect(),
                counters,
                user_space,
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

    /// Why a measure cannot be had, if that is so.
    fn why_not(&self, measure: &str) -> Option<String> {
        let unavailable = self.unavailable().into_iter();
        let mut reasons = unavailable.filter(|it| it.measure == measure);
        reasons.next().map(|it| it.reason)
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
            probe: cost.probe.to_owned(),
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

impl Watched {
    fn group(&self, role: usize) -> u32 {
        (self.first_group + role) as u32
    }

    /// The group of a role that a task has told; none if this target has no such role.
    fn told_group(&self, role: usize) -> Option<u32> {
        (role < self.roles.names.len()).then(|| self.group(role))
    }

    fn groups(&self) -> Range<usize> {
        self.first_group..self.first_group + self.roles.names.len()
    }

    fn has(&self, group: u32) -> bool {
        self.groups().contains(&(group as usize))
    }

    /// What the children of each role's tasks are.
    fn rules(&self) -> impl Iterator<Item = GroupRule> {
        let roles = self.roles;
        (0..roles.names.len()).map(move |role| GroupRule {
            thread_group: self.group(match role == roles.process {
                true => roles.thread_of_process,
                false => roles.thread,
            }),
            process_group: self.group(roles.process),
            unsettled: roles.told_later.into(),
        })
    }

    /// Its threads.
    fn threads(&self, sample: &sample::Sample) -> HashSet<u32> {
        let tasks = sample.groups[self.groups()].iter();
        let tasks = tasks.flat_map(|group| &group.tasks);
        tasks.map(|task| task.tid).collect()
    }

    /// What is known of it besides its tasks.
    fn read(&mut self) -> (Option<(Counters, Vec<Unavailable>)>, Option<UserSpace>) {
        let counters = self.counters.as_mut().map(TargetCounters::read);
        (
            counters,
            self.user_space.as_mut().map(|source| source.read()),
        )
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles::OF_ANY;

    #[test]
    fn a_role_that_a_target_lacks_is_no_group_of_the_next_one() {
        let target = Watched {
            roles: &OF_ANY,
            first_group: 10,
            counters: None,
            user_space: None,
        };
        assert_eq!(target.told_group(2), Some(12));
        assert_eq!(target.told_group(3), None);
    }
}
