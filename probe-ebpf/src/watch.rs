//! Watching processes: the probes loaded together, and what they saw.

mod options;
mod socket_waiters;
mod stacks;

use crate::{
    Error,
    abi::{self, ended, group_stats, loss, losses},
    cost::{self, MapCost, ProgramCost, ProgramId},
    loader::Loaded,
    parts::{Parts, Starting},
    placing::Placing,
    probes::{
        self, Measure, PROBES, creations, sched,
        socket_waiters::SocketWaiters,
        stacks::Stacks,
        tasks,
        timeline::{self, Timeline},
    },
    sample::{self, GroupSample, Sample, Unavailable, timeline::Events},
    settling::{Settling, Unsettled},
    statistics::{Counted, Counting},
};
use libbpf_rs::{MapCore, MapFlags};
use std::{
    collections::HashSet,
    io,
    panic::resume_unwind,
    sync::{Arc, LazyLock},
    thread::{self, Scope},
};

pub use options::Options;

/// To which group the children of a group's tasks belong, by number.
pub type GroupRule = abi::group_rule;

/// A process to watch, with all that descends from it.
#[derive(Clone, Copy, Debug)]
pub struct Assignment {
    /// Its pid in the caller's PID namespace.
    pub pid: u32,
    /// Group of its main thread.
    pub main_group: u32,
    /// Group of its other threads.
    pub thread_group: u32,
    /// Group of the processes that descend from it.
    pub process_group: u32,
    /// Whether these groups are for now only, until [`Watch::settle`] says better.
    pub unsettled: bool,
}

/// Passes over all tasks until none is new. Each pass can miss only what a process not yet watched
/// created meanwhile, so more than a few mean that something forks without end.
const ASSIGN_PASSES: u32 = 16;

/// The probes, loaded; they leave the kernel when this is dropped.
pub struct Watch {
    /// Holds the programs of all others: dropped first.
    counting: Option<Box<Counting>>,
    /// Dropped before those below.
    parts: Starting,
    /// If they are asked for.
    stacks: Option<Stacks>,
    socket_waiters: Option<SocketWaiters>,
    /// Maps of these programs, as far as they were read.
    maps: (Vec<ProgramId>, Vec<MapCost>),
    /// It, too, has the maps of the watch list, as all of them have.
    tasks: Loaded,
    creations: Loaded,
    sched: Loaded,
    groups: u32,
    epoch: u64,
    /// Tasks of each group when last read: so many are expected next time.
    living: Vec<usize>,
    settling: Settling,
}

impl Watch {
    /// Loads the probes. Nothing is watched yet, and tasks not watched pay next to nothing. Those
    /// that the main job does not need may still be loading when this returns; nothing is told of them
    /// before they are there.
    ///
    /// `rules` gives each group, by its number, the groups of its tasks' children.
    ///
    /// # Errors
    /// If a probe that the main job needs is refused, with the remedy. Of the others,
    /// [`unavailable`](Self::unavailable) says which measures they leave out.
    pub fn load(rules: &[GroupRule], options: &Options) -> Result<Self, Error> {
        let groups = u32::try_from(rules.len()).unwrap_or(u32::MAX);
        let lists = Arc::new(Loaded::load(&probes::LISTS, None, groups)?);
        // Side by side: loading takes time of a CPU, and attaching waits for all of them.
        let (tasks, creations, sched) = thread::scope(|scope| {
            let load = |probe| Loaded::load(probe, Some(&*lists), groups);
            let creations = beside(scope, || load_creations(&lists, groups, rules));
            let sched = beside(scope, || sched::load(&lists, groups));
            (load(&tasks::PROBE), creations(), sched())
        });
        Ok(Self {
            counting: None,
            tasks: tasks?,
            creations: creations?,
            sched: sched?,
            // Meanwhile tasks can be put on the watch list, which takes time of one CPU.
            parts: Parts::start(&lists, groups, *options),
            stacks: None,
            socket_waiters: None,
            maps: Default::default(),
            groups,
            epoch: 0,
            living: Vec::new(),
            settling: Settling::default(),
        })
    }

