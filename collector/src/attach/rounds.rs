//! Looking again at what was not found, less and less.

use std::collections::HashMap;

/// What was not found is looked at again after 1, 2, 4 rounds and so on, up to this many.
const ROUNDS_MAX: u32 = 64;

/// Rounds of looking at tasks or processes, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    round: u32,
    /// By id, the round that it is looked at next, and how many were let pass before.
    due: HashMap<u32, (u32, u32)>,
}

impl Rounds {
    /// The next one.
    pub(crate) fn begin(&mut self) {
        self.round += 1;
        // One that was not asked for when it was due has ended; its id may come to be another's.
        self.due.retain(|_, (due, _)| *due >= self.round);
    }

    /// What `look` says of this id; false without a look if that is not due.
    pub(crate) fn find(&mut self, id: u32, look: impl FnOnce() -> bool) -> bool {
        let (round, passed) = self.due.get(&id).copied().unwrap_or((self.round, 0));
        if self.round < round {
            return false;
        }
        let is_found = look();
        if is_found {
            self.due.remove(&id);
        } else {
            let passed = (2 * passed).clamp(1, ROUNDS_MAX);
            self.due.insert(id, (self.round + passed, passed));
        }
        is_found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_found_is_looked_at_less_and_less() {
        let mut rounds = Rounds::default();
        let mut looked_at = Vec::new();
        for round in 1..=200 {
            rounds.begin();
            let look = || {
                looked_at.push(round);
                false
            };
            assert!(!rounds.find(7, look));
        }
        assert_eq!(looked_at, [1, 2, 4, 8, 16, 32, 64, 128, 192]);
        rounds.begin();
        assert!(rounds.find(8, || true));
    }
}
