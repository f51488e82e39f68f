//! Stacks, taken for a part of a watch.

use super::{keeping::Keeping, output::say};
use crate::{
    clock::now_ns,
    record::Entry,
    sample::Sampler,
    snapshot::{
        Snapshot,
        stacks::{Books, Stacks},
    },
    stacks::Gathering,
};
use anyhow::Result;
use probe_ebpf::stack_sample::StackOptions;
use rustix::time::ClockId;
use std::time::{Duration, Instant};

/// How often they are read: processes that have ended since may have no names for their functions.
const READ: Duration = Duration::from_secs(1);
/// How often they are kept: what was seen since is lost if we are killed.
const KEEP: Duration = Duration::from_secs(5);

/// Stacks being taken.
pub(super) struct TakingStacks {
    gathering: Gathering,
    before: Books,
    /// For so long.
    time: Duration,
    begun: Instant,
    read: Instant,
    kept: Instant,
}

impl TakingStacks {
    /// What is loaded for it.
    pub(super) fn options() -> StackOptions {
        StackOptions::default()
    }

    /// Begins to take them; returns the snapshots of that moment too.
    pub(super) fn begin(sampler: &mut Sampler, time: Duration) -> Result<(Vec<Snapshot>, Self)> {
        sampler.begin_stacks()?;
        let first = sampler.read()?;
        let tasks = first.iter().flat_map(|snapshot| &snapshot.roles);
        let tasks = tasks.flat_map(|role| &role.tasks);
        let leaders = tasks.filter(|task| task.pid == task.tid);
        let now = Instant::now();
        let taking = Self {
            gathering: Gathering::begin(
                Self::options(),
                sampler.groups(),
                leaders.map(|task| task.pid),
                first.first().map_or(0, |snapshot| snapshot.at_ns),
            ),
            before: Books::of(&first),
            time,
            begun: now,
            read: now,
            kept: now,
        };
        Ok((first, taking))
    }

    /// Does what is due; whether there is more to come.
    ///
    /// # Errors
    /// If the watch itself cannot be read.
    pub(super) fn step(
        &mut self,
        sampler: &mut Sampler,
        keeping: &mut Keeping,
        quiet: bool,
    ) -> Result<bool> {
        if self.begun.elapsed() >= self.time {
            if self.end(sampler, keeping, quiet)? && !quiet {
                say(&format!(
                    "stacks were taken for {:.1?}; the rest is watched without",
                    self.begun.elapsed()
                ));
            }
            return Ok(false);
        }
        if self.read.elapsed() >= READ {
            self.read = Instant::now();
            match sampler.take_stacks() {
                Some(taken) => self.gathering.take(taken),
                None => {
                    self.break_off(sampler, keeping, quiet);
                    return Ok(false);
                }
            }
        }
        if self.kept.elapsed() >= KEEP {
            self.kept = Instant::now();
            self.keep(keeping);
        }
        Ok(true)
    }

    /// Takes no more of them; whether all could be read.
    ///
    /// # Errors
    /// If the watch itself cannot be read.
    pub(super) fn end(
        &mut self,
        sampler: &mut Sampler,
        keeping: &mut Keeping,
        quiet: bool,
    ) -> Result<bool> {
        let Some(rest) = sampler.end_stacks() else {
            self.break_off(sampler, keeping, quiet);
            return Ok(false);
        };
        // At once: books and stacks are of the same time.
        let last = sampler.read()?;
        self.gathering.take(rest);
        let until = last.first().map_or(0, |snapshot| snapshot.at_ns);
        let stacks = Stacks {
            books: Some(Books::of(&last).since(&self.before)),
            ..self.gathering.chunk(until)
        };
        keeping.take(Entry::Stacks(Box::new(stacks)));
        Ok(true)
    }

    /// Keeps those that there are of stacks that can be read no more; the watch goes on.
    fn break_off(&mut self, sampler: &Sampler, keeping: &mut Keeping, quiet: bool) {
        self.keep(keeping);
        if !quiet {
            say(&format!(
                "no more stacks are taken: {}; the rest is watched without",
                sampler.no_stacks().unwrap_or_default()
            ));
        }
    }

    fn keep(&mut self, keeping: &mut Keeping) {
        let until = now_ns(ClockId::Monotonic);
        keeping.take(Entry::Stacks(Box::new(self.gathering.chunk(until))));
    }
}