    /// Puts a process, its threads and its descendants on the watch list; what they create from
    /// now on follows by itself. Returns the number of tasks added.
    ///
    /// # Errors
    /// [`Error::NoSuchProcess`] if the pid has no task.
    pub fn add(&mut self, process: Assignment) -> Result<u64, Error> {
        let groups = abi::assignment {
            main_group: process.main_group,
            thread_group: process.thread_group,
            process_group: process.process_group,
            unsettled: process.unsettled.into(),
        };
        let before = self.assigned()?;
        let lost_before = self.lost_entries()?;
        let map = self.tasks.map("assignments");
        let key = process.pid.to_ne_bytes();
        map.update(&key, abi::to_bytes(&groups), MapFlags::ANY)
            .map_err(|source| self.tasks.unreadable("assignments", source))?;
        let mut processes = HashSet::new();
        let passes = self.assign_all(&mut processes);
        map.delete(&key)
            .map_err(|source| self.tasks.unreadable("assignments", source))?;
        match passes? - before {
            0 if self.lost_entries()? > lost_before => Err(Error::NoMemory { pid: process.pid }),
            0 => Err(Error::NoSuchProcess { pid: process.pid }),
            added => {
                LazyLock::force_mut(&mut self.parts).added(&process, &processes);
                self.added_to_stacks();
                Ok(added)
            }
        }
    }

    /// Reads everything, at one instant for each task.
    ///
    /// # Errors
    /// If the kernel refuses to read a map or to run the iterator.
    pub fn read(&mut self) -> Result<Sample, Error> {
        let mut groups = vec![GroupSample::default(); self.groups as usize];
        for (group, &tasks) in groups.iter_mut().zip(&self.living) {
            group.tasks.reserve(tasks);
        }
        self.epoch += 1;
        tasks::begin_visit(&self.tasks, self.epoch)?;
        self.add_ended(&mut groups, ended::ENDED_SETTLED)?;
        self.settling.begin();
        let mut placing = Placing::new(&mut groups);
        let at_ns = tasks::read(&self.tasks, |mut task| {
            self.settling.place(&mut task);
            placing.add(task);
        })?;
        placing.end();
        self.settling.end(&self.tasks, &mut groups)?;
        self.add_ended(&mut groups, ended::ENDED_DURING_VISIT)?;
        tasks::end_visit(&self.tasks)?;
        self.living = groups.iter().map(|group| group.tasks.len()).collect();
        for (group, creation) in creations::read(&self.creations)? {
            if let Some(group) = groups.get_mut(group as usize) {
                group.creations.push(creation);
            }
        }
        let mut losses = sample::losses_from(&self.tasks.values("losses", 0)?);
        for loaded in [&self.sched, &self.creations] {
            losses.push(loaded.skipped()?);
        }
        LazyLock::force_mut(&mut self.parts).read(&mut groups, &mut losses);
        Ok(Sample {
            at_ns,
            groups,
            losses,
            windows: self.parts.windows(),
        })
    }

    /// What tasks do one by one, where [`Options::timeline_bytes`] asks for it and it works here.
    pub fn timeline(&mut self) -> Option<&mut Timeline> {
        LazyLock::force_mut(&mut self.parts).timeline()
    }

    /// What tasks have done one by one since the last time; none where there is no timeline. One that cannot be read
    /// is given up, and the rest go on: [`unavailable`](Self::unavailable) says why.
    pub fn take_timeline(&mut self) -> Option<Events> {
        let parts = LazyLock::force_mut(&mut self.parts);
        let taken = parts.timeline()?.take();
        taken
            .map_err(|error| parts.give_up(&timeline::PROBE, &error))
            .ok()
    }

    /// The tasks whose group may still change, as they were last read.
    pub fn unsettled(&self) -> &[Unsettled] {
        self.settling.unsettled()
    }

    /// Says of unsettled tasks to which group they belong. What they did until they were last read stays
    /// with the group that they had.
    ///
    /// # Errors
    /// If the kernel refuses to be told.
    pub fn settle(&mut self, group_of: impl FnMut(&Unsettled) -> Option<u32>) -> Result<(), Error> {
        self.settling.settle(&self.tasks, group_of)
    }

    /// What is measured, each by the method that was found to work here.
    pub fn measures(&self) -> Vec<Measure> {
        let always = PROBES.iter().filter(|probe| probe.start.is_none());
        let always = always.flat_map(|probe| probe.measures.iter().copied());
        let waiters = self.socket_waiters.iter();
        let waiters = waiters.flat_map(|_| probes::socket_waiters::PROBE.measures);
        always
            .chain(self.parts.measures())
            .chain(waiters.copied())
            .collect()
    }

    /// What cannot be measured, and why; grows if a probe fails later.
    pub fn unavailable(&self) -> &[Unavailable] {
        self.parts.unavailable()
    }

    /// What each program of ours has cost, as far as statistics were on.
    ///
    /// # Errors
    /// If the kernel does not list its programs.
    pub fn costs(&self) -> io::Result<Vec<ProgramCost>> {
        cost::of_programs(&self.programs())
    }

