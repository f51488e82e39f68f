//! How long switches took, as far as windows showed it.

use super::Histogram;
use crate::abi::histogram_shape;

/// The switches that are a group's: its task left the CPU, or it came to one that a task of no
/// group had left.
#[derive(Clone, Debug, Default)]
pub struct SwitchLatency {
    /// Switches seen in which a task of the group left.
    pub left: u64,
    /// Switches seen in which one came.
    pub came: u64,
    /// How long they took, from the record or stamp of the one to that of the other.
    pub samples: Vec<SwitchSamples>,
}

/// Switches of one kind, by how many events recorded them: each makes them longer.
#[derive(Clone, Debug)]
pub struct SwitchSamples {
    /// Between whom.
    pub kind: SwitchKind,
    /// The task that left would have run on.
    pub preempted: bool,
    /// Events that recorded the switch, from 1. Of a switch that was timed by stamps: 1 with what the
    /// stamps take, 0 without it.
    pub recording_events: u32,
    /// In buckets of [`SwitchSamples::SUB_BITS`].
    pub histogram: Histogram,
}

/// Between whom a CPU switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchKind {
    /// Tasks that share an address space.
    SameSpace,
    /// Tasks that do not.
    DifferentSpace,
    /// To or from idle.
    Idle,
    /// To or from a thread of the kernel, the other not being idle.
    KernelThread,
}

impl SwitchSamples {
    /// Binary logarithm of the buckets to each power of two: 64, so that a bucket of the times that
    /// switches take is no wider than the clock's step, and medians of a few hundred can be extrapolated.
    pub const SUB_BITS: u32 = 6;
}

impl SwitchLatency {
    /// Adds a switch of known kind.
    pub(crate) fn add(
        &mut self,
        kind: SwitchKind,
        preempted: bool,
        recording_events: u32,
        ns: u64,
    ) {
        let key = (kind, preempted, recording_events);
        let same = |s: &SwitchSamples| (s.kind, s.preempted, s.recording_events) == key;
        let at = self.samples.iter().position(same).unwrap_or_else(|| {
            self.samples.push(SwitchSamples {
                kind,
                preempted,
                recording_events,
                histogram: Histogram::default(),
            });
            self.samples.len() - 1
        });
        let histogram = &mut self.samples[at].histogram;
        let bucket = bucket(ns);
        if histogram.counts.len() <= bucket {
            histogram.counts.resize(bucket + 1, 0);
        }
        histogram.counts[bucket] += 1;
        histogram.sum += ns;
        histogram.max = histogram.max.max(ns);
    }
}

/// As `histogram_bucket()` of `bpf/histogram.h`, with more buckets to a power of two.
fn bucket(ns: u64) -> usize {
    const SUB: u32 = SwitchSamples::SUB_BITS;
    if ns < 1 << SUB {
        return ns as usize;
    }
    let bit = ns.ilog2();
    if bit > histogram_shape::HISTOGRAM_TOP_BIT.0 {
        return bucket((1 << (histogram_shape::HISTOGRAM_TOP_BIT.0 + 1)) - 1);
    }
    (((bit - SUB) as usize) << SUB) + (ns >> (bit - SUB)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_as_wide_as_a_64th_of_their_power_of_two() {
        assert_eq!([0, 1, 63, 64, 127].map(bucket), [0, 1, 63, 64, 127]);
        assert_eq!(bucket(128), 128);
        assert_eq!(bucket(129), 128);
        assert_eq!(bucket(130), 129);
        assert_eq!(bucket(1024), bucket(1039));
        assert_eq!(bucket(1040), bucket(1024) + 1);
        assert_eq!(bucket(u64::MAX), bucket((1 << 42) - 1));
    }

    #[test]
    fn each_kind_of_switch_has_its_own_samples() {
        let mut latency = SwitchLatency::default();
        latency.add(SwitchKind::Idle, false, 1, 500);
        latency.add(SwitchKind::Idle, false, 1, 700);
        latency.add(SwitchKind::Idle, true, 1, 900);
        latency.add(SwitchKind::Idle, false, 3, 1_100);
        let counts: Vec<_> = latency
            .samples
            .iter()
            .map(|s| (s.histogram.count(), s.histogram.sum, s.histogram.max))
            .collect();
        assert_eq!(counts, [(2, 1_200, 700), (1, 900, 900), (1, 1_100, 1_100)]);
    }
}
