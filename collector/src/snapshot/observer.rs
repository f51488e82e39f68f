//! What our programs and maps cost the host.

use serde::{Deserialize, Serialize};

/// A BPF program of ours and what it has cost, cumulative.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its name in the kernel.
    pub name: String,
    /// The probe it belongs to; empty in older records.
    #[serde(default)]
    pub probe: String,
    /// Times it ran.
    pub runs: u64,
    /// Time it took, in all.
    pub run_ns: u64,
}

/// For how long the kernel kept statistics of programs for us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Time they were on.
    pub on_ns: u64,
    /// Samples in which we had them switched on; none where they were on always.
    pub samples: u64,
}

/// A map of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// Its name in the kernel.
    pub name: String,
    /// Its memory, as the kernel accounts it; none where the kernel does not say.
    pub bytes: Option<u64>,
}
