//! The probes beside the three that every watch has: started side by side, given up one by one.

use crate::{
    Error,
    probes::{Context, Measure, PROBES, Part, Probe},
    sample::{GroupSample, Loss, Unavailable, WindowTime},
    watch::Assignment,
};
use std::{collections::HashSet, panic::resume_unwind, thread};

/// Those that work here, and what the others leave out.
pub(crate) struct Parts {
    working: Vec<(&'static Probe, Box<dyn Part>)>,
    unavailable: Vec<Unavailable>,
}

impl Parts {
    pub(crate) fn start(context: &Context<'_>) -> Self {
        let (mut working, mut unavailable) = (Vec::new(), Vec::new());
        let starts = PROBES
            .iter()
            .filter_map(|&probe| Some((probe, probe.start?)));
        thread::scope(|scope| {
            let started: Vec<_> = starts
                .map(|(probe, start)| (probe, scope.spawn(move || start(context))))
                .collect();
            for (probe, start) in started {
                match joined(start) {
                    Ok(part) => working.push((probe, part)),
                    Err(error) => unavailable.extend(left_out(probe, &error)),
                }
            }
        });
        Self {
            working,
            unavailable,
        }
    }

    /// A process is watched from now on, it and its descendants.
    pub(crate) fn added(&mut self, process: &Assignment, with_descendants: &HashSet<u32>) {
        for (_, part) in &mut self.working {
            self.unavailable
                .extend(part.added(process, with_descendants));
        }
    }

    /// Adds what they have seen; one that cannot be read any more is given up, and the rest go on.
    pub(crate) fn read(&mut self, groups: &mut [GroupSample], losses: &mut Vec<Loss>) {
        let unavailable = &mut self.unavailable;
        self.working
            .retain_mut(|(probe, part)| match part.read(groups) {
                Ok(lost) => {
                    losses.extend(lost);
                    true
                }
                Err(error) => {
                    unavailable.extend(left_out(probe, &error));
                    false
                }
            });
    }

    /// What cannot be measured, and why.
    pub(crate) fn unavailable(&self) -> &[Unavailable] {
        &self.unavailable
    }

    pub(crate) fn measures(&self) -> impl Iterator<Item = Measure> {
        self.working.iter().flat_map(|(_, part)| part.measures())
    }

    pub(crate) fn program_ids(&self) -> impl Iterator<Item = u32> {
        self.working.iter().flat_map(|(_, part)| part.program_ids())
    }

    pub(crate) fn windows(&self) -> Vec<WindowTime> {
        let windows = self.working.iter().map(|(_, part)| part.window());
        windows.flatten().collect()
    }
}

impl Drop for Parts {
    /// Side by side, since each probe waits for all CPUs as it leaves the kernel.
    fn drop(&mut self) {
        thread::scope(|scope| {
            for (_, part) in self.working.drain(..) {
                scope.spawn(move || drop(part));
            }
        });
    }
}

/// What a thread returned; its panic goes on here.
pub(crate) fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

fn left_out<'a>(probe: &'a Probe, error: &Error) -> impl Iterator<Item = Unavailable> + use<'a> {
    let reason = error.to_string();
    probe.measures.iter().map(move |measure| Unavailable {
        measure: measure.name,
        reason: reason.clone(),
    })
}
