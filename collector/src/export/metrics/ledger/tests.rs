//! Counters that never go back.

use super::super::family::{Family, Unit};
use super::*;

static EVENTS: Family = Family::counter("events", "Events.");
static WAIT: Family = Family::times("wait", (10, 12), "Waits.");
static NOW: Family = Family::gauge("now", "Things.").in_unit(Unit::Bytes);

fn events(count: u64) -> Series {
    EVENTS.series(&of_target("a"), Value::Total(count))
}

fn waits(counts: &[u64]) -> Series {
    let samples = Histogram {
        sub_bits: 3,
        sum_ns: counts.iter().sum::<u64>() * 7,
        counts: counts.to_vec(),
        ..Histogram::default()
    };
    WAIT.series(&of_target("a"), Value::Samples(samples))
}

fn total(shown: &[Series]) -> Option<u64> {
    shown.iter().find_map(|series| match series.value {
        Value::Total(total) => Some(total),
        _ => None,
    })
}

fn samples(shown: &[Series]) -> Option<(Vec<u64>, u64)> {
    shown.iter().find_map(|series| match &series.value {
        Value::Samples(samples) => Some((samples.counts.clone(), samples.sum_ns)),
        _ => None,
    })
}

#[test]
fn what_was_shown_stays_when_a_watch_begins_at_zero() {
    let (mut ledger, mut seen) = (Ledger::default(), Seen::default());
    assert_eq!(
        total(&ledger.show("a", &mut seen, vec![events(5)])),
        Some(5)
    );
    assert_eq!(
        total(&ledger.show("a", &mut seen, vec![events(9)])),
        Some(9)
    );
    // Another watch, in which the target has been seen for a while beside the first.
    let mut seen = Seen::default();
    seen.skip(&[events(2)]);
    assert_eq!(
        total(&ledger.show("a", &mut seen, vec![events(2)])),
        Some(9)
    );
    assert_eq!(
        total(&ledger.show("a", &mut seen, vec![events(3)])),
        Some(10)
    );
    // And one in which it is new.
    let mut seen = Seen::default();
    assert_eq!(
        total(&ledger.show("a", &mut seen, vec![events(4)])),
        Some(14)
    );
    assert_eq!(
        total(&ledger.show("b", &mut Seen::default(), vec![events(1)])),
        Some(1)
    );
}

#[test]
fn what_is_less_than_it_was_has_not_grown() {
    let (mut ledger, mut seen) = (Ledger::default(), Seen::default());
    let mut shown = Vec::new();
    for read in [10, 8, 9, 10, 11] {
        shown.extend(total(&ledger.show("a", &mut seen, vec![events(read)])));
    }
    assert_eq!(shown, [10, 10, 10, 10, 11]);
}

#[test]
fn a_place_that_another_target_gets_gives_it_what_is_new() {
    let (mut ledger, mut seen) = (Ledger::default(), Seen::default());
    ledger.show("a", &mut seen, vec![events(5)]);
    assert_eq!(
        total(&ledger.show("b", &mut seen, vec![events(7)])),
        Some(2)
    );
    assert_eq!(
        total(&ledger.show("a", &mut Seen::default(), vec![])),
        Some(5)
    );
}

#[test]
fn histograms_grow_bucket_by_bucket() {
    let (mut ledger, mut seen) = (Ledger::default(), Seen::default());
    ledger.show("a", &mut seen, vec![waits(&[1, 2])]);
    let shown = ledger.show("a", &mut seen, vec![waits(&[1, 3, 4])]);
    assert_eq!(samples(&shown), Some((vec![1, 3, 4], 56)));
    let shown = ledger.show("a", &mut Seen::default(), vec![waits(&[1])]);
    assert_eq!(samples(&shown), Some((vec![2, 3, 4], 63)));
}

#[test]
fn samples_stay_in_their_buckets_when_a_watch_has_none() {
    let (mut ledger, mut seen) = (Ledger::default(), Seen::default());
    ledger.show("a", &mut seen, vec![waits(&[1, 2])]);
    let nothing = WAIT.series(&of_target("a"), Value::Samples(Histogram::default()));
    let shown = ledger.show("a", &mut Seen::default(), vec![nothing]);
    let Some(Value::Samples(samples)) = shown.into_iter().map(|it| it.value).next() else {
        panic!("no samples");
    };
    assert_eq!((samples.sub_bits, samples.counts), (3, vec![1, 2]));
}

#[test]
fn gauges_are_of_now() {
    let (mut ledger, mut seen) = (Ledger::default(), Seen::default());
    let gauge = NOW.series(&of_target("a"), Value::Now(3.0));
    assert_eq!(ledger.show("a", &mut seen, vec![gauge]).len(), 1);
    assert_eq!(ledger.show("a", &mut seen, vec![]).len(), 0);
}

#[test]
fn of_those_that_are_gone_the_oldest_are_forgotten() {
    let mut ledger = Ledger::default();
    for number in 0..KEPT + 3 {
        let name = format!("{number}");
        ledger.show(&name, &mut Seen::default(), vec![events(1)]);
    }
    ledger.forget_all_but(&["0"]);
    let kept = |name: &str, ledger: &mut Ledger| {
        total(&ledger.show(name, &mut Seen::default(), vec![])).is_some()
    };
    assert!(kept("0", &mut ledger) && !kept("1", &mut ledger) && !kept("2", &mut ledger));
    assert!(kept("3", &mut ledger));
}
