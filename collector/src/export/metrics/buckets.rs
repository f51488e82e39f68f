//! The same samples in the buckets that scrapers know: classic ones with power-of-two bounds, and native
//! ones.

use crate::report::histogram::bucket_edges;
use crate::snapshot::Histogram;
use std::collections::BTreeMap;

/// Bounds of native buckets are powers of `2^(2^-SCHEMA)`: each is 19 % above the one before, as much as the
/// probes' own buckets, 6 to 13 % wide, are good for.
pub const SCHEMA: i32 = 2;
/// What is no longer than this is nothing: the zero bucket, of which Prometheus' own clients make the same.
pub const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;

/// A histogram in native buckets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Native {
    /// Samples of nothing.
    pub zero_count: u64,
    /// Samples of each bucket that has any, by its upper bound's power of `2^(2^-SCHEMA)`.
    pub counts: BTreeMap<i32, u64>,
}

impl Native {
    /// The same as Prometheus has it: runs of buckets, each with how many are left out before it and its length; and
    /// by how much each bucket has more than the one before.
    #[must_use]
    #[allow(clippy::cast_possible_wrap)]
    pub fn spans(&self) -> (Vec<(i32, u32)>, Vec<i64>) {
        let (mut spans, mut deltas) = (Vec::<(i32, u32)>::new(), Vec::new());
        let (mut next, mut before) = (0, 0);
        for (&index, &count) in &self.counts {
            match spans.last_mut() {
                Some(span) if index == next => span.1 += 1,
                _ => spans.push((index - next, 1)),
            }
            deltas.push(count as i64 - before);
            (next, before) = (index + 1, count as i64);
        }
        (spans, deltas)
    }

    /// The same as one run: the power of its first bucket's upper bound, and the samples of each from there.
    #[must_use]
    pub fn run(&self) -> (i32, Vec<u64>) {
        let ends = self
            .counts
            .first_key_value()
            .zip(self.counts.last_key_value());
        let Some(((&first, _), (&last, _))) = ends else {
            return (0, Vec::new());
        };
        let count = |index| self.counts.get(&index).copied().unwrap_or(0);
        (first, (first..=last).map(count).collect())
    }
}

/// Samples between the bounds 2^`from`, ..., 2^`to`, infinity, with those bounds times `scale`. None of the
/// probes' buckets lies on both sides of a bound, so these counts are exact.
#[must_use]
pub fn classic(samples: &Histogram, (from, to): (u32, u32), scale: f64) -> Vec<(f64, u64)> {
    let mut buckets: Vec<_> = (from..=to)
        .map(|exponent| (2_f64.powi(exponent as i32) * scale, 0))
        .chain([(f64::INFINITY, 0)])
        .collect();
    for (bucket, &count) in samples.counts.iter().enumerate().filter(|it| *it.1 > 0) {
        let (_, largest) = bucket_edges(samples.sub_bits, bucket);
        let exponent = u64::BITS - largest.leading_zeros();
        let place = exponent.saturating_sub(from) as usize;
        let last = buckets.len() - 1;
        buckets[place.min(last)].1 += count;
    }
    buckets
}

/// The same in native buckets, each sample by the upper edge of the bucket that the probes had it in.
#[must_use]
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
pub fn native(samples: &Histogram, scale: f64) -> Native {
    let mut native = Native::default();
    for (bucket, &count) in samples.counts.iter().enumerate().filter(|it| *it.1 > 0) {
        match bucket_edges(samples.sub_bits, bucket) {
            (_, 0) => native.zero_count += count,
            (_, largest) => {
                let doublings = (largest as f64 * scale).log2();
                let index = (doublings * f64::from(1 << SCHEMA)).ceil() as i32;
                *native.counts.entry(index).or_default() += count;
            }
        }
    }
    native
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight buckets to an octave, as the probes have them.
    fn samples(of: &[(u64, u64)]) -> Histogram {
        let mut counts = vec![0; 400];
        for &(value, count) in of {
            let bucket = (0..400).find(|&it| bucket_edges(3, it).1 >= value);
            counts[bucket.expect("a bucket")] += count;
        }
        Histogram {
            sub_bits: 3,
            counts,
            ..Histogram::default()
        }
    }

    /// Upper bound and count of each native bucket, by its spans.
    fn bounds(native: &Native) -> Vec<(f64, i64)> {
        let (mut index, mut count, mut bounds) = (0, 0, Vec::new());
        let (spans, deltas) = native.spans();
        let mut deltas = deltas.iter();
        for (offset, length) in spans {
            index += offset;
            for delta in deltas.by_ref().take(length as usize) {
                count += delta;
                bounds.push((2_f64.powf(f64::from(index) / 4.0), count));
                index += 1;
            }
        }
        assert_eq!(deltas.next(), None);
        bounds
    }

    #[test]
    fn classic_bounds_are_exact() {
        let samples = samples(&[
            (0, 1),
            (1_023, 2),
            (1_024, 4),
            (4_095, 8),
            (4_096, 16),
            (1 << 40, 32),
        ]);
        let buckets = classic(&samples, (10, 12), 1e-9);
        let expected = [
            (1.024e-6, 3),
            (2.048e-6, 4),
            (4.096e-6, 8),
            (f64::INFINITY, 48),
        ];
        for ((bound, count), (expected, number)) in buckets.into_iter().zip(expected) {
            assert!((bound - expected).abs() <= expected * 1e-12 || bound == expected);
            assert_eq!(count, number, "{bound}");
        }
    }

    #[test]
    fn native_bounds_are_near_and_nothing_is_lost() {
        let values: Vec<u64> = (0..36).map(|power| 3 << power).collect();
        for value in values {
            let native = native(&samples(&[(value, 5)]), 1e-9);
            let [(bound, 5)] = bounds(&native)[..] else {
                panic!("{native:?}");
            };
            let seconds = value as f64 * 1e-9;
            // A native bucket's width, and one of the probes' below which the sample may lie.
            assert!(
                bound >= seconds && bound <= seconds * 1.19 * 1.126,
                "{value}"
            );
        }
        let samples = samples(&[(0, 3), (1, 4), (9, 1), (10, 1), (5_000, 7), (1 << 41, 2)]);
        let native = native(&samples, 1e-9);
        let in_buckets: i64 = bounds(&native).iter().map(|it| it.1).sum();
        assert_eq!((native.zero_count, in_buckets), (3, 15));
        let (first, run) = native.run();
        assert_eq!(run.iter().sum::<u64>(), 15);
        assert_eq!(
            (Some(&run[0]), run.last()),
            (native.counts.get(&first), Some(&2))
        );
        let classic: u64 = classic(&samples, (5, 20), 1e-9).iter().map(|it| it.1).sum();
        assert_eq!(classic, 18);
    }
}
