//! How often an operation is done, and how the samples are taken: batches long enough that reading
//! the clock does not weigh, each followed by the same work without the operation.

use super::stopwatch::{Stopwatch, Took};
use crate::series::Sample;
use anyhow::Result;
use std::time::{Duration, Instant};

/// Below this number of samples a series goes on past its time.
pub(crate) const LEAST_SAMPLES: usize = 7;
/// Samples at the beginning that only warm up caches, page tables and the clock speed.
const WARM_UPS: usize = 2;

/// How much may be spent on one series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Samples of an operation that is done in batches.
    pub(crate) batches: usize,
    /// Samples of an operation that is done once for each.
    pub(crate) singles: usize,
    /// How long a batch is to take.
    pub(crate) batch: Duration,
    /// When to stop, as soon as there are [`LEAST_SAMPLES`].
    pub(crate) limit: Duration,
    /// For series that have their own idea of much and little.
    pub(crate) quick: bool,
}

impl Budget {
    pub(crate) const FULL: Self = Self {
        batches: 101,
        singles: 1000,
        batch: Duration::from_millis(1),
        limit: Duration::from_millis(500),
        quick: false,
    };

    pub(crate) const QUICK: Self = Self {
        batches: 25,
        singles: 200,
        batch: Duration::from_millis(1),
        limit: Duration::from_millis(120),
        quick: true,
    };
}

/// What a batch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// The operation and the work around it.
    Operation,
    /// The work around it alone.
    Harness,
}

/// Whether there is work around the operation that can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harness {
    Measured,
    None,
}

/// A sample, and whether we had the CPU for ourselves meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) sample: Sample,
    pub(crate) quiet: bool,
}

/// Samples of one variant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sampled {
    pub(crate) samples: Vec<Sample>,
    /// Samples set aside, since others had the CPU meanwhile.
    pub(crate) disturbed: u64,
    /// How often the operation was done for each sample.
    pub(crate) per_sample: u64,
}

impl Taken {
    /// Of so many operations, and of the same work without them.
    pub(crate) fn of(raw: Took, harness: Option<Took>, operations: u64) -> Self {
        let each = |took: Took| took.ns() / operations as f64;
        Self {
            sample: Sample {
                raw_ns: each(raw),
                harness_ns: harness.map(each),
            },
            quiet: raw.quiet() && harness.is_none_or(|took| took.quiet()),
        }
    }
}

/// What is done in batches.
pub(crate) trait Batch {
    /// Operations each time.
    fn per_time(&self) -> u64;
    /// Whether there is a [`Pass::Harness`].
    fn harness(&self) -> Harness;
    /// Does a pass so many times, and says how long it took.
    fn run(&mut self, pass: Pass, times: u64) -> Result<Took>;
}

/// A batch of so many operations each time, without a harness.
pub(crate) struct Many<F>(pub(crate) u64, pub(crate) F);

impl<F: FnMut(u64) -> Result<Took>> Batch for Many<F> {
    fn per_time(&self) -> u64 {
        self.0
    }

    fn harness(&self) -> Harness {
        Harness::None
    }

    fn run(&mut self, _: Pass, times: u64) -> Result<Took> {
        (self.1)(times)
    }
}

impl Budget {
    /// Takes samples of batches.
    pub(crate) fn batches(&self, batch: &mut impl Batch) -> Result<Sampled> {
        let sampled = self.interleaved(std::slice::from_mut(batch))?;
        Ok(sampled.into_iter().next().unwrap_or_default())
    }

    /// Takes samples of batches that are to be compared: one of each in turn, so that a slow moment
    /// of the host hits all alike.
    pub(crate) fn interleaved<B: Batch>(&self, batches: &mut [B]) -> Result<Vec<Sampled>> {
        let sizes = batches.iter_mut().map(|batch| self.size_of_batch(batch));
        let sizes: Vec<u64> = sizes.collect::<Result<_>>()?;
        for _ in 0..WARM_UPS {
            for (batch, &times) in batches.iter_mut().zip(&sizes) {
                take(batch, times)?;
            }
        }
        let mut piles = vec![Piles::default(); batches.len()];
        let (begun, limit) = (Instant::now(), self.limit * batches.len() as u32);
        let mut going_on = true;
        while going_on {
            going_on = false;
            for ((batch, &times), piles) in batches.iter_mut().zip(&sizes).zip(&mut piles) {
                if piles.want_more(self.batches, begun.elapsed(), limit) {
                    piles.add(take(batch, times)?);
                    going_on = true;
                }
            }
        }
        let all = piles.into_iter().zip(batches).zip(sizes);
        Ok(all
            .map(|((piles, batch), times)| piles.choose(times * batch.per_time()))
            .collect())
    }

    /// Takes samples of single operations; what the stopwatch shows for nothing is their harness.
    pub(crate) fn singles(
        &self,
        stopwatch: &Stopwatch,
        mut once: impl FnMut() -> Result<Took>,
    ) -> Result<Sampled> {
        let overhead_ns = stopwatch.overhead_ns();
        self.rounds(self.singles, 1, || {
            let mut taken = Taken::of(once()?, None, 1);
            taken.sample.harness_ns = Some(overhead_ns);
            Ok(taken)
        })
    }

    /// Takes samples until there are `most` undisturbed ones, or time is up.
    pub(crate) fn rounds(
        &self,
        most: usize,
        per_sample: u64,
        mut once: impl FnMut() -> Result<Taken>,
    ) -> Result<Sampled> {
        for _ in 0..WARM_UPS {
            once()?;
        }
        let mut piles = Piles::default();
        let begun = Instant::now();
        while piles.want_more(most, begun.elapsed(), self.limit) {
            piles.add(once()?);
        }
        Ok(piles.choose(per_sample))
    }

