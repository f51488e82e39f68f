//! Stacks of what is watched, for a part of the time.

use super::Watch;
use crate::{
    Error,
    probes::stacks::{self, Stacks},
    stack_sample::{StackOptions, TakenStacks},
};
use std::sync::LazyLock;

impl Watch {
    /// Loads the programs that take stacks, which do nothing yet. Before the first reading, so that their cost is
    /// counted with that of the others.
    ///
    /// # Errors
    /// If the kernel refuses them, with the remedy.
    pub fn load_stacks(&mut self, options: &StackOptions) -> Result<(), Error> {
        self.stacks = Some(Stacks::load(&self.tasks, self.groups, options)?);
        Ok(())
    }

    /// Takes stacks from now on, of all that is watched.
    ///
    /// # Errors
    /// If they were not loaded, or the kernel refuses to attach them.
    pub fn begin_stacks(&mut self) -> Result<(), Error> {
        self.loaded_stacks()?.begin()
    }

    /// What was seen since the last call. It is one call late: what programs may still be counting comes with
    /// the next. None if it cannot be read: no more stacks are taken then, and the rest go on;
    /// [`unavailable`](Self::unavailable) says why.
    pub fn take_stacks(&mut self) -> Option<TakenStacks> {
        let taken = self.stacks.as_mut()?.take();
        self.given_up_on_error(taken)
    }

    /// Takes no more stacks; returns all that was not returned yet, the sleeps that go on included. None likewise.
    pub fn end_stacks(&mut self) -> Option<TakenStacks> {
        let rest = self.stacks.as_mut()?.end();
        self.given_up_on_error(rest)
    }

    /// Tasks have come to the watch.
    pub(super) fn added_to_stacks(&mut self) {
        let added = self.stacks.as_ref().map_or(Ok(()), Stacks::added);
        self.given_up_on_error(added);
    }

    fn given_up_on_error<T>(&mut self, done: Result<T, Error>) -> Option<T> {
        done.map_err(|error| {
            self.stacks = None;
            LazyLock::force_mut(&mut self.parts).give_up(&stacks::PROBE, &error);
        })
        .ok()
    }

    fn loaded_stacks(&mut self) -> Result<&mut Stacks, Error> {
        self.stacks.as_mut().ok_or_else(|| Error::Unsupported {
            probe: stacks::PROBE.name,
            reason: "it was not loaded".into(),
        })
    }
}
