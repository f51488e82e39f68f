//! Stacks of coroutines: how many there may be, and a few kept for the next ones.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use corosensei::stack::DefaultStack;

/// Stacks that a thread keeps for later, with what was touched of them.
const KEPT: usize = 64;
/// Mappings of a process that are not for stacks: heaps of the allocator, touched memory. Without
/// them the next allocation would end the process.
const OTHER_MAPPINGS: usize = 2048;
/// A stack and its guard page.
const MAPPINGS_PER_STACK: usize = 2;
/// The kernel's own limit on mappings, where it does not tell.
const DEFAULT_MAPPINGS: usize = 65_530;

/// How many stacks all threads together may have.
#[derive(Debug)]
pub(crate) struct Budget(AtomicUsize);

impl Budget {
    /// As many as this kernel allows.
    pub(crate) fn of_this_host() -> Self {
        let mappings = std::fs::read_to_string("/proc/sys/vm/max_map_count");
        let mappings = mappings.ok().and_then(|text| text.trim().parse().ok());
        Self::of_mappings(mappings.unwrap_or(DEFAULT_MAPPINGS))
    }

    fn of_mappings(mappings: usize) -> Self {
        let stacks = mappings.saturating_sub(OTHER_MAPPINGS) / MAPPINGS_PER_STACK;
        Self(AtomicUsize::new(stacks))
    }

    fn take(&self) -> bool {
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        taken.is_ok()
    }

    fn give_back(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A thread's stacks.
pub(crate) struct Stacks {
    bytes: usize,
    budget: Arc<Budget>,
    kept: Vec<DefaultStack>,
}

impl Stacks {
    /// Of so many bytes each.
    pub(crate) fn new(bytes: usize, budget: Arc<Budget>) -> Self {
        Self {
            bytes,
            budget,
            kept: Vec::new(),
        }
    }

    /// A stack that nobody uses.
    ///
    /// # Errors
    /// When there are too many, or there is no more address space.
    pub(crate) fn take(&mut self) -> io::Result<DefaultStack> {
        if let Some(stack) = self.kept.pop() {
            return Ok(stack);
        }
        if !self.budget.take() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let made = DefaultStack::new(self.bytes);
        if made.is_err() {
            self.budget.give_back();
        }
        made
    }

    /// Keeps a stack for the next coroutine, or frees it.
    pub(crate) fn give_back(&mut self, stack: DefaultStack) {
        if self.kept.len() < KEPT {
            self.kept.push(stack);
        } else {
            drop(stack);
            self.budget.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_kept_and_stacks_come_back() {
        let budget = Arc::new(Budget::of_mappings(OTHER_MAPPINGS + 2 * 100 + 1));
        let mut stacks = Stacks::new(64 << 10, budget);
        let mut taken: Vec<_> = (0..100).map(|_| stacks.take().expect("a stack")).collect();
        assert!(stacks.take().is_err());
        for stack in taken.drain(..) {
            stacks.give_back(stack);
        }
        assert_eq!(stacks.kept.len(), KEPT);
        let taken: Vec<_> = (0..100).map(|_| stacks.take().expect("a stack")).collect();
        assert!(stacks.take().is_err());
        drop(taken);
    }

    #[test]
    fn a_stack_that_cannot_be_mapped_is_an_error_and_costs_no_place() {
        let budget = Arc::new(Budget::of_mappings(OTHER_MAPPINGS + 2));
        let mut stacks = Stacks::new(1 << 50, budget.clone());
        assert!(stacks.take().is_err());
        assert!(Stacks::new(64 << 10, budget).take().is_ok());
    }
}
