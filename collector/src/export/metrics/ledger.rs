//! Counters that never go back, whatever becomes of what they are read from.
//!
//! What the probes have is cumulative too, but begins at zero with each watch, and a watch is replaced when the
//! configuration changes. So what was read is never shown: by how much it has grown since the last reading
//! is added to what was shown. That is kept by the name of the target, so it outlives the watch, and the
//! target's processes.

use super::family::{Labels, Series, Value};
use crate::snapshot::Histogram;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Targets that are not shown any more whose counters are still kept, in case they come back: some 1 MB each
/// at most.
const KEPT: usize = 64;

type Key = (&'static str, Labels);

/// What a place in a watch was last seen to have.
#[derive(Debug, Default)]
pub struct Seen(BTreeMap<Key, Value>);

impl Seen {
    /// Takes what is there now for what had been there before: nothing of it is to be shown.
    pub fn skip(&mut self, read: &[Series]) {
        for series in read {
            self.grown(series);
        }
    }

    /// By how much a counter has grown since it was last seen. One that is less than it was, as a time may be
    /// by a tick, has not.
    fn grown(&mut self, series: &Series) -> Value {
        let none = match &series.value {
            Value::Samples(samples) => Value::Samples(Histogram {
                sub_bits: samples.sub_bits,
                ..Histogram::default()
            }),
            _ => Value::Total(0),
        };
        let seen = self.0.entry(key(series)).or_insert(none);
        match (seen, &series.value) {
            (Value::Total(seen), Value::Total(now)) => {
                let grown = now.saturating_sub(*seen);
                *seen += grown;
                Value::Total(grown)
            }
            (Value::Samples(seen), Value::Samples(now)) => Value::Samples(samples_grown(seen, now)),
            _ => Value::Total(0),
        }
    }
}

fn samples_grown(seen: &mut Histogram, now: &Histogram) -> Histogram {
    let places = seen.counts.len().max(now.counts.len());
    seen.counts.resize(places, 0);
    let grown = Histogram {
        sub_bits: if now.counts.is_empty() {
            seen.sub_bits
        } else {
            now.sub_bits
        },
        sum_ns: now.sum_ns.saturating_sub(seen.sum_ns),
        max_ns: now.max_ns,
        counts: (0..places)
            .map(|place| {
                now.counts
                    .get(place)
                    .unwrap_or(&0)
                    .saturating_sub(seen.counts[place])
            })
            .collect(),
    };
    add(seen, &grown);
    grown
}

fn add(sum: &mut Histogram, other: &Histogram) {
    let places = sum.counts.len().max(other.counts.len());
    sum.counts.resize(places, 0);
    for (sum, other) in sum.counts.iter_mut().zip(&other.counts) {
        *sum += other;
    }
    sum.sum_ns += other.sum_ns;
    sum.max_ns = sum.max_ns.max(other.max_ns);
    // What has no samples has no buckets either.
    if other.counts.iter().any(|count| *count > 0) {
        sum.sub_bits = other.sub_bits;
    }
}

/// What was shown, by target.
#[derive(Debug, Default)]
pub struct Ledger {
    accounts: BTreeMap<String, Account>,
    /// Goes up with each reading.
    time: u64,
}

#[derive(Debug, Default)]
struct Account {
    shown: BTreeMap<Key, Series>,
    last: u64,
}

impl Ledger {
    /// Takes what was read of a target in its place of a watch into its account; returns what is to be shown
    /// of it. What its account has is shown even if nothing was read of it this time.
    pub fn show(&mut self, target: &str, seen: &mut Seen, read: Vec<Series>) -> Vec<Series> {
        self.time += 1;
        let account = self.accounts.entry(target.to_owned()).or_default();
        account.last = self.time;
        let mut shown = Vec::new();
        for series in read {
            if matches!(series.value, Value::Now(_)) {
                shown.push(series);
                continue;
            }
            let grown = seen.grown(&series);
            account.add(&series, grown);
        }
        shown.extend(account.shown.values().cloned());
        shown
    }

    /// Keeps the accounts of these targets, and of those that were not shown for longest forgets all but a
    /// few.
    pub fn forget_all_but(&mut self, living: &[&str]) {
        let is_gone = |name: &str| !living.contains(&name);
        while self.accounts.keys().filter(|name| is_gone(name)).count() > KEPT {
            let gone = self.accounts.iter().filter(|(name, _)| is_gone(name));
            let Some(oldest) = gone.min_by_key(|(_, account)| account.last) else {
                return;
            };
            let name = oldest.0.clone();
            self.accounts.remove(&name);
        }
    }
}

impl Account {
    fn add(&mut self, series: &Series, grown: Value) {
        let Some(shown) = self.shown.get_mut(&key(series)) else {
            let first = Series {
                value: grown,
                ..series.clone()
            };
            self.shown.insert(key(series), first);
            return;
        };
        match (&mut shown.value, grown) {
            (Value::Total(shown), Value::Total(grown)) => *shown += grown,
            (Value::Samples(shown), Value::Samples(grown)) => add(shown, &grown),
            _ => {}
        }
    }
}

fn key(series: &Series) -> Key {
    (series.family.name, series.labels.clone())
}

/// The label that every series of a target has.
#[must_use]
pub fn of_target(name: &str) -> Labels {
    vec![("target", Cow::Owned(name.to_owned()))]
}

#[cfg(test)]
mod tests;
