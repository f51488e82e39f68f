//! The samples of a window: the difference of two cumulative histograms, and the sum of such
//! differences.
//!
//! Buckets are log-linear: bucket `i` below `2^sub_bits` holds the value `i` alone, and each power
//! of two above that is cut into `2^sub_bits` buckets of equal width.

use super::error::{Problem, growth};
use crate::snapshot::Histogram;

/// More would be finer than a nanosecond needs, and is a sign of a damaged recording.
const SUB_BITS_MAX: u32 = 16;

/// Samples of a time, in nanoseconds, with the buckets they fell in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// Binary logarithm of the buckets to each power of two.
    pub sub_bits: u32,
    /// Samples by bucket.
    pub counts: Vec<u64>,
    /// Sum of the samples.
    pub sum_ns: u128,
    /// The largest of them; none if there are none.
    pub max: Option<Max>,
    /// The bucket that also holds what lies above its upper edge, if there is such a bucket.
    pub open_bucket: Option<usize>,
}

/// The largest sample, or what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Max {
    /// In nanoseconds.
    pub ns: u64,
    /// No sample was larger, but the largest may have been smaller.
    pub is_bound: bool,
}

/// The smallest and the largest value of a bucket, both included.
///
/// A bucket past the range of 64 bits, which no recorder fills, is `u64::MAX` alone.
#[must_use]
pub fn bucket_edges(sub_bits: u32, bucket: usize) -> (u64, u64) {
    let bucket = bucket as u64;
    let per_octave = 1_u64 << sub_bits.min(SUB_BITS_MAX);
    if bucket < per_octave {
        return (bucket, bucket);
    }
    let shift = bucket / per_octave - 1;
    if shift + u64::from(sub_bits) >= 64 {
        return (u64::MAX, u64::MAX);
    }
    let lower = (per_octave + bucket % per_octave) << shift;
    (lower, lower + ((1 << shift) - 1))
}

impl Samples {
    /// The samples taken between two snapshots of one cumulative histogram.
    ///
    /// `name` is what an error calls the histogram.
    ///
    /// # Errors
    /// [`Problem::Backwards`] if a count or the sum decreased, [`Problem::Shape`] if the buckets
    /// differ.
    pub fn between(start: &Histogram, end: &Histogram, name: &str) -> Result<Self, Problem> {
        let shape = || Problem::Shape {
            histogram: name.to_owned(),
            left: start.sub_bits,
            right: end.sub_bits,
        };
        let differs = start.sub_bits != end.sub_bits && last_filled(&start.counts).is_some();
        if differs || end.sub_bits > SUB_BITS_MAX {
            return Err(shape());
        }
        let counts = counts_between(&start.counts, &end.counts, name)?;
        let open_bucket = last_filled(&end.counts)
            .filter(|&bucket| end.max_ns > bucket_edges(end.sub_bits, bucket).1);
        let sum_ns = growth(start.sum_ns, end.sum_ns, || format!("sum of {name}"))?;
        let max = last_filled(&counts).map(|bucket| {
            if end.max_ns > start.max_ns {
                return Max {
                    ns: end.max_ns,
                    is_bound: false,
                };
            }
            let (lower, upper) = bucket_edges(end.sub_bits, bucket);
            let open = open_bucket == Some(bucket);
            let ns = if open {
                end.max_ns
            } else {
                upper.min(end.max_ns)
            };
            Max {
                ns,
                is_bound: open || ns > lower,
            }
        });
        Ok(Self {
            sub_bits: end.sub_bits,
            counts,
            sum_ns: sum_ns.into(),
            max,
            open_bucket,
        })
    }

    /// Takes in the samples of another window or role.
    ///
    /// # Errors
    /// [`Problem::Shape`] if both have samples, in different buckets.
    pub fn add(&mut self, other: &Self, name: &str) -> Result<(), Problem> {
        if other.count() == 0 {
            self.sum_ns += other.sum_ns;
            return Ok(());
        }
        if self.count() == 0 {
            let sum_ns = self.sum_ns;
            *self = other.clone();
            self.sum_ns += sum_ns;
            return Ok(());
        }
        if self.sub_bits != other.sub_bits {
            let (left, right) = (self.sub_bits, other.sub_bits);
            return Err(Problem::Shape {
                histogram: name.to_owned(),
                left,
                right,
            });
        }
        add_counts(&mut self.counts, &other.counts);
        self.sum_ns += other.sum_ns;
        // Of an exact and a bounded maximum of the same value the exact one is known to occur.
        self.max = self
            .max
            .into_iter()
            .chain(other.max)
            .max_by_key(|max| (max.ns, !max.is_bound));
        self.open_bucket = match (self.open_bucket, other.open_bucket) {
            (Some(left), Some(right)) => Some(left.min(right)),
            (left, right) => left.or(right),
        };
        Ok(())
    }

    /// How many samples there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The bucket of the `rank`th smallest sample, from 1; none if there are fewer.
    #[must_use]
    pub fn bucket_of_rank(&self, rank: u64) -> Option<usize> {
        let mut seen = 0;
        self.counts.iter().position(|&count| {
            seen += count;
            count > 0 && seen >= rank
        })
    }
}

/// `end - start` entry by entry; missing entries are zeros.
///
/// # Errors
/// [`Problem::Backwards`] if an entry decreased.
pub(super) fn counts_between(start: &[u64], end: &[u64], name: &str) -> Result<Vec<u64>, Problem> {
    let at = |counts: &[u64], index: usize| counts.get(index).copied().unwrap_or(0);
    (0..start.len().max(end.len()))
        .map(|index| {
            growth(at(start, index), at(end, index), || {
                format!("bucket {index} of {name}")
            })
        })
        .collect()
}

/// Adds entry by entry.
pub(super) fn add_counts(sum: &mut Vec<u64>, other: &[u64]) {
    sum.resize(sum.len().max(other.len()), 0);
    for (sum, other) in sum.iter_mut().zip(other) {
        *sum += other;
    }
}

/// The last entry that is not zero.
pub(super) fn last_filled(counts: &[u64]) -> Option<usize> {
    counts.iter().rposition(|&count| count > 0)
}
