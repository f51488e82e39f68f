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
    /// On the connection's core.
    Here,
    /// There as well, but not before the replies to all requests before it.
    HereInTurn,
    /// On that other core.
    At(u16),
    /// There as well, but not before the replies to all requests before it: it may wait.
    AtInTurn(u16),
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

    /// The core that `key` belongs to.
    pub(super) fn core_of(&self, key: &[u8]) -> u16 {
        (self.hasher.hash_one(key) % self.owners) as u16
    }

    /// Where core `own` has a request of its connection executed.
    pub(super) fn place(&self, request: Request<'_>, own: u16) -> Place {
        if request.len() < 2 {
            let quits = request.len() == 1 && is(request, b"QUIT");
            return if quits {
                Place::HereInTurn
            } else {
                Place::Here
            };
        }
        let has_key = match request.len() {
            2 => is(request, b"GET") || is(request, b"INCR") || is(request, b"DEL"),
            3 => is(request, b"SET") || is(request, b"DEL"),
            _ => is(request, b"DEL"),
        };
        if has_key {
            let core = self.core_of(request.argument(1));
            if is(request, b"DEL") && request.operands().any(|key| self.core_of(key) != core) {
                return Place::Many;
            }
            return if core == own {
                Place::Here
            } else {
                Place::At(core)
            };
        }
        if request.len() == 3 && is(request, b"BOOK") {
            let core = self.core_of(&key_of_seat(request.argument(1)));
            return if core == own {
                Place::HereInTurn
            } else {
                Place::AtInTurn(core)
            };
        }
        let in_turn: [&[u8]; 4] = [b"WAIT", b"WORK", b"TOUCH", b"QUIT"];
        if in_turn.iter().any(|name| is(request, name)) {
            Place::HereInTurn
        } else {
            Place::Here
        }
    }
}

fn is(request: Request<'_>, name: &[u8]) -> bool {
    request.argument(0).eq_ignore_ascii_case(name)
}
