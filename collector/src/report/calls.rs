//! How long the calls that create tasks take, as their callers see them, and what the caller's
//! address space held.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::distribution::Distribution;
use super::error::{Problem, growth};
use super::histogram::Samples;
use crate::snapshot::Calls;

/// Bytes of a page.
const PAGE: f64 = 4096.0;
/// Fewer calls, or calls from address spaces of nearly one size, give no slope.
const SLOPE_CALLS_MIN: u64 = 10;
const SLOPE_SPREAD_MIN: f64 = 0.05;

/// The calls by what was asked for, from the beginning of the watch to the end of the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CreationLatency {
    /// `fork`.
    pub fork: CallLatency,
    /// `posix_spawn` and `vfork`, which return when the child runs another program or has ended.
    pub spawn: CallLatency,
    /// `pthread_create`.
    pub thread: CallLatency,
    /// `clone`.
    pub clone: CallLatency,
    /// Tasks created without a call that was seen: by system calls that go round the C library, or
    /// in a program with another C library than those probed.
    pub not_seen: u64,
    /// What the probes add to the latency of a call as it was measured, in seconds.
    pub probe_share_seconds: f64,
    /// By how much the probes slow a call as its caller sees it, in seconds.
    pub probe_slows_seconds: f64,
    /// How they were measured.
    pub method: String,
}

/// Calls of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallLatency {
    /// Of the calls that succeeded, as measured.
    #[serde(flatten)]
    pub distribution: Distribution,
    /// Percentiles less the probes' own share, in seconds.
    pub corrected_p50_seconds: Option<f64>,
    /// Likewise.
    pub corrected_p99_seconds: Option<f64>,
    /// Calls that failed; in no other figure.
    pub failed: u64,
    /// Resident bytes of the caller's address space at the call, mean. Not of threads.
    pub parent_resident_bytes: Option<f64>,
    /// Likewise its page tables.
    pub parent_page_table_bytes: Option<f64>,
    /// What each page resident adds to the latency, by least squares, in seconds; none where the
    /// callers were all of about one size.
    pub per_resident_page_seconds: Option<f64>,
}

/// What was called within a window; none where it could not be seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Called(Option<BTreeMap<String, Sums>>);

/// Calls of one kind, in sums over samples.
#[derive(Clone, Debug, Default)]
struct Sums {
    latency: Samples,
    failed: u64,
    pages: u64,
    table_bytes: u64,
    pages_squared: f64,
    pages_times_ns: f64,
    probe_within_ns: u64,
    probe_whole_ns: u64,
}

impl Called {
    /// Between two snapshots of a role.
    ///
    /// # Errors
    /// [`Problem::Backwards`] if a count decreased.
    pub(super) fn between(
        before: Option<&Vec<Calls>>,
        end: Option<&Vec<Calls>>,
    ) -> Result<Self, Problem> {
        let Some(calls) = end else {
            return Ok(Self(None));
        };
        let earlier = |kind: &str| {
            let mut known = before.into_iter().flatten();
            let known = known.find(|calls| calls.kind == kind);
            known.cloned().unwrap_or_default()
        };
        let sums = calls.iter().map(|end| {
            let sums = Sums::between(&earlier(&end.kind), end)?;
            Ok((end.kind.clone(), sums))
        });
        Ok(Self(Some(sums.collect::<Result<_, Problem>>()?)))
    }

    /// Takes in the calls of another group.
    ///
    /// # Errors
    /// If the histograms do not have the same buckets.
    pub(super) fn add(&mut self, other: &Self) -> Result<(), Problem> {
        let Some(other) = &other.0 else { return Ok(()) };
        let kinds = self.0.get_or_insert_default();
        for (kind, sums) in other {
            kinds.entry(kind.clone()).or_default().add(sums)?;
        }
        Ok(())
    }
}

