//! Watching processes: the probes loaded together, and what they saw.

use crate::{
    Error,
    abi::{self, ended, group_stats, loss, losses},
    cost::{self, ProgramCost},
    loader::Loaded,
    probes::{self, creations, sched, tasks},
    sample::{self, GroupSample, Pending, Sample, TaskSample},
};
use libbpf_rs::{MapCore, MapFlags};
use std::{
    collections::{HashMap, HashSet},
    io,
};

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
}

/// Passes over all tasks until none is new. Each pass can miss only what a process not yet watched
/// created meanwhile, so more than a few mean that something forks without end.
const ASSIGN_PASSES: u32 = 16;

/// The probes, loaded; they leave the kernel when this is dropped.
pub struct Watch {
    tasks: Loaded,
    creations: Loaded,
    /// What it counts lies in maps that `tasks` owns.
    sched: Loaded,
    groups: u32,
    epoch: u64,
}

impl Watch {
    /// Loads the probes. Nothing is watched yet, and tasks not watched pay next to nothing.
    ///
    /// `rules` gives each group, by its number, the groups of its tasks' children.
    ///
    /// # Errors
    /// If a probe is refused, with the remedy.
    pub fn load(rules: &[GroupRule]) -> Result<Self, Error> {
        let groups = u32::try_from(rules.len()).unwrap_or(u32::MAX);
        let tasks = Loaded::load(&tasks::PROBE, None, groups)?;
        let creations = Loaded::load(&creations::PROBE, Some(&tasks), groups)?;
        for (group, rule) in (0u32..).zip(rules) {
            creations
                .map("rules")
                .update(&group.to_ne_bytes(), abi::to_bytes(rule), MapFlags::ANY)
                .map_err(|source| creations.unreadable("rules", source))?;
        }
        let sched = Loaded::load(&sched::PROBE, Some(&tasks), groups)?;
        Ok(Self {
            tasks,
            creations,
            sched,
            groups,
            epoch: 0,
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
        };
        let before = self.assigned()?;
        let lost_before = self.lost_entries()?;
        let map = self.tasks.map("assignments");
        let key = process.pid.to_ne_bytes();
        map.update(&key, abi::to_bytes(&groups), MapFlags::ANY)
            .map_err(|source| self.tasks.unreadable("assignments", source))?;
        let passes = self.assign_all();
        map.delete(&key)
            .map_err(|source| self.tasks.unreadable("assignments", source))?;
        match passes? - before {
            0 if self.lost_entries()? > lost_before => Err(Error::NoMemory { pid: process.pid }),
            0 => Err(Error::NoSuchProcess { pid: process.pid }),
            added => Ok(added),
        }
    }

    /// Reads everything, at one instant for each task.
    ///
    /// # Errors
    /// If the kernel refuses to read a map or to run the iterator.
    pub fn read(&mut self) -> Result<Sample, Error> {
        let mut groups = vec![GroupSample::default(); self.groups as usize];
        self.epoch += 1;
        tasks::begin_visit(&self.tasks, self.epoch)?;
        self.add_ended(&mut groups, ended::ENDED_SETTLED)?;
        let (at_ns, living) = tasks::read(&self.tasks)?;
        self.add_ended(&mut groups, ended::ENDED_DURING_VISIT)?;
        tasks::end_visit(&self.tasks)?;
        place(living, &mut groups);
        for (group, creation) in creations::read(&self.creations)? {
            if let Some(group) = groups.get_mut(group as usize) {
                group.creations.push(creation);
            }
        }
        let losses = sample::losses_from(&self.tasks.values("losses", 0)?);
        Ok(Sample {
            at_ns,
            groups,
            losses,
        })
    }

    /// What each program of ours has cost, as far as statistics were on.
    ///
    /// # Errors
    /// If the kernel does not list its programs.
    pub fn costs(&self) -> io::Result<Vec<ProgramCost>> {
        let loaded = [&self.tasks, &self.creations, &self.sched];
        let ids: Vec<u32> = loaded.into_iter().flat_map(Loaded::program_ids).collect();
        cost::of_programs(&ids)
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
        }
        Ok(())
    }

    /// Passes until one adds nothing; returns the tasks added since the watch was loaded.
    fn assign_all(&self) -> Result<u64, Error> {
        let mut assigned = self.assigned()?;
        for _ in 0..ASSIGN_PASSES {
            let now = tasks::assign(&self.tasks)?;
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

/// Programs that do nothing, on the hooks of the others: what entering a program costs here.
pub struct Baseline(Loaded);

impl Baseline {
    /// Loads them.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn load() -> Result<Self, Error> {
        Loaded::load(&probes::EMPTY, None, 1).map(Self)
    }

    /// What each has cost, as far as statistics were on.
    ///
    /// # Errors
    /// If the kernel does not list its programs.
    pub fn costs(&self) -> io::Result<Vec<ProgramCost>> {
        cost::of_programs(&self.0.program_ids())
    }
}

/// Gives each task to its group, and each address space to one task of it: the iterator tells only
/// neighbours apart, and processes may share one (vfork, CLONE_VM).
fn place(living: Vec<TaskSample>, groups: &mut [GroupSample]) {
    let mut pending = HashMap::<u64, Pending>::new();
    for task in living
        .iter()
        .filter(|task| task.pending != Pending::default())
    {
        pending
            .entry(task.address_space)
            .or_default()
            .add(&task.pending);
    }
    let (mut seen, mut neighbour) = (HashSet::new(), None);
    for mut task in living {
        let space = task.address_space;
        let first = neighbour.replace(space) != Some(space) && seen.insert(space);
        match &mut task.memory {
            Some(memory) if first => memory.add(pending.get(&space).unwrap_or(&Pending::default())),
            _ => task.memory = None,
        }
        if let Some(group) = groups.get_mut(task.group as usize) {
            group.tasks.push(task);
        }
    }
}
