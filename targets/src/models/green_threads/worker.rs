//! A thread as others see it: where it takes new connections from.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::{Poll, Token, Waker};

/// What the events of new connections are named.
pub(crate) const INBOX: Token = Token(usize::MAX - 1);

/// The side of a thread that others see.
#[derive(Debug)]
pub(crate) struct Worker {
    inbox: Mutex<Vec<OwnedFd>>,
    waker: Waker,
    load: AtomicU32,
}

impl Worker {
    /// A worker, and what its thread is to make a scheduler of.
    ///
    /// # Errors
    /// When there is no descriptor for it.
    pub(crate) fn new() -> io::Result<(Poll, Arc<Self>)> {
        let poll = Poll::new()?;
        let worker = Self {
            inbox: Mutex::default(),
            waker: Waker::new(poll.registry(), INBOX)?,
            load: AtomicU32::new(0),
        };
        Ok((poll, Arc::new(worker)))
    }

    /// The connections that it serves or is to serve.
    pub(crate) fn load(&self) -> u32 {
        self.load.load(Ordering::Relaxed)
    }

    /// One connection less.
    pub(crate) fn leave(&self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }

    /// Makes it serve one more.
    pub(crate) fn give(&self, socket: OwnedFd) {
        self.load.fetch_add(1, Ordering::Relaxed);
        self.inbox().push(socket);
        // Fails only when the counter behind it is full of wake-ups.
        let _ = self.waker.wake();
    }

    /// What it was given and has not taken yet.
    pub(crate) fn take(&self) -> Vec<OwnedFd> {
        std::mem::take(&mut *self.inbox())
    }

    fn inbox(&self) -> MutexGuard<'_, Vec<OwnedFd>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
