//! Threads beside an event loop that do its heavy work, first come, first served.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use mio::{Registry, Token, Waker};

use super::Name;
use crate::errors::in_words;
use crate::work::burn;

/// The threads, as their loop sees them. They end with the process.
pub(crate) struct Workers(Arc<Queues>);

struct Queues {
    /// Of which connections, and how much CPU time it takes.
    begun: Mutex<VecDeque<(Name, Duration)>>,
    /// Signalled when one was added to `begun`.
    added: Condvar,
    finished: Mutex<Vec<Name>>,
    /// Wakes the loop when there is something in `finished`.
    waker: Waker,
}

impl Workers {
    /// Starts so many threads; `token` is reported when work was finished.
    pub(super) fn start(
        registry: &Registry,
        token: Token,
        threads: usize,
        stack_bytes: usize,
    ) -> Result<Self> {
        let failed = |error| anyhow!("cannot start {threads} workers: {}", in_words(error));
        let queues = Arc::new(Queues {
            begun: Mutex::default(),
            added: Condvar::new(),
            finished: Mutex::default(),
            waker: Waker::new(registry, token).map_err(failed)?,
        });
        for _ in 0..threads {
            let queues = queues.clone();
            let thread = thread::Builder::new().stack_size(stack_bytes);
            thread.spawn(move || queues.work()).map_err(failed)?;
        }
        Ok(Self(queues))
    }

    /// Lets a thread do that much work for a connection.
    pub(super) fn begin(&self, connection: Name, cpu: Duration) {
        lock(&self.0.begun).push_back((connection, cpu));
        self.0.added.notify_one();
    }

    /// The connections whose work is finished, each once.
    pub(super) fn take_finished(&self) -> Vec<Name> {
        std::mem::take(&mut *lock(&self.0.finished))
    }
}

impl Queues {
    fn work(&self) {
        loop {
            let (connection, cpu) = self.next();
            burn(cpu);
            let mut finished = lock(&self.finished);
            finished.push(connection);
            // The loop takes all there are: whoever came first has woken it.
            if finished.len() == 1 {
                drop(finished);
                // Cannot fail: an eventfd takes any number of these.
                let _ = self.waker.wake();
            }
        }
    }

    fn next(&self) -> (Name, Duration) {
        let mut begun = lock(&self.begun);
        loop {
            match begun.pop_front() {
                Some(next) => return next,
                None => {
                    begun = self
                        .added
                        .wait(begun)
                        .unwrap_or_else(PoisonError::into_inner)
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
