//! Calls of the C library that create tasks, as their caller sees them.

use crate::{
    abi::{call_kind, call_stats, wide},
    sample::Histogram,
};

/// What the caller asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// `fork`.
    Fork,
    /// `posix_spawn`, and `vfork`, which returns when the child has called `execve` or ended.
    Spawn,
    /// `pthread_create`.
    Thread,
    /// `clone`.
    Clone,
}

impl CallKind {
    /// All, in the order of the groups' entries.
    pub const ALL: [Self; call_kind::CALL_KINDS.0 as usize] =
        [Self::Fork, Self::Spawn, Self::Thread, Self::Clone];

    /// As reports name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Spawn => "spawn",
            Self::Thread => "thread",
            Self::Clone => "clone",
        }
    }

    pub(crate) fn in_kernel(self) -> call_kind {
        match self {
            Self::Fork => call_kind::CALL_FORK,
            Self::Spawn => call_kind::CALL_SPAWN,
            Self::Thread => call_kind::CALL_THREAD,
            Self::Clone => call_kind::CALL_CLONE,
        }
    }
}

/// Calls of one kind by the tasks of a group.
#[derive(Clone, Debug)]
pub struct Calls {
    /// What they asked for.
    pub kind: CallKind,
    /// From just after the probe at the entry to the probe at the return, of those that succeeded.
    pub latency: Histogram,
    /// Calls that failed; in no other figure.
    pub failed: u64,
    /// Sums over the samples of `latency`: what the caller's address space held at the call. Not
    /// read for threads.
    pub resident_pages: u64,
    /// Likewise.
    pub page_table_bytes: u64,
    /// Sum of the squares of the resident pages.
    pub pages_squared: u128,
    /// Sum of the products of resident pages and latency.
    pub pages_times_ns: u128,
    /// What the probes add to calls.
    pub instrument: Instrument,
}

/// What the probes add to a call: medians, of an empty function of our own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instrument {
    /// To its latency as measured: what a sample of `latency` is too long by.
    pub within_ns: u64,
    /// To its latency as the caller sees it.
    pub whole_ns: u64,
}

impl Instrument {
    /// Of so many calls as the caller timed them, before the programs were there and with them, and as
    /// those measured them; none if those measured nothing.
    pub(crate) fn measured(plain: Vec<u64>, whole: Vec<u64>, within: Vec<u64>) -> Option<Self> {
        let within_ns = median(within);
        (within_ns > 0).then(|| Self {
            within_ns,
            whole_ns: median(whole).saturating_sub(median(plain)),
        })
    }
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

impl Calls {
    pub(crate) fn new(kind: CallKind, stats: &call_stats, instrument: Instrument) -> Self {
        let mut latency = Histogram::default();
        latency.add(&stats.latency);
        Self {
            kind,
            latency,
            failed: stats.failed,
            resident_pages: stats.resident_pages,
            page_table_bytes: stats.page_table_bytes,
            pages_squared: sum(&stats.pages_squared),
            pages_times_ns: sum(&stats.pages_times_ns),
            instrument,
        }
    }
}

fn sum(wide: &wide) -> u128 {
    u128::from(wide.high) << 64 | u128::from(wide.low)
}
