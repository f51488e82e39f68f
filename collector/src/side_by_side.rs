//! Reports of the same kind from several hosts, side by side: what each says of the same thing, in what they were made
//! differently, and whose figure is best as far as intervals can tell. Two records are told apart by a test in
//! [`crate::diff`]; here stands what each host says, of however many.

mod calibrations;
mod comparisons;
mod hosts;

pub use calibrations::{Calibrations, Operation, Variant};
pub use comparisons::{Block, Comparisons, Figure, Seen};
pub use hosts::{Difference, Side};

use crate::record::Origin;

/// A report, and where it comes from.
#[derive(Clone, Debug)]
pub struct Sheet<T> {
    /// The file that its record is in.
    pub file: String,
    /// Where the record comes from.
    pub origin: Origin,
    /// What was made of it.
    pub report: T,
}

/// Takes in what another host has, each behind what it is behind there.
fn merge<T: PartialEq>(all: &mut Vec<T>, others: impl IntoIterator<Item = T>) {
    let mut behind = 0;
    for other in others {
        match all.iter().position(|known| *known == other) {
            Some(place) => behind = place + 1,
            None => {
                all.insert(behind, other);
                behind += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::merge;

    #[test]
    fn what_one_host_has_besides_stands_in_its_order() {
        let mut all = vec![1, 10, 100];
        merge(&mut all, [1, 50, 100, 1000]);
        merge(&mut all, [0, 10, 20, 50]);
        assert_eq!(all, [0, 1, 50, 10, 20, 100, 1000]);
        let mut none = Vec::new();
        merge(&mut none, [2, 1]);
        assert_eq!(none, [2, 1]);
    }
}
