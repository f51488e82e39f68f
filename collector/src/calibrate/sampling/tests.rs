//! Samples of operations whose times are known.

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

fn piles(quiet: usize, disturbed: usize) -> Piles<Sample> {
    let sample = Sample {
        raw_ns: 1.0,
        harness_ns: None,
    };
    Piles {
        quiet: vec![sample; quiet],
        disturbed: vec![sample; disturbed],
    }
}

/// The one that takes long is disturbed in every other turn.
#[test]
fn what_is_compared_is_of_the_same_turns() {
    let mut turns = [0_u64; 2];
    let once = |place: usize| {
        turns[place] += 1;
        let turn = turns[place];
        Ok(Took {
            spoilt: place == 1 && turn % 2 == 0,
            ..took(1_000 * turn)
        })
    };
    let sampled = BUDGET.singles_in_turn(&Stopwatch::Wall, 2, once).unwrap();
    for of_one in &sampled {
        let raw: Vec<f64> = of_one.samples.iter().map(|it| it.raw_ns).collect();
        // Two turns to warm up; then those that are odd.
        let odd: Vec<f64> = (0..10).map(|it| 1e3 * f64::from(3 + 2 * it)).collect();
        assert_eq!(raw, odd);
        assert_eq!((of_one.disturbed, of_one.per_sample), (9, 1));
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
    let enough = piles(LEAST_SAMPLES, 5).sampled(3);
    assert_eq!((enough.samples.len(), enough.disturbed), (LEAST_SAMPLES, 5));
    let too_few = piles(LEAST_SAMPLES - 1, 5).sampled(3);
    assert_eq!(
        (too_few.samples.len(), too_few.disturbed),
        (LEAST_SAMPLES + 4, 0)
    );
}
