//! Time neither running nor runnable, and what the tasks slept on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::distribution::Distribution;
use super::window::Group;
use crate::snapshot::REASONS;

/// The sleeps that ended in the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Blocked {
    /// All of them.
    #[serde(flatten)]
    pub all: Distribution,
    /// By what the task slept on; reasons without a sleep are left out.
    pub by_reason: BTreeMap<String, Distribution>,
}

impl Blocked {
    /// The figures of the sleeps of a group.
    pub(super) fn of(group: &Group, method: &str) -> Self {
        let figures = |samples| Distribution::of(samples, method.to_owned());
        let slept = REASONS.into_iter().zip(&group.blocked_by_reason);
        let slept = slept.filter(|(_, samples)| samples.count() > 0);
        Self {
            all: figures(&group.blocked),
            by_reason: slept
                .map(|(reason, samples)| (reason.to_owned(), figures(samples)))
                .collect(),
        }
    }
}
