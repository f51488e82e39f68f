//! How many events of a class there were, of which only those in windows were told apart.
//!
//! The number of all events is known, so what a window tells is the share of the class: a ratio
//! estimator over windows (Cochran, Sampling Techniques, chapter 6). Its error follows from how much
//! the share differs from window to window.

use std::collections::BTreeMap;

use super::student::t_quantile;

/// An estimate with its bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Estimate {
    /// None where no window showed any event.
    pub(super) value: Option<f64>,
    pub(super) lower: f64,
    pub(super) upper: f64,
}

/// What is known of a class: sums over the windows that have closed and showed an event of any class.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sampled {
    pub(super) windows: u64,
    /// Events of all classes, and the squares of their number in each window.
    pub(super) sum: u64,
    pub(super) squares: u64,
    /// Events of the class, the squares, and the products with the events of all.
    pub(super) class_sum: u64,
    pub(super) class_squares: u64,
    pub(super) products: u64,
    /// Events of the class and of all classes seen in all, in a window still open too.
    pub(super) seen: u64,
    pub(super) seen_of_all: u64,
    /// Events there were, seen or not.
    pub(super) counted: u64,
    /// One window was open all the time: nothing is left to estimate.
    pub(super) whole: bool,
}

/// Takes in what is known of the same roles, or others.
pub(super) fn add(roles: &mut BTreeMap<String, Sampled>, others: &BTreeMap<String, Sampled>) {
    for (role, other) in others {
        let known = roles.entry(role.clone());
        known.and_modify(|sum| sum.add(other)).or_insert(*other);
    }
}

/// The number of events of a class in all these roles, some of which may have shown none of it.
///
/// Each has a share of its own, and what it counted is known. Of a role whose events never fell into
/// a window the share of all others is the best guess; its bounds stay those of knowing nothing.
/// Errors of roles seen in the same windows may go together, so the margins add up.
pub(super) fn estimate(
    roles: &BTreeMap<String, Sampled>,
    of_class: &BTreeMap<String, Sampled>,
) -> Estimate {
    let roles = roles.iter().map(|(name, role)| {
        let class = of_class.get(name).copied().unwrap_or_default();
        role.with(&class)
    });
    let roles: Vec<Sampled> = roles.collect();
    let mut all = Sampled::default();
    roles.iter().for_each(|role| all.add(role));
    let otherwise = all.share();
    let none = Estimate {
        value: Some(0.0),
        ..Estimate::default()
    };
    let estimates = roles.iter().map(|role| role.estimate(otherwise));
    estimates.fold(none, |sum, role| Estimate {
        value: sum.value.zip(role.value).map(|(sum, role)| sum + role),
        lower: sum.lower + role.lower,
        upper: sum.upper + role.upper,
    })
}

impl Sampled {
    /// Takes in other windows: of another repeat, or role.
    fn add(&mut self, other: &Self) {
        self.windows += other.windows;
        self.sum += other.sum;
        self.squares += other.squares;
        self.class_sum += other.class_sum;
        self.class_squares += other.class_squares;
        self.products += other.products;
        self.seen += other.seen;
        self.seen_of_all += other.seen_of_all;
        self.counted += other.counted;
        self.whole &= other.whole;
    }

    /// The same with what is known of a class alone.
    fn with(&self, class: &Self) -> Self {
        Self {
            seen: class.seen,
            class_sum: class.class_sum,
            class_squares: class.class_squares,
            products: class.products,
            ..*self
        }
    }

    /// The number of events of the class; by the share `otherwise` where no window showed any.
    fn estimate(&self, otherwise: Option<f64>) -> Estimate {
        let seen = self.seen as f64;
        if self.whole {
            return Estimate {
                value: Some(seen),
                lower: seen,
                upper: seen,
            };
        }
        // What was seen is certain, and so is what turned out to be something else.
        let others = self.seen_of_all.saturating_sub(self.seen) as f64;
        let most = (self.counted as f64 - others).max(seen);
        let within = |value: f64| value.clamp(seen, most);
        let (lower, upper) = self.interval();
        Estimate {
            value: self
                .share()
                .or(otherwise)
                .map(|share| within(share * self.counted as f64)),
            lower: within(lower),
            upper: within(upper),
        }
    }

    fn share(&self) -> Option<f64> {
        if self.counted == 0 {
            return Some(0.0);
        }
        match (self.sum, self.seen_of_all) {
            (0, 0) => None,
            (0, all) => Some(self.seen as f64 / all as f64),
            (sum, _) => Some(self.class_sum as f64 / sum as f64),
        }
    }

    /// The 95 % interval, by Student's t over windows.
    fn interval(&self) -> (f64, f64) {
        let counted = self.counted as f64;
        let (Some(share), 2..) = (self.share(), self.windows) else {
            return (0.0, counted);
        };
        let (windows, sum) = (self.windows as f64, self.sum as f64);
        let residual = self.class_squares as f64 - 2.0 * share * self.products as f64
            + share * share * self.squares as f64;
        let deviation = (residual.max(0.0) * windows / (windows - 1.0)).sqrt() / sum;
        let degrees = u32::try_from(self.windows - 1).unwrap_or(u32::MAX);
        // A few windows may agree by chance, so never less than events drawn one by one would have.
        let drawn = 1.96 * (share * (1.0 - share) / sum).sqrt();
        let mut margin = (t_quantile(degrees.min(1_000), 0.95) * deviation).max(drawn);
        // Where all windows agree that there is none, or nothing else, they tell no error; of so many
        // windows without exception, three more would not have surprised (the rule of three).
        if self.class_sum == 0 || self.class_sum == self.sum {
            margin = 3.0 / windows;
        }
        (counted * (share - margin), counted * (share + margin))
    }
}
