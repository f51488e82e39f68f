//! The connections that the threads of a server serve: counted, and ended together.

use std::collections::HashSet;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::{Shutdown, shutdown};

use crate::serve::DRAIN;

/// Connections being served. Taken hold of when one begins or ends, never for a request.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    count: AtomicU32,
    stopping: AtomicBool,
    descriptors: Mutex<HashSet<RawFd>>,
    /// Signalled when a connection has ended while stopping.
    ended: Condvar,
}

impl Connections {
    /// How many there are, for `INFO`.
    pub(crate) fn count(&self) -> &AtomicU32 {
        &self.count
    }

    /// Set once the server was asked to end: requests already read are to be answered, and nothing
    /// more is to be read.
    pub(crate) fn stopping(&self) -> &AtomicBool {
        &self.stopping
    }

    /// Counts a connection in. Whether there is a place for it among `most`.
    pub(crate) fn begin(&self, connection: &impl AsRawFd, most: u32) -> bool {
        let mut descriptors = self.lock();
        if descriptors.len() >= most as usize {
            return false;
        }
        descriptors.insert(connection.as_raw_fd());
        self.count.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Forgets a connection; to be called before its descriptor is closed and may be used again.
    pub(crate) fn forget(&self, connection: &impl AsRawFd) {
        self.lock().remove(&connection.as_raw_fd());
        self.count.fetch_sub(1, Ordering::Relaxed);
        if self.stopping.load(Ordering::Relaxed) {
            self.ended.notify_one();
        }
    }

    /// Ends all reads, those that wait and those to come, and waits for the connections to end, at
    /// most for [`DRAIN`].
    pub(crate) fn end(&self) {
        let deadline = Instant::now() + DRAIN;
        self.stopping.store(true, Ordering::Relaxed);
        let mut descriptors = self.lock();
        for &descriptor in descriptors.iter() {
            // SAFETY: a connection is forgotten, under the lock held here, before its descriptor is
            // closed.
            let connection = unsafe { BorrowedFd::borrow_raw(descriptor) };
            let _ = shutdown(connection, Shutdown::Read);
        }
        while !descriptors.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return;
            }
            let waited = self.ended.wait_timeout(descriptors, left);
            descriptors = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<RawFd>> {
        self.descriptors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
