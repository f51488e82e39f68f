//! When what is due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Things by when they are due.
pub(crate) struct Timers<T>(BinaryHeap<Reverse<(Instant, T)>>);

impl<T: Ord> Default for Timers<T> {
    fn default() -> Self {
        Self(BinaryHeap::new())
    }
}

impl<T: Ord + Copy> Timers<T> {
    pub(crate) fn push(&mut self, at: Instant, what: T) {
        self.0.push(Reverse((at, what)));
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes out one that is due at `now`, if there is any.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<T> {
        let &Reverse((at, what)) = self.0.peek()?;
        (at <= now).then(|| {
            self.0.pop();
            what
        })
    }
}
