//! The bound that a difference must exceed to be one: what differences would be found if the units had been given
//! to A and to B by chance.
//!
//! A permutation test by the largest of all statistics (Westfall and Young 1993, "Resampling-Based Multiple
//! Testing", single-step maxT). Under each relabelling the largest difference of all figures, in its standard errors,
//! is noted; the bound is what 5 % of those exceed. So the chance to call anything different in a diff of what does
//! not differ is 5 % at most, however many figures there are, however they depend on each other, and whatever their
//! distribution is. Exact where all relabellings can be tried; else of a sample of them. A bootstrap of 4 or 5
//! repeats would draw from so few values that its intervals are too narrow.

use super::FALSE_ALARMS;
use super::group::Group;
use std::collections::BTreeSet;

/// Relabellings tried, where there are more.
const TRIED_MAX: usize = 5_000;

/// All ways to give the units to A and to B that are tried, the one that is first.
#[derive(Clone, Debug)]
pub struct Relabelled {
    /// Of each, which of the units are A's: first the places of A's own units, then of B's.
    labels: Vec<Vec<bool>>,
    a: Vec<u32>,
    b: Vec<u32>,
}

impl Relabelled {
    /// # Errors
    /// Why nothing could be told from so few units.
    pub fn of(groups: &[&Group]) -> Result<Self, String> {
        let ids = |of: fn(&Group) -> Vec<u32>| -> Vec<u32> {
            let ids: BTreeSet<u32> = groups.iter().flat_map(|group| of(group)).collect();
            ids.into_iter().collect()
        };
        let a = ids(|group| group.a.keys().copied().collect());
        let b = ids(|group| group.b.keys().copied().collect());
        if a.is_empty() || b.is_empty() {
            return Err("there is no figure that both have".to_owned());
        }
        let ways = ways(a.len() + b.len(), a.len());
        // Of as many units each, to exchange A and B gives the same difference.
        let alike = if a.len() == b.len() { 2.0 } else { 1.0 };
        if alike / ways > FALSE_ALARMS {
            return Err(format!(
                "{} and {} units are too few to tell chance from a difference: 4 of each are needed (compare --repeat 4, \
                 or record for longer)",
                a.len(),
                b.len()
            ));
        }
        let labels = match ways <= TRIED_MAX as f64 {
            true => all(a.len() + b.len(), a.len()),
            false => some(a.len() + b.len(), a.len()),
        };
        Ok(Self { labels, a, b })
    }
}

/// Binomial coefficient.
fn ways(of: usize, chosen: usize) -> f64 {
    (0..chosen)
        .map(|k| (of - k) as f64 / (chosen - k) as f64)
        .product()
}

/// Every way to choose so many of so many.
fn all(of: usize, chosen: usize) -> Vec<Vec<bool>> {
    let mut found = Vec::new();
    let mut labels = Vec::new();
    extend(&mut labels, of, chosen, &mut found);
    found
}

fn extend(labels: &mut Vec<bool>, of: usize, chosen: usize, found: &mut Vec<Vec<bool>>) {
    if labels.len() == of {
        found.push(labels.clone());
        return;
    }
    let left = of - labels.len();
    for label in [true, false] {
        let (chosen_then, left_then) = (chosen - usize::from(label && chosen > 0), left - 1);
        let possible = if label {
            chosen > 0
        } else {
            chosen <= left_then
        };
        if possible {
            labels.push(label);
            extend(labels, of, chosen_then, found);
            labels.pop();
        }
    }
}

/// Some of them, the one that is among them, the same each time.
fn some(of: usize, chosen: usize) -> Vec<Vec<bool>> {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let first: Vec<bool> = (0..of).map(|place| place < chosen).collect();
    let mut labels = first.clone();
    let mut found = vec![first];
    while found.len() < TRIED_MAX {
        for last in (1..of).rev() {
            labels.swap(last, numbers.below(last as u64 + 1) as usize);
        }
        found.push(labels.clone());
    }
    found
}

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Numbers(u64);

impl Numbers {
    /// From 0 to below `limit`, which is small: the bias is some 2^-60.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// In standard errors, what a difference must exceed.
#[must_use]
pub fn bound(groups: &[&Group], relabelled: &Relabelled) -> f64 {
    let columns: Vec<Column<'_>> = groups
        .iter()
        .map(|group| Column::of(group, relabelled))
        .collect();
    let largest = |labels: &Vec<bool>| {
        let each = columns.iter().map(|column| column.statistic(labels));
        each.fold(0.0, f64::max)
    };
    let mut largest: Vec<f64> = relabelled.labels.iter().map(largest).collect();
    largest.sort_by(|one, other| other.total_cmp(one));
    // So many may reach what is called a difference; the next one may not.
    let may = (FALSE_ALARMS * largest.len() as f64).floor() as usize;
    largest[may.min(largest.len() - 1)]
}

/// The values of a figure by the place of their unit; none where a unit lacks it.
struct Column<'a> {
    group: &'a Group,
    values: Vec<Option<f64>>,
}

impl<'a> Column<'a> {
    fn of(group: &'a Group, relabelled: &Relabelled) -> Self {
        let a = relabelled.a.iter().map(|id| group.a.get(id).copied());
        let b = relabelled.b.iter().map(|id| group.b.get(id).copied());
        Self {
            group,
            values: a.chain(b).collect(),
        }
    }

    /// The difference in its standard errors; 0 where one of the two has no two units.
    fn statistic(&self, labels: &[bool]) -> f64 {
        let of = |label: bool| -> Vec<f64> {
            let labelled = self.values.iter().zip(labels);
            let values = labelled.filter(|(_, is_a)| **is_a == label);
            values.filter_map(|(value, _)| *value).collect()
        };
        let (a, b) = (of(true), of(false));
        if a.len() < 2 || b.len() < 2 {
            return 0.0;
        }
        let estimate = self.group.estimate_of(&a, &b);
        let difference = (estimate.b - estimate.a).abs();
        match estimate.standard_error > 0.0 {
            true => difference / estimate.standard_error,
            false if difference > 0.0 => f64::INFINITY,
            false => 0.0,
        }
    }
}
