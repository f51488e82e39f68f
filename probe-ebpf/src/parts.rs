//! The probes beside the three that every watch has: started side by side, given up one by one.

use crate::{
    Error, Options,
    cost::ProgramId,
    loader::Loaded,
    probes::{Context, Measure, PROBES, Part, Probe, timeline::Timeline},
    sample::{GroupSample, Loss, Unavailable, WindowTime},
    watch::Assignment,
};
use std::{
    collections::HashSet,
    mem,
    panic::resume_unwind,
    sync::{Arc, LazyLock},
    thread::{self, JoinHandle},
};

/// Those that work here, and what the others leave out.
pub(crate) struct Parts {
    working: Vec<(&'static Probe, Box<dyn Part>)>,
    unavailable: Vec<Unavailable>,
}

/// Parts that start while the caller goes on; whoever first looks at them waits.
pub(crate) type Starting = LazyLock<Parts, Box<dyn FnOnce() -> Parts + Send>>;

/// Started in a thread each. Dropped, it waits for them, so that none outlives the watch.
struct Threads(Vec<(&'static Probe, StartThread)>);
type StartThread = JoinHandle<Result<Box<dyn Part>, Error>>;

impl Parts {
    /// Starts them side by side; `owner` has the maps that all of them share.
    pub(crate) fn start(owner: &Arc<Loaded>, groups: u32, options: Options) -> Starting {
        let mut threads = Threads(Vec::new());
        let mut parts = Self {
            working: Vec::new(),
            unavailable: Vec::new(),
        };
        for &probe in PROBES {
            let Some(start) = probe.start else { continue };
            if options.only.is_some_and(|only| !only.contains(&probe.name)) {
                parts.unavailable.extend(left_out(probe, &"left out"));
                continue;
            }
            let owner = Arc::clone(owner);
            let thread = thread::Builder::new().spawn(move || {
                start(&Context {
                    owner: &owner,
                    groups,
                    options: &options,
                })
            });
            match thread {
                Ok(thread) => threads.0.push((probe, thread)),
                Err(error) => parts
                    .unavailable
                    .extend(left_out(probe, &format!("cannot start a thread: {error}"))),
            }
        }
        LazyLock::new(Box::new(move || parts.started(threads)))
    }

    fn started(mut self, mut threads: Threads) -> Self {
        let threads = mem::take(&mut threads.0).into_iter();
        // All of them, before a panic of one goes on here.
        let ended: Vec<_> = threads
            .map(|(probe, thread)| (probe, thread.join()))
            .collect();
        for (probe, started) in ended {
            match started.unwrap_or_else(|panic| resume_unwind(panic)) {
                Ok(part) => self.working.push((probe, part)),
                Err(error) => self.unavailable.extend(left_out(probe, &error)),
            }
        }
        self
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

    /// Gives a probe up that fails, one of these or one that was asked for beside them.
    pub(crate) fn give_up(&mut self, failed: &'static Probe, error: &Error) {
        self.working.retain(|(probe, _)| probe.name != failed.name);
        self.unavailable.extend(left_out(failed, error));
    }

    /// What cannot be measured, and why.
    pub(crate) fn unavailable(&self) -> &[Unavailable] {
        &self.unavailable
    }

    pub(crate) fn measures(&self) -> impl Iterator<Item = Measure> {
        self.working.iter().flat_map(|(_, part)| part.measures())
    }

    pub(crate) fn programs(&self) -> impl Iterator<Item = ProgramId> {
        let of_part = |(probe, part): &(&'static Probe, Box<dyn Part>)| {
            let ids = part.program_ids().into_iter();
            ids.map(|id| (id, probe.name)).collect::<Vec<_>>()
        };
        self.working.iter().flat_map(of_part)
    }

    /// The one that hands over what tasks do one by one, where it was asked for and works.
    pub(crate) fn timeline(&mut self) -> Option<&mut Timeline> {
        self.working
            .iter_mut()
            .find_map(|(_, part)| part.timeline())
    }

    pub(crate) fn windows(&self) -> Vec<WindowTime> {
        let windows = self.working.iter().map(|(_, part)| part.window());
        windows.flatten().collect()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        for (_, thread) in self.0.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Parts {
    /// Side by side, since each probe waits for all CPUs as it leaves the kernel.
    fn drop(&mut self) {
        thread::scope(|scope| {
            for (_, part) in self.working.drain(..) {
                // If there can be no thread, it leaves here.
                let _ = thread::Builder::new().spawn_scoped(scope, move || drop(part));
            }
        });
    }
}

fn left_out<'a, E: ToString>(
    probe: &'a Probe,
    error: &E,
) -> impl Iterator<Item = Unavailable> + use<'a, E> {
    let reason = error.to_string();
    probe.measures.iter().map(move |measure| Unavailable {
        measure: measure.name,
        reason: reason.clone(),
    })
}
