//! How many threads a pool has, and what they do: taken hold of around a `WAIT`, not for a request.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::errors::in_words;

/// How long a thread that is not needed stands by before it ends.
const STAND_BY: Duration = Duration::from_secs(10);

/// The threads of a pool.
pub(super) struct Crew {
    /// The threads that are to be there for those who do not wait.
    workers: usize,
    /// The most threads in all.
    most: usize,
    stack_bytes: usize,
    /// What a thread does; set when the first one begins.
    work: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// Threads that neither wait nor stand by. Changed under the lock only.
    active: AtomicUsize,
    rest: Mutex<Rest>,
    /// Signalled when a thread that stands by is called.
    called: Condvar,
}

#[derive(Default)]
struct Rest {
    threads: usize,
    standing_by: usize,
    /// How many of those that stand by are to go on.
    called: usize,
}

impl Crew {
    /// A crew without threads.
    pub(super) fn new(workers: usize, most: usize, stack_bytes: usize) -> Self {
        Self {
            workers,
            most,
            stack_bytes,
            work: OnceLock::new(),
            active: AtomicUsize::new(0),
            rest: Mutex::default(),
            called: Condvar::new(),
        }
    }

    /// Starts the threads, which do `work`.
    ///
    /// # Errors
    /// When there are not so many to be had.
    pub(super) fn begin(&'static self, work: impl Fn() + Send + Sync + 'static) -> Result<()> {
        self.work.get_or_init(|| Box::new(work));
        let workers = self.workers;
        let failed = |error| anyhow!("cannot start {workers} workers: {}", in_words(error));
        for _ in 0..workers {
            self.start().map_err(failed)?;
            self.lock().threads += 1;
            self.active.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// This thread is about to wait: another takes its place if there are too few.
    pub(super) fn begin_wait(&'static self) {
        let mut rest = self.lock();
        let active = self.active.fetch_sub(1, Ordering::Relaxed) - 1;
        if active >= self.workers {
            return;
        }
        if rest.standing_by > rest.called {
            rest.called += 1;
            self.called.notify_one();
        } else if rest.threads < self.most && self.start().is_ok() {
            rest.threads += 1;
        } else {
            // Those that wait come back.
            return;
        }
        self.active.fetch_add(1, Ordering::Relaxed);
    }

    /// This thread has waited.
    pub(super) fn end_wait(&self) {
        let _rest = self.lock();
        self.active.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether this thread goes on to the next connection: it stands by while there are enough
    /// others, and ends if that takes long.
    pub(super) fn goes_on(&self) -> bool {
        if self.active.load(Ordering::Relaxed) <= self.workers {
            return true;
        }
        let mut rest = self.lock();
        if self.active.load(Ordering::Relaxed) <= self.workers {
            return true;
        }
        self.active.fetch_sub(1, Ordering::Relaxed);
        rest.standing_by += 1;
        let end = Instant::now() + STAND_BY;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if rest.called == 0 && left > Duration::ZERO {
                let waited = self.called.wait_timeout(rest, left);
                rest = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            rest.standing_by -= 1;
            if rest.called > 0 {
                // Counted as active by who called.
                rest.called -= 1;
                return true;
            }
            rest.threads -= 1;
            return false;
        }
    }

    fn start(&'static self) -> std::io::Result<()> {
        let thread = thread::Builder::new().stack_size(self.stack_bytes);
        let work = || self.work.get().map_or((), |work| work());
        thread.spawn(work).map(drop)
    }

    fn lock(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
