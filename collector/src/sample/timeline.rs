//! Timelines: what tasks do one by one, as plain data.

use super::Sampler;
use crate::clock::now_ns;
use crate::snapshot::timeline::{Begun, Events, Task};
use probe_ebpf::{Error, sample::timeline};
use rustix::time::ClockId;
use std::sync::Arc;

/// Its name among the measures.
const MEASURE: &str = "timeline";

impl Sampler {
    /// Begins a timeline; none where there can be none, which is then [`unavailable`](Self::unavailable).
    ///
    /// # Errors
    /// If the kernel refuses to attach a program.
    pub fn begin_timeline(&mut self) -> Result<Option<Begun>, Error> {
        let Some(timeline) = self.watch.timeline() else {
            return Ok(None);
        };
        timeline.begin()?;
        Ok(Some(Begun {
            at_ns: now_ns(ClockId::Monotonic),
            boottime_ns: now_ns(ClockId::Boottime),
            realtime_ns: now_ns(ClockId::Realtime),
        }))
    }

    /// Why there can be none, or no more.
    #[must_use]
    pub fn no_timeline(&self) -> Option<String> {
        self.why_not(MEASURE)
    }

    /// What was done since the last time. There is room for the switches of a fraction of a second. None if it can be
    /// read no more, and is then [`unavailable`](Self::unavailable).
    pub fn timeline_events(&mut self) -> Option<Events> {
        let taken = self.watch.take_timeline()?;
        let tasks = taken.tasks.into_iter().map(|task| self.named(task));
        Some(Events {
            tasks: tasks.collect(),
            standing: taken.standing,
            switches: taken.switches,
            creations: taken.creations,
            shootdowns: taken.shootdowns,
        })
    }

    /// What tasks are at that have not switched yet will be among the next events.
    pub fn look_for_timeline(&mut self) {
        if let Some(timeline) = self.watch.timeline() {
            timeline.look();
        }
    }

    /// Ends the timeline; what was done until now is still to be taken.
    pub fn end_timeline(&mut self) {
        if let Some(timeline) = self.watch.timeline() {
            timeline.end();
        }
    }

    /// A task with its target and its role.
    fn named(&self, task: timeline::Task) -> Task {
        let target = self.targets.iter().position(|it| it.has(task.group));
        let target = target.unwrap_or_default();
        let role = self.targets.get(target).and_then(|it| {
            let place = (task.group as usize).checked_sub(it.first_group)?;
            it.roles.names.get(place)
        });
        Task {
            number: task.number,
            pid: task.pid,
            tid: task.tid,
            started_ns: task.started_ns,
            target: target as u32,
            role: Arc::from(*role.unwrap_or(&"")),
            comm: task.comm,
        }
    }
}
