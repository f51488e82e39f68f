//! Stacks of the tasks of targets.

use super::Sampler;
use probe_ebpf::{
    Error,
    stack_sample::{StackOptions, TakenStacks},
};

/// One of their measures: they come and go together.
const STACKS: &str = "off_cpu_stacks";

impl Sampler {
    /// Loads what takes stacks, before the first reading: so its cost is counted with all others.
    ///
    /// # Errors
    /// If the kernel refuses it, with the remedy.
    pub fn load_stacks(&mut self, options: &StackOptions) -> Result<(), Error> {
        self.watch.load_stacks(options)
    }

    /// Takes stacks from now on.
    ///
    /// # Errors
    /// If the kernel refuses it, with the remedy.
    pub fn begin_stacks(&mut self) -> Result<(), Error> {
        self.watch.begin_stacks()
    }

    /// What was seen of them since the last time. None if they can be read no more, which are then
    /// [`unavailable`](Self::unavailable).
    pub fn take_stacks(&mut self) -> Option<TakenStacks> {
        self.watch.take_stacks()
    }

    /// Takes no more stacks; returns the rest. None likewise.
    pub fn end_stacks(&mut self) -> Option<TakenStacks> {
        self.watch.end_stacks()
    }

    /// Why none are taken any more.
    #[must_use]
    pub fn no_stacks(&self) -> Option<String> {
        self.why_not(STACKS)
    }

    /// Of each group of tasks, the number of the target and the role.
    #[must_use]
    pub fn groups(&self) -> Vec<(usize, &'static str)> {
        let targets = self.targets.iter().enumerate();
        targets
            .flat_map(|(number, target)| target.roles.names.iter().map(move |role| (number, *role)))
            .collect()
    }
}
