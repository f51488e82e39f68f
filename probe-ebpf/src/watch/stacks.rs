//! Stacks of what is watched, for a part of the time.

use super::Watch;
use crate::{
    Error,
    probes::stacks::{self, Stacks},
    stack_sample::{StackOptions, TakenStacks},
};

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
    /// the next.
    ///
    /// # Errors
    /// If the kernel refuses to be read.
    pub fn take_stacks(&mut self) -> Result<TakenStacks, Error> {
        self.loaded_stacks()?.take()
    }

    /// Takes no more stacks; returns all that was not returned yet, the sleeps that go on included.
    ///
    /// # Errors
    /// If the kernel refuses to be read.
    pub fn end_stacks(&mut self) -> Result<TakenStacks, Error> {
        self.loaded_stacks()?.end()
    }

    fn loaded_stacks(&mut self) -> Result<&mut Stacks, Error> {
        self.stacks.as_mut().ok_or_else(|| Error::Unsupported {
            probe: stacks::PROBE.name,
            reason: "it was not loaded".into(),
        })
    }
}
