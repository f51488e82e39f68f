//! What commands can see of the server that executes them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::store::Store;

/// What commands can see of the server.
pub(crate) struct Context<'a, L> {
    /// The shared key-value state.
    pub(crate) store: &'a Store<L>,
    /// Connections being served now, by all threads of this process (of all processes, unless they
    /// are counted apart).
    pub(crate) clients: &'a AtomicU32,
    /// What they are counted in by each process that serves some; `clients` is one of these.
    pub(crate) all_clients: &'a [AtomicU32],
    /// The most connections served at a time.
    pub(crate) max_clients: u32,
    /// The size of the state, in bytes: of `store`, and of what others have of it.
    pub(crate) state_bytes: usize,
    /// The model's name.
    pub(crate) model: &'static str,
    /// Whether `CRASH` does what it says.
    pub(crate) allow_crash: bool,
    /// The least CPU time that makes `WORK` a task to be done elsewhere ([`Outcome::Work`](super::Outcome::Work)).
    pub(crate) heavy_work: Duration,
}

impl<L> Context<'_, L> {
    /// Connections being served now, by all processes and threads.
    pub(crate) fn count_clients(&self) -> u32 {
        let counts = self.all_clients.iter();
        counts.map(|count| count.load(Ordering::SeqCst)).sum()
    }

    /// Whether this process has an eighth more connections than there are for each on average.
    pub(crate) fn has_more_than_its_share(&self) -> bool {
        let share = self.count_clients() / self.all_clients.len() as u32;
        self.clients.load(Ordering::SeqCst) > share + share / 8 + 1
    }

    /// Counts one more connection, unless as many as allowed are being served. Where several
    /// processes count, two that reach for the last place at once may both not get it, but never both
    /// do.
    pub(crate) fn enter(&self) -> bool {
        self.clients.fetch_add(1, Ordering::SeqCst);
        let allowed = self.count_clients() <= self.max_clients;
        if !allowed {
            self.leave();
        }
        allowed
    }

    /// Counts one connection less.
    pub(crate) fn leave(&self) {
        self.clients.fetch_sub(1, Ordering::SeqCst);
    }
}
