//! Changes of address space, and flushes of the TLB.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::distribution::Distribution;
use super::error::{Problem, growth};
use super::histogram::Samples;
use crate::snapshot::{self, FLUSH_REASONS};

/// What happened to the TLB of a group of tasks in a window, or in several.
#[derive(Clone, Debug, Default)]
pub(super) struct TlbWindow {
    kept: u64,
    flushed: u64,
    flushes: [Flushes; FLUSH_REASONS.len()],
    kept_time: Samples,
    flushed_time: Samples,
}

/// Switches to tasks from another address space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddressSpaceSwitches {
    /// The entries of the new address space were still valid.
    pub tlb_kept: u64,
    /// They were gone.
    pub tlb_flushed: u64,
    /// From the switch to the new address space being in place, entries kept: a sample of the
    /// switches away from the tasks.
    pub tlb_kept_time: Distribution,
    /// The same, entries gone.
    pub tlb_flushed_time: Distribution,
    /// How they were counted.
    pub method: String,
}

/// Flushes of the TLB other than by a switch of tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TlbFlushes {
    /// By why, every reason.
    pub by_reason: BTreeMap<String, Flushes>,
    /// Pages named by flushes of all reasons.
    pub pages: u64,
    /// How they were counted.
    pub method: String,
}

/// Flushes of one reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flushes {
    /// How many.
    pub count: u64,
    /// Pages of those that named pages.
    pub pages: u64,
    /// How many were of all entries of the address space.
    pub whole: u64,
}

impl TlbWindow {
    /// What happened between two snapshots; `whose` names the tasks in an error.
    pub(super) fn between(
        start: &snapshot::Tlb,
        end: &snapshot::Tlb,
        whose: &str,
    ) -> Result<Self, Problem> {
        let count = |what: &str, start, end| growth(start, end, || format!("{what} of {whose}"));
        let samples =
            |what: &str, start, end| Samples::between(start, end, &format!("{what} of {whose}"));
        let mut flushes = [Flushes::default(); FLUSH_REASONS.len()];
        for (place, flushes) in flushes.iter_mut().enumerate() {
            let (start, end) = (&start.flushes[place], &end.flushes[place]);
            flushes.count = count("TLB flushes", start.count, end.count)?;
            flushes.pages = count("pages flushed", start.pages, end.pages)?;
            flushes.whole = count("whole TLB flushes", start.whole, end.whole)?;
        }
        Ok(Self {
            kept: count("switches with the TLB kept", start.kept, end.kept)?,
            flushed: count("switches with the TLB flushed", start.flushed, end.flushed)?,
            flushes,
            kept_time: samples("time with the TLB kept", &start.kept_time, &end.kept_time)?,
            flushed_time: samples(
                "time with the TLB flushed",
                &start.flushed_time,
                &end.flushed_time,
            )?,
        })
    }

    /// Takes in what happened to another group.
    pub(super) fn add(&mut self, other: &Self) -> Result<(), Problem> {
        self.kept += other.kept;
        self.flushed += other.flushed;
        for (sum, other) in self.flushes.iter_mut().zip(&other.flushes) {
            sum.count += other.count;
            sum.pages += other.pages;
            sum.whole += other.whole;
        }
        self.kept_time
            .add(&other.kept_time, "time with the TLB kept")?;
        self.flushed_time
            .add(&other.flushed_time, "time with the TLB flushed")
    }
}

impl AddressSpaceSwitches {
    pub(super) fn of(tlb: &TlbWindow, method: String) -> Self {
        Self {
            tlb_kept: tlb.kept,
            tlb_flushed: tlb.flushed,
            tlb_kept_time: Distribution::of(&tlb.kept_time, method.clone()),
            tlb_flushed_time: Distribution::of(&tlb.flushed_time, method.clone()),
            method,
        }
    }
}

impl TlbFlushes {
    pub(super) fn of(tlb: &TlbWindow, method: String) -> Self {
        Self {
            by_reason: FLUSH_REASONS
                .map(str::to_owned)
                .into_iter()
                .zip(tlb.flushes)
                .collect(),
            pages: tlb.flushes.iter().map(|flushes| flushes.pages).sum(),
            method,
        }
    }
}
