//! Percentiles from buckets against percentiles of the samples themselves.

use connscope::report::Problem;
use connscope::report::distribution::{Distribution, percentile_ns, relative_error};
use connscope::report::histogram::{Max, Samples, bucket_edges};
use connscope::snapshot::Histogram;

use super::around::{Numbers, histogram, record};
use super::sample::SUB_BITS;

/// All samples of a histogram that had none before.
fn samples(end: &Histogram) -> Samples {
    Samples::between(&Histogram::default(), end, "test").unwrap()
}

/// The nearest-rank percentile by its definition: the smallest value that at least `percent` per
/// cent of the values do not exceed.
fn exact(values: &[u64], percent: u8) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let enough = |value: &&u64| {
        let not_above = sorted.iter().filter(|other| other <= value).count();
        not_above * 100 >= usize::from(percent) * sorted.len()
    };
    *sorted.iter().find(enough).unwrap()
}

fn distributions() -> Vec<(&'static str, Vec<u64>)> {
    let mut numbers = Numbers(42);
    let mut many = |sample: &mut dyn FnMut(&mut Numbers) -> u64| -> Vec<u64> {
        (0..2_001).map(|_| sample(&mut numbers)).collect()
    };
    vec![
        ("uniform", many(&mut |n| (n.unit() * 1e6) as u64)),
        ("exponential", many(&mut |n| n.exponential(38_000.0))),
        (
            "two humps",
            many(&mut |n| {
                if n.unit() < 0.9 {
                    700
                } else {
                    4_000_000 + n.exponential(1e5)
                }
            }),
        ),
        (
            "heavy tail",
            many(&mut |n| (1_000.0 * (1.0 - n.unit()).powf(-1.5)) as u64),
        ),
        ("small", many(&mut |n| (n.unit() * 40.0) as u64)),
        ("constant", vec![123_457; 2_001]),
        ("one", vec![999_999]),
        ("two", vec![10, 1_000_000]),
    ]
}

#[test]
fn percentiles_are_within_their_bound_of_the_samples() {
    for (name, values) in distributions() {
        let samples = samples(&histogram(values.iter().copied()));
        for percent in [1, 50, 90, 99, 100] {
            let exact = exact(&values, percent) as f64;
            let told = percentile_ns(&samples, percent).unwrap();
            let off = (told - exact).abs();
            assert!(
                off <= exact * relative_error(SUB_BITS),
                "p{percent} of {name}: {told} told, {exact} exact"
            );
            assert!(
                told <= *values.iter().max().unwrap() as f64,
                "p{percent} of {name}: {told}"
            );
        }
    }
}

#[test]
fn values_below_the_first_wide_bucket_are_exact() {
    for value in 0..16 {
        let samples = samples(&histogram([value, value, 5_000]));
        assert_eq!(percentile_ns(&samples, 50), Some(value as f64));
    }
}

#[test]
fn buckets_cover_all_values_once() {
    for sub_bits in [0, 2, SUB_BITS, 5] {
        let mut next = 0;
        for bucket in 0..(40 << sub_bits) {
            let (lower, upper) = bucket_edges(sub_bits, bucket);
            assert_eq!(lower, next, "bucket {bucket} with {sub_bits} bits");
            assert!(upper >= lower);
            next = upper + 1;
        }
    }
    assert_eq!(bucket_edges(3, 8), (8, 8));
    assert_eq!(bucket_edges(3, 16), (16, 17));
    assert_eq!(bucket_edges(3, 24), (32, 35));
    assert_eq!(bucket_edges(3, 1_000_000), (u64::MAX, u64::MAX));
}

#[test]
fn nearest_rank_takes_the_smallest_sample_that_covers() {
    // Below 16 everything is exact: of 1..=10 the 50th percentile is the 5th, the 90th the 9th.
    let samples = samples(&histogram(1..=10));
    let told: Vec<_> = [50, 90, 99]
        .map(|percent| percentile_ns(&samples, percent).unwrap())
        .to_vec();
    assert_eq!(told, [5.0, 9.0, 10.0]);
}

#[test]
fn no_samples_have_no_percentiles() {
    let distribution = Distribution::of(&Samples::default(), String::new());
    assert_eq!((distribution.count, distribution.sum_seconds), (0, 0.0));
    let figures = [
        distribution.p50_seconds,
        distribution.p90_seconds,
        distribution.p99_seconds,
        distribution.max_seconds,
        distribution.relative_error,
    ];
    assert_eq!(figures, [None; 5]);
}

