//! Which core a request belongs to.

use std::hash::{BuildHasher, RandomState};

use crate::protocol::Request;
use crate::work::key_of_seat;

/// Tells the core of each key.
#[derive(Clone)]
pub(super) struct Routes {
    hasher: RandomState,
    /// The cores that have keys: the first so many.
    owners: u64,
}

/// Where a request is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On one core.
    One {
        /// The one that has its key; without a key, the connection's.
        core: Option<u16>,
        /// Not before the replies to all requests before it: it may wait.
        in_turn: bool,
    },
    /// On several cores: it has many keys.
    Many,
}

impl Routes {
    /// Routes to so many cores.
    pub(super) fn new(owners: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            owners: owners as u64,
        }
    }

    /// How many cores have keys.
    pub(super) fn owners(&self) -> usize {
        self.owners as usize
    }

    /// The core that `key` belongs to.
    pub(super) fn core_of(&self, key: &[u8]) -> u16 {
        (self.hasher.hash_one(key) % self.owners) as u16
    }

    /// Where a request is executed.
    pub(super) fn place(&self, request: Request<'_>) -> Place {
        let has_key = match request.len() {
            0 | 1 => false,
            2 => is(request, b"GET") || is(request, b"INCR") || is(request, b"DEL"),
            3 => is(request, b"SET") || is(request, b"DEL"),
            _ => is(request, b"DEL"),
        };
        if has_key {
            let core = self.core_of(request.argument(1));
            if is(request, b"DEL") && request.operands().any(|key| self.core_of(key) != core) {
                return Place::Many;
            }
            return Place::One {
                core: Some(core),
                in_turn: false,
            };
        }
        if request.len() == 3 && is(request, b"BOOK") {
            return Place::One {
                core: Some(self.core_of(&key_of_seat(request.argument(1)))),
                in_turn: true,
            };
        }
        let in_turn: &[&[u8]] = match request.len() {
            0 => &[],
            1 => &[b"QUIT"],
            _ => &[b"WAIT", b"WORK", b"TOUCH", b"QUIT"],
        };
        Place::One {
            core: None,
            in_turn: in_turn.iter().any(|name| is(request, name)),
        }
    }
}

fn is(request: Request<'_>, name: &[u8]) -> bool {
    request.argument(0).eq_ignore_ascii_case(name)
}
