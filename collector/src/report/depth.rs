//! How many tasks a CPU had to choose from.

use serde::{Deserialize, Serialize};

use super::distribution::rank;
use super::histogram::last_filled;

/// Runnable tasks on the CPU, the running one included, at each switch-out of a watched task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunQueueDepth {
    /// Switch-outs.
    pub samples: u64,
    /// Mean depth, in tasks; this and the others none without samples.
    pub mean: Option<f64>,
    /// Nearest-rank median; exact, as are the others.
    pub p50: Option<u64>,
    /// Nearest-rank 99th percentile.
    pub p99: Option<u64>,
    /// The deepest.
    pub max: Option<u64>,
    /// Samples lie in the last entry, which holds all deeper ones too: `mean` and whatever equals
    /// `max` are lower bounds.
    pub is_bound: bool,
    /// How it was measured.
    pub method: String,
}

impl RunQueueDepth {
    /// The figures of `counts`, samples by depth; the last entry holds all deeper ones too.
    #[must_use]
    pub fn of(counts: &[u64], method: String) -> Self {
        let samples: u64 = counts.iter().sum();
        let weighted: f64 = (0_u64..)
            .zip(counts)
            .map(|(depth, &n)| depth as f64 * n as f64)
            .sum();
        let deepest = last_filled(counts);
        Self {
            samples,
            mean: (samples > 0).then(|| weighted / samples as f64),
            p50: depth_of_rank(counts, rank(50, samples)),
            p99: depth_of_rank(counts, rank(99, samples)),
            max: deepest.map(|depth| depth as u64),
            is_bound: deepest.is_some_and(|depth| depth + 1 == counts.len()),
            method,
        }
    }
}

fn depth_of_rank(counts: &[u64], rank: u64) -> Option<u64> {
    let mut seen = 0;
    let position = counts.iter().position(|&count| {
        seen += count;
        count > 0 && seen >= rank
    });
    position.map(|depth| depth as u64)
}
