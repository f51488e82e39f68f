//! What entering a program costs here, to set the cost of ours against.

use crate::{
    Error,
    cost::{self, ProgramCost},
    loader::Loaded,
    probes,
};
use std::io;

/// Programs that do nothing, on the hooks of the others: what entering a program costs here.
pub struct Baseline(Loaded);

impl Baseline {
    /// Loads them.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn load() -> Result<Self, Error> {
        Loaded::load(&probes::EMPTY, None, 1).map(Self)
    }

    /// What each has cost, as far as statistics were on.
    ///
    /// # Errors
    /// If the kernel does not list its programs.
    pub fn costs(&self) -> io::Result<Vec<ProgramCost>> {
        cost::of_programs(&self.0.programs())
    }
}
