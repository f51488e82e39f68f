//! Readings that wait to be sent. Where there is no room for one more, the oldest goes, and is counted: of sums that go on,
//! the newest tells most.

use crate::export::metrics::host::Pushed;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One request's body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) body: Vec<u8>,
    pub(super) is_gzip: bool,
}

/// What waits, and what has become of the rest.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Reading>,
    /// How many may wait.
    room: usize,
    /// Taken, and neither sent nor given back yet.
    on_their_way: u64,
    /// Who may take: of several senders the last one.
    generation: u64,
    /// Nothing more comes; what fails is not tried again.
    ends: bool,
    /// So nobody takes what still waits.
    given_up: bool,
    pushed: Pushed,
}

impl State {
    fn drop_oldest(&mut self) {
        while self.waiting.len() > self.room {
            self.waiting.pop_front();
            self.pushed.dropped += 1;
        }
    }
}

impl Queue {
    /// Of who is to take from now on; nobody can until it is [open](Self::open) for them.
    pub(super) fn next_generation(&self) -> u64 {
        self.state().generation + 1
    }

    /// Those of that generation take from now on, and so many may wait.
    pub(super) fn open(&self, generation: u64, room: usize) {
        let mut state = self.state();
        state.generation = generation;
        state.room = room;
        state.drop_oldest();
        self.changed.notify_all();
    }

    /// Nobody takes any more, and nothing waits.
    pub(super) fn close(&self) {
        let generation = self.next_generation();
        self.open(generation, 0);
    }

    pub(super) fn put(&self, reading: Reading) {
        let mut state = self.state();
        state.waiting.push_back(reading);
        state.drop_oldest();
        self.changed.notify_all();
    }

    /// The oldest, as soon as there is one and that time has come; none when there is nothing more to do. What was taken
    /// is to be said of: [`sent`](Self::sent), [`refused`](Self::refused) or to be sent [`again`](Self::again).
    pub(super) fn take(&self, generation: u64, not_before: Option<Instant>) -> Option<Reading> {
        let mut state = self.state();
        loop {
            if state.generation > generation {
                return None;
            }
            if state.ends && (state.waiting.is_empty() || not_before.is_some()) {
                state.given_up = true;
                self.changed.notify_all();
                return None;
            }
            let rest = not_before.map(|it| it.saturating_duration_since(Instant::now()));
            let rest = rest.filter(|rest| !rest.is_zero());
            state = match rest {
                None if state.generation == generation && !state.waiting.is_empty() => {
                    state.on_their_way += 1;
                    return state.waiting.pop_front();
                }
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(rest) => {
                    let waited = self.changed.wait_timeout(state, rest);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    pub(super) fn sent(&self, rejected_points: u64) {
        let mut state = self.state();
        state.pushed.sent += 1;
        state.pushed.rejected_points += rejected_points;
        self.arrived(state);
    }

    pub(super) fn refused(&self) {
        let mut state = self.state();
        state.pushed.refused += 1;
        self.arrived(state);
    }

    /// It is the oldest still.
    pub(super) fn again(&self, reading: Reading) {
        let mut state = self.state();
        state.waiting.push_front(reading);
        state.drop_oldest();
        self.arrived(state);
    }

    fn arrived(&self, mut state: MutexGuard<'_, State>) {
        state.on_their_way -= 1;
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until all is sent, for so long at most; or until something could not be.
    pub(super) fn finish(&self, time: Duration) {
        let mut state = self.state();
        state.ends = true;
        self.changed.notify_all();
        let end = Instant::now() + time;
        while !state.given_up && (!state.waiting.is_empty() || state.on_their_way > 0) {
            let rest = end.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(state, rest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What has become of all that was put in.
    pub(super) fn pushed(&self) -> Pushed {
        let state = self.state();
        Pushed {
            waiting: state.waiting.len() as u64 + state.on_their_way,
            ..state.pushed
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