#[test]
fn a_window_holds_only_what_came_after_its_start() {
    let start = histogram([100, 3_000_000]);
    let mut end = start.clone();
    record(&mut end, [5, 7, 9, 1_000]);
    let window = Samples::between(&start, &end, "test").unwrap();
    assert_eq!((window.count(), window.sum_ns), (4, 1_021));
    assert_eq!(percentile_ns(&window, 50), Some(7.0));
}

#[test]
fn a_maximum_is_exact_where_it_grew_and_else_a_bound() {
    let start = histogram([1_000]);
    let mut grown = start.clone();
    record(&mut grown, [1_003, 4]);
    let window = Samples::between(&start, &grown, "test").unwrap();
    assert_eq!(
        window.max,
        Some(Max {
            ns: 1_003,
            is_bound: false
        })
    );

    // 700 lies in the bucket 640..=703.
    let mut lower = start.clone();
    record(&mut lower, [700, 4]);
    let window = Samples::between(&start, &lower, "test").unwrap();
    assert_eq!(
        window.max,
        Some(Max {
            ns: 703,
            is_bound: true
        })
    );

    // 961 lies in the bucket 960..=1023, but nothing was ever above 1,000.
    let mut below = start.clone();
    record(&mut below, [961]);
    let window = Samples::between(&start, &below, "test").unwrap();
    assert_eq!(
        window.max,
        Some(Max {
            ns: 1_000,
            is_bound: true
        })
    );

    // A bucket of one value leaves no doubt.
    let mut small = start.clone();
    record(&mut small, [9]);
    let window = Samples::between(&start, &small, "test").unwrap();
    assert_eq!(
        window.max,
        Some(Max {
            ns: 9,
            is_bound: false
        })
    );
}

#[test]
fn the_larger_maximum_of_two_windows_keeps_its_certainty() {
    let mut exact = samples(&histogram([700]));
    let bound = {
        let start = histogram([10_000]);
        let mut end = start.clone();
        record(&mut end, [690]);
        Samples::between(&start, &end, "test").unwrap()
    };
    assert_eq!(
        bound.max,
        Some(Max {
            ns: 703,
            is_bound: true
        })
    );
    exact.add(&bound, "test").unwrap();
    assert_eq!(
        exact.max,
        Some(Max {
            ns: 703,
            is_bound: true
        })
    );
    exact.add(&samples(&histogram([703])), "test").unwrap();
    assert_eq!(
        exact.max,
        Some(Max {
            ns: 703,
            is_bound: false
        })
    );
    assert_eq!((exact.count(), exact.sum_ns), (3, 2_093));
}

#[test]
fn what_is_beyond_the_last_bucket_has_no_percentile() {
    // The last bucket, 96..=103, holds a sample of a million, as a recorder's last one does.
    let mut end = histogram([10, 11, 12, 100]);
    end.sum_ns += 1_000_000 - 100;
    end.max_ns = 1_000_000;
    let samples = samples(&end);
    assert_eq!(percentile_ns(&samples, 50), Some(11.0));
    assert_eq!(percentile_ns(&samples, 99), None);
    assert_eq!(
        samples.max,
        Some(Max {
            ns: 1_000_000,
            is_bound: false
        })
    );
}

#[test]
fn a_histogram_that_goes_back_is_an_error() {
    let end = histogram([5, 6]);
    let mut start = end.clone();
    record(&mut start, [5]);
    let error = Samples::between(&start, &end, "run_queue_wait of role main").unwrap_err();
    let counter = "bucket 5 of run_queue_wait of role main".to_owned();
    assert_eq!(
        error,
        Problem::Backwards {
            counter,
            earlier: 2,
            later: 1
        }
    );

    let mut less = end.clone();
    less.sum_ns -= 1;
    let error = Samples::between(&end, &less, "x").unwrap_err();
    assert!(matches!(error, Problem::Backwards { counter, .. } if counter == "sum of x"));

    // Fewer entries are zeros, which is a decrease too.
    let error = Samples::between(
        &end,
        &Histogram {
            sum_ns: 11,
            ..Histogram::default()
        },
        "x",
    );
    assert!(error.is_err());
}

#[test]
fn histograms_of_other_buckets_do_not_mix() {
    let mut other = histogram([100]);
    other.sub_bits = SUB_BITS + 1;
    assert!(matches!(
        Samples::between(&histogram([100]), &other, "x"),
        Err(Problem::Shape {
            left: SUB_BITS,
            right: 4,
            ..
        })
    ));
    let mut sum = samples(&histogram([100]));
    assert!(sum.add(&samples(&other), "x").is_err());
    let damaged = Histogram {
        sub_bits: 70,
        ..other
    };
    assert!(Samples::between(&Histogram::default(), &damaged, "x").is_err());
}
