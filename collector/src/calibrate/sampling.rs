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

    fn parts(self) -> (Sample, bool) {
        (self.sample, self.quiet)
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
        let (series, limit) = (batches.len(), self.limit * batches.len() as u32);
        let piles = in_turn(self.batches, series, limit, |place| {
            Ok(take(&mut batches[place], sizes[place])?.parts())
        })?;
        let each = sizes.iter().zip(batches.iter());
        let per_sample = each.map(|(times, batch)| times * batch.per_time());
        let chosen = piles.into_iter().zip(per_sample);
        Ok(chosen.map(|(piles, each)| piles.sampled(each)).collect())
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

    /// The same of several that are to be compared, one of each in turn. Turns are set aside as a whole: of what takes
    /// long only the moments would else be left in which the host was fast.
    pub(crate) fn singles_in_turn(
        &self,
        stopwatch: &Stopwatch,
        series: usize,
        mut once: impl FnMut(usize) -> Result<Took>,
    ) -> Result<Vec<Sampled>> {
        let overhead_ns = stopwatch.overhead_ns();
        let mut turn = || -> Result<(Vec<Sample>, bool)> {
            let taken = (0..series).map(|place| Ok(Taken::of(once(place)?, None, 1)));
            let taken: Vec<Taken> = taken.collect::<Result<_>>()?;
            let sample = |it: &Taken| Sample {
                harness_ns: Some(overhead_ns),
                ..it.sample
            };
            let quiet = taken.iter().all(|it| it.quiet);
            Ok((taken.iter().map(sample).collect(), quiet))
        };
        let limit = self.limit * series as u32;
        let piles = in_turn(self.singles, 1, limit, |_| turn())?.pop();
        let (turns, disturbed) = piles.unwrap_or_default().choose();
        let of = |place: usize| Sampled {
            samples: turns.iter().map(|samples| samples[place]).collect(),
            disturbed,
            per_sample: 1,
        };
        Ok((0..series).map(of).collect())
    }

    /// Takes samples until there are `most` undisturbed ones, or time is up.
    pub(crate) fn rounds(
        &self,
        most: usize,
        per_sample: u64,
        mut once: impl FnMut() -> Result<Taken>,
    ) -> Result<Sampled> {
        let piles = in_turn(most, 1, self.limit, |_| Ok(once()?.parts()))?.pop();
        Ok(piles.unwrap_or_default().sampled(per_sample))
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

/// A sample of each of `series` in turn, by their places, until each has `most` undisturbed ones, or the time for
/// all is up.
fn in_turn<S: Clone>(
    most: usize,
    series: usize,
    limit: Duration,
    mut once: impl FnMut(usize) -> Result<(S, bool)>,
) -> Result<Vec<Piles<S>>> {
    for _ in 0..WARM_UPS {
        for place in 0..series {
            once(place)?;
        }
    }
    let mut all = vec![Piles::default(); series];
    let begun = Instant::now();
    let mut going_on = true;
    while going_on {
        going_on = false;
        for (place, piles) in all.iter_mut().enumerate() {
            if piles.want_more(most, begun.elapsed(), limit) {
                let (sample, quiet) = once(place)?;
                piles.add(sample, quiet);
                going_on = true;
            }
        }
    }
    Ok(all)
}

/// Samples during which we had the CPU for ourselves, and the others.
#[derive(Clone, Debug)]
struct Piles<S> {
    quiet: Vec<S>,
    disturbed: Vec<S>,
}

impl<S> Default for Piles<S> {
    fn default() -> Self {
        Self {
            quiet: Vec::new(),
            disturbed: Vec::new(),
        }
    }
}

impl<S> Piles<S> {
    fn add(&mut self, sample: S, quiet: bool) {
        match quiet {
            true => self.quiet.push(sample),
            false => self.disturbed.push(sample),
        }
    }

    /// Whether to go on after so much time.
    fn want_more(&self, most: usize, spent: Duration, limit: Duration) -> bool {
        let samples = self.quiet.len() + self.disturbed.len();
        self.quiet.len() < most && (samples < LEAST_SAMPLES || spent < limit)
    }

    /// The quiet ones if there are enough of them, else all; and how many are set aside.
    fn choose(mut self) -> (Vec<S>, u64) {
        let mut set_aside = self.disturbed.len() as u64;
        if self.quiet.len() < LEAST_SAMPLES {
            self.quiet.append(&mut self.disturbed);
            set_aside = 0;
        }
        (self.quiet, set_aside)
    }
}

impl Piles<Sample> {
    fn sampled(self, per_sample: u64) -> Sampled {
        let (samples, disturbed) = self.choose();
        Sampled {
            samples,
            disturbed,
            per_sample,
        }
    }
}

#[cfg(test)]
mod tests;