impl Sums {
    fn between(before: &Calls, end: &Calls) -> Result<Self, Problem> {
        let kind = &end.kind;
        let count =
            |what: &str, before, end| growth(before, end, || format!("{what} of {kind} calls"));
        Ok(Self {
            latency: Samples::between(&before.latency, &end.latency, "latency of calls")?,
            failed: count("failures", before.failed, end.failed)?,
            pages: count("pages", before.resident_pages, end.resident_pages)?,
            table_bytes: count("tables", before.page_table_bytes, end.page_table_bytes)?,
            pages_squared: end.pages_squared - before.pages_squared,
            pages_times_ns: end.pages_times_ns - before.pages_times_ns,
            probe_within_ns: end.probe_within_ns,
            probe_whole_ns: end.probe_whole_ns,
        })
    }

    fn add(&mut self, other: &Self) -> Result<(), Problem> {
        self.latency.add(&other.latency, "latency of calls")?;
        self.failed += other.failed;
        self.pages += other.pages;
        self.table_bytes += other.table_bytes;
        self.pages_squared += other.pages_squared;
        self.pages_times_ns += other.pages_times_ns;
        self.probe_within_ns = self.probe_within_ns.max(other.probe_within_ns);
        self.probe_whole_ns = self.probe_whole_ns.max(other.probe_whole_ns);
        Ok(())
    }

    /// Slope of latency over resident pages, in nanoseconds.
    fn slope(&self) -> Option<f64> {
        let count = self.latency.count() as f64;
        let (pages, time) = (self.pages as f64, self.latency.sum_ns as f64);
        let variance = self.pages_squared / count - (pages / count).powi(2);
        let spread = variance.max(0.0).sqrt() / (pages / count);
        let covariance = self.pages_times_ns / count - pages / count * (time / count);
        let enough = self.latency.count() >= SLOPE_CALLS_MIN && spread >= SLOPE_SPREAD_MIN;
        enough.then(|| covariance / variance)
    }
}

impl CreationLatency {
    /// The figures of these calls, by which so many tasks were created, or by others.
    pub(super) fn of(called: &Called, created: u64, method: &str) -> Option<Self> {
        let kinds = called.0.as_ref()?;
        let none = Sums::default();
        let kind = |name: &str| {
            let sums = kinds.get(name).unwrap_or(&none);
            CallLatency::of(sums, name != "thread", method.to_owned())
        };
        let seen: u64 = kinds.values().map(|sums| sums.latency.count()).sum();
        let probe =
            |share: fn(&Sums) -> u64| kinds.values().map(share).max().unwrap_or(0) as f64 / 1e9;
        Some(Self {
            fork: kind("fork"),
            spawn: kind("spawn"),
            thread: kind("thread"),
            clone: kind("clone"),
            not_seen: created.saturating_sub(seen),
            probe_share_seconds: probe(|sums| sums.probe_within_ns),
            probe_slows_seconds: probe(|sums| sums.probe_whole_ns),
            method: method.to_owned(),
        })
    }
}

impl CallLatency {
    fn of(sums: &Sums, with_memory: bool, method: String) -> Self {
        let distribution = Distribution::of(&sums.latency, method);
        let share = sums.probe_within_ns as f64 / 1e9;
        let corrected = |seconds: Option<f64>| seconds.map(|seconds| (seconds - share).max(0.0));
        let calls = sums.latency.count();
        let mean = |sum: f64| (with_memory && calls > 0).then(|| sum / calls as f64);
        Self {
            corrected_p50_seconds: corrected(distribution.p50_seconds),
            corrected_p99_seconds: corrected(distribution.p99_seconds),
            distribution,
            failed: sums.failed,
            parent_resident_bytes: mean(sums.pages as f64 * PAGE),
            parent_page_table_bytes: mean(sums.table_bytes as f64),
            per_resident_page_seconds: sums.slope().filter(|_| with_memory).map(|ns| ns / 1e9),
        }
    }
}