    /// The memory of each map of ours. It is fixed as they are made, so it is read once, and again if
    /// a probe was given up.
    ///
    /// # Errors
    /// If the kernel does not list its programs.
    pub fn maps(&mut self) -> io::Result<&[MapCost]> {
        let programs = self.programs();
        if self.maps.0 != programs {
            let maps = cost::of_maps(&programs)?;
            self.maps = (programs, maps);
        }
        Ok(&self.maps.1)
    }

    /// What each program of ours has cost since the first call of this, by the kernel's statistics;
    /// where the host does not keep them, in samples of 20 ms: two in a second, after ten seconds one in two.
    ///
    /// # Errors
    /// If the kernel refuses (needs CAP_SYS_ADMIN).
    pub fn counted(&mut self) -> io::Result<Counted> {
        if self.counting.is_none() {
            let counting = Counting::start(&self.costs()?, &self.programs())?;
            self.counting = Some(Box::new(counting));
        }
        match self.counting.as_deref() {
            Some(Counting::Sampled(sampling)) => sampling.read(),
            Some(Counting::Always(always)) => Ok(Counted {
                programs: self.costs()?,
                on_ns: always.on_ns(),
                samples: 0,
            }),
            None => Ok(Counted::default()),
        }
    }

    fn programs(&self) -> Vec<ProgramId> {
        let loaded = [&self.tasks, &self.creations, &self.sched];
        let own = loaded.into_iter().flat_map(Loaded::programs);
        let stacks = self.stacks.iter().flat_map(Stacks::programs);
        let waiters = self.socket_waiters.iter();
        let waiters = waiters.flat_map(SocketWaiters::programs);
        own.chain(self.parts.programs())
            .chain(stacks)
            .chain(waiters)
            .collect()
    }

    /// Reads the groups' counters; histograms only with the later of the two kinds, so that they
    /// cover no less than the tasks do.
    fn add_ended(&self, groups: &mut [GroupSample], kind: ended) -> Result<(), Error> {
        for (number, group) in (0u32..).zip(groups) {
            for cpu in self.tasks.values::<group_stats>("groups", number)? {
                group.add_ended(&cpu.ended[kind.0 as usize]);
                if kind == ended::ENDED_DURING_VISIT {
                    group.add(&cpu);
                }
            }
            if kind == ended::ENDED_DURING_VISIT {
                group.blocked = self.sleeps(number)?;
            }
        }
        Ok(())
    }

    /// The sleeps of a group by reason.
    fn sleeps(&self, group: u32) -> Result<Vec<sample::Histogram>, Error> {
        let reasons = abi::reason::REASONS.0;
        let of_reason = |reason| {
            let mut sum = sample::Histogram::default();
            let cpus = self.tasks.values("sleeps", group * reasons + reason)?;
            cpus.iter().for_each(|cpu| sum.add(cpu));
            Ok(sum)
        };
        (0..reasons).map(of_reason).collect()
    }

    /// Passes until one adds nothing; returns the tasks added since the watch was loaded.
    fn assign_all(&self, processes: &mut HashSet<u32>) -> Result<u64, Error> {
        let mut assigned = self.assigned()?;
        for _ in 0..ASSIGN_PASSES {
            let now = tasks::assign(&self.tasks, processes)?;
            if now == assigned {
                break;
            }
            assigned = now;
        }
        Ok(assigned)
    }

    /// Tasks for which no storage could be made.
    fn lost_entries(&self) -> Result<u64, Error> {
        let per_cpu: Vec<losses> = self.tasks.values("losses", 0)?;
        Ok(per_cpu
            .iter()
            .map(|cpu| cpu.count[loss::LOSS_STORAGE.0 as usize])
            .sum())
    }

    fn assigned(&self) -> Result<u64, Error> {
        Ok(self.tasks.value::<abi::control>("control", 0)?.assigned)
    }
}

/// Runs a job in a thread of its own, or here and now where none can be started; what it returns can
/// be called for.
fn beside<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    job: impl Fn() -> T + Copy + Send + 'scope,
) -> impl FnOnce() -> T {
    let thread = thread::Builder::new().spawn_scoped(scope, job);
    let thread = thread.map_err(|_| job());
    move || match thread {
        Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
        Err(done) => done,
    }
}

fn load_creations(lists: &Loaded, groups: u32, rules: &[GroupRule]) -> Result<Loaded, Error> {
    let creations = Loaded::load(&creations::PROBE, Some(lists), groups)?;
    for (group, rule) in (0u32..).zip(rules) {
        creations
            .map("rules")
            .update(&group.to_ne_bytes(), abi::to_bytes(rule), MapFlags::ANY)
            .map_err(|source| creations.unreadable("rules", source))?;
    }
    Ok(creations)
}
