//! What the threads of a load have in common: one time, one end, and whether to go on.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::cli::Load;

/// How long answers are waited for when the load has ended.
const DRAIN_NS: u64 = 1_000_000_000;

/// Nanoseconds since a moment: the time of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Time 0 is now.
    fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since time 0.
    pub(crate) fn now_ns(self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// Times are in nanoseconds of the run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Of all threads.
    pub(crate) clock: Clock,
    /// When the measured window opens.
    pub(crate) opens_ns: u64,
    /// When it closes.
    pub(crate) closes_ns: u64,
    /// Until when answers are waited for; `u64::MAX` while there is load.
    drained_ns: AtomicU64,
    /// Connections that work.
    alive: AtomicUsize,
    /// Of each thread.
    progress: Vec<Progress>,
    /// Why the run is to end early.
    stopped: OnceLock<String>,
}

/// When something was last answered, or first sent: on a cache line of its own, since its thread
/// writes it at each answer.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Progress(AtomicU64);

impl Plan {
    /// Of a run that begins now.
    pub(crate) fn new(options: &Load, connections: usize) -> Self {
        let opens_ns = nanoseconds(options.warm_up);
        Self {
            clock: Clock::start(),
            opens_ns,
            closes_ns: opens_ns + nanoseconds(options.duration),
            drained_ns: AtomicU64::new(u64::MAX),
            alive: AtomicUsize::new(connections),
            progress: (0..options.threads).map(|_| Progress::default()).collect(),
            stopped: OnceLock::new(),
        }
    }

    /// No more load from `now` on, if that was not said before.
    pub(crate) fn drain(&self, now: u64) {
        self.drained_ns.fetch_min(now + DRAIN_NS, Ordering::Relaxed);
    }

    /// Until when answers are waited for; `None` while there is load.
    pub(crate) fn drained_ns(&self) -> Option<u64> {
        let until = self.drained_ns.load(Ordering::Relaxed);
        (until < u64::MAX).then_some(until)
    }

    /// A connection was lost.
    pub(crate) fn lose(&self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether no connection works any more, of any thread.
    pub(crate) fn has_lost_all(&self) -> bool {
        self.alive.load(Ordering::Relaxed) == 0
    }

    /// Something was answered to `thread`, or first sent.
    pub(crate) fn progress(&self, thread: usize, now: u64) {
        self.progress[thread].0.store(now, Ordering::Relaxed);
    }

    /// When that was last so for `thread`.
    pub(crate) fn last_progress(&self, thread: usize) -> u64 {
        self.progress[thread].0.load(Ordering::Relaxed)
    }

    /// When that was last so for any.
    pub(crate) fn last_progress_of_all(&self) -> u64 {
        let threads = 0..self.progress.len();
        threads
            .map(|thread| self.last_progress(thread))
            .max()
            .unwrap_or(0)
    }

    /// Ends the run early; the first reason counts.
    pub(crate) fn stop(&self, reason: String) {
        // There is one already: what followed from it does not matter.
        let _ = self.stopped.set(reason);
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.stopped.get().cloned().map_or(Ok(()), Err)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}