    /// How many times fill a batch; doubles until they do. The faster of two tries counts: the other
    /// may have been the first touch of something, or another task's turn.
    fn size_of_batch(&self, batch: &mut impl Batch) -> Result<u64> {
        let mut times = 1_u64;
        loop {
            let first = batch.run(Pass::Operation, times)?.time;
            let time = batch.run(Pass::Operation, times)?.time.min(first);
            if time >= self.batch / 2 || times >= 1 << 40 {
                let scale = self.batch.as_nanos() as f64 / time.as_nanos().max(1) as f64;
                return Ok(((times as f64 * scale) as u64).clamp(1, times * 2));
            }
            times *= 2;
        }
    }
}

fn take(batch: &mut impl Batch, times: u64) -> Result<Taken> {
    let raw = batch.run(Pass::Operation, times)?;
    let harness = match batch.harness() {
        Harness::Measured => Some(batch.run(Pass::Harness, times)?),
        Harness::None => None,
    };
    Ok(Taken::of(raw, harness, times * batch.per_time()))
}

/// Samples during which we had the CPU for ourselves, and the others.
#[derive(Clone, Debug, Default)]
struct Piles {
    quiet: Vec<Sample>,
    disturbed: Vec<Sample>,
}

impl Piles {
    fn add(&mut self, taken: Taken) {
        match taken.quiet {
            true => self.quiet.push(taken.sample),
            false => self.disturbed.push(taken.sample),
        }
    }

    /// Whether to go on after so much time.
    fn want_more(&self, most: usize, spent: Duration, limit: Duration) -> bool {
        let samples = self.quiet.len() + self.disturbed.len();
        self.quiet.len() < most && (samples < LEAST_SAMPLES || spent < limit)
    }

    /// The quiet ones if there are enough of them, else all.
    fn choose(mut self, per_sample: u64) -> Sampled {
        let mut set_aside = self.disturbed.len() as u64;
        if self.quiet.len() < LEAST_SAMPLES {
            self.quiet.append(&mut self.disturbed);
            set_aside = 0;
        }
        Sampled {
            samples: self.quiet,
            disturbed: set_aside,
            per_sample,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Budget = Budget {
        batches: 10,
        singles: 10,
        batch: Duration::from_micros(100),
        limit: Duration::from_secs(1),
        quick: false,
    };

    fn took(ns: u64) -> Took {
        Took::of(Duration::from_nanos(ns))
    }

    /// Two operations of 50 ns each time, and 30 ns of other work.
    #[derive(Default)]
    struct Known(Vec<(Pass, u64)>);

    impl Batch for Known {
        fn per_time(&self) -> u64 {
            2
        }

        fn harness(&self) -> Harness {
            Harness::Measured
        }

        fn run(&mut self, pass: Pass, times: u64) -> Result<Took> {
            self.0.push((pass, times));
            Ok(took(if pass == Pass::Harness { 30 } else { 130 } * times))
        }
    }

    #[test]
    fn batches_are_as_long_as_asked_for_and_samples_are_of_one_operation() {
        let mut batches = [Known::default(), Known::default()];
        for sampled in BUDGET.interleaved(&mut batches).unwrap() {
            assert_eq!((sampled.samples.len(), sampled.per_sample), (10, 2 * 769));
            let sample = sampled.samples[0];
            assert_eq!((sample.raw_ns, sample.harness_ns), (65.0, Some(15.0)));
            assert_eq!(sample.net_ns(), 50.0);
        }
        let last = [(Pass::Operation, 769), (Pass::Harness, 769)];
        assert!(batches.iter().all(|batch| batch.0.ends_with(&last)));
    }

    #[test]
    fn an_operation_longer_than_a_batch_is_done_once() {
        let mut long = Many(1, |times| Ok(took(5_000_000 * times)));
        let sampled = BUDGET.batches(&mut long).unwrap();
        assert_eq!((sampled.samples.len(), sampled.per_sample), (10, 1));
        assert_eq!(sampled.samples[0].raw_ns, 5e6);
    }

    fn piles(quiet: usize, disturbed: usize) -> Piles {
        let sample = Sample {
            raw_ns: 1.0,
            harness_ns: None,
        };
        Piles {
            quiet: vec![sample; quiet],
            disturbed: vec![sample; disturbed],
        }
    }

    #[test]
    fn time_ends_a_series_only_once_it_has_enough_samples() {
        let (limit, late) = (BUDGET.limit, BUDGET.limit * 2);
        assert!(piles(LEAST_SAMPLES - 2, 1).want_more(10, late, limit));
        assert!(!piles(LEAST_SAMPLES - 1, 1).want_more(10, late, limit));
        assert!(piles(9, 100).want_more(10, Duration::ZERO, limit));
        assert!(!piles(10, 0).want_more(10, Duration::ZERO, limit));
    }

    #[test]
    fn disturbed_samples_count_only_where_there_are_too_few_others() {
        let enough = piles(LEAST_SAMPLES, 5).choose(3);
        assert_eq!((enough.samples.len(), enough.disturbed), (LEAST_SAMPLES, 5));
        let too_few = piles(LEAST_SAMPLES - 1, 5).choose(3);
        assert_eq!(
            (too_few.samples.len(), too_few.disturbed),
            (LEAST_SAMPLES + 4, 0)
        );
    }
}
