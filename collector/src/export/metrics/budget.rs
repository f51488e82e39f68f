//! How many series a target may have. Where it would have more, whole families of it are left out, and that
//! is shown.

use super::family::{Family, Kind, Series};
use std::collections::BTreeMap;

/// Leaves out what is above the limit, the family with most series first; returns how many series that were.
/// Gauges and counters go last.
pub fn within(series: &mut Vec<Series>, limit: usize) -> usize {
    let mut sizes: BTreeMap<&'static str, (bool, usize)> = BTreeMap::new();
    for one in series.iter() {
        let is_histogram = matches!(one.family.kind, Kind::Histogram(..));
        let entry = sizes.entry(one.family.name).or_insert((is_histogram, 0));
        entry.1 += one.family.lines();
    }
    let mut left: usize = sizes.values().map(|(_, size)| size).sum();
    let mut left_out = 0;
    while left > limit {
        let largest = sizes.iter().max_by_key(|(_, size)| **size);
        let Some((&name, &(_, size))) = largest else {
            break;
        };
        sizes.remove(name);
        left -= size;
        left_out += size;
    }
    series.retain(|one| sizes.contains_key(one.family.name));
    left_out
}

/// How many series there are of a target.
#[must_use]
pub fn lines(series: &[Series]) -> usize {
    series.iter().map(|one| one.family.lines()).sum()
}

/// Whether a family is wanted where these measures are not.
#[must_use]
pub fn is_wanted(family: &Family, left_out: &[String]) -> bool {
    family
        .measure
        .is_none_or(|measure| !left_out.iter().any(|it| it == measure))
}
