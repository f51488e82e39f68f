//! The one list of probes.

/// An object file compiled by the build script, aligned as ELF wants it.
macro_rules! object {
    ($name:literal) => {
        aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/", $name, ".bpf.o"))
    };
}

pub mod creations;
pub mod sched;
pub mod tasks;

use crate::{Error, loader::Loaded};

/// A probe: one object of BPF programs, and the measures it yields.
#[derive(Debug)]
pub struct Probe {
    /// Its name: that of its file in `bpf/`.
    pub name: &'static str,
    /// The compiled object.
    pub(crate) object: &'static [u8],
    /// The hooks its programs run on.
    pub hooks: &'static [&'static str],
    /// The main job cannot run without it.
    pub essential: bool,
    /// What it measures.
    pub measures: &'static [Measure],
}

/// A measure, and how a probe takes it.
#[derive(Debug)]
pub struct Measure {
    /// Its name in reports, such as `run_queue_wait`.
    pub name: &'static str,
    /// The method, as a report names it.
    pub method: &'static str,
}

impl Probe {
    /// Loads and attaches the probe, alone and for a moment.
    ///
    /// # Errors
    /// Why the kernel refuses it, with the remedy.
    pub fn check(&'static self) -> Result<(), Error> {
        Loaded::load(self, None, 1).map(drop)
    }
}

/// All probes, in the order they are loaded: the first one makes the maps that the others share.
pub static PROBES: [&Probe; 3] = [&tasks::PROBE, &creations::PROBE, &sched::PROBE];

/// Not a probe: what the kernel's verifier refuses, to see what users are then told.
#[doc(hidden)]
pub static REFUSED: Probe = Probe {
    name: "refused",
    object: object!("refused"),
    hooks: &[],
    essential: false,
    measures: &[],
};

/// Not a probe: nothing, on the same hooks. It is what the others are measured against.
pub(crate) static EMPTY: Probe = Probe {
    name: "empty",
    object: object!("empty"),
    hooks: &[],
    essential: false,
    measures: &[],
};
