//! The plain data between `calibrate` and its report: what each operation took, sample by sample,
//! and nothing of how it was made to happen.

use crate::snapshot::Host;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One run of `connscope calibrate`. Its report is made of this alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Calibration {
    /// The machine it was made on.
    pub host: Host,
    /// The operations that were asked for, in the order of the list.
    pub operations: Vec<Described>,
    /// What was found, in the order it came.
    pub findings: Vec<Finding>,
    /// Fewer and shorter samples were asked for.
    pub quick: bool,
    /// How long it took.
    pub took_ns: u64,
    /// Why it ended before its time, if it did.
    pub incomplete: Option<String>,
}

/// What an operation is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// Its name in the report and on the command line.
    pub name: String,
    /// The heading it stands below.
    pub group: String,
    /// What it is, in a few words.
    pub title: String,
    /// What a figure is of one of: `switch`, `page`.
    pub unit: String,
    /// How it is measured.
    pub method: String,
}

/// What a worker says of an operation, one object to a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It was measured.
    Series(Series),
    /// It, or one of its variants, could not be.
    Missing(Missing),
}

/// Samples of one variant of an operation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Name of the operation.
    pub operation: String,
    /// Which variant of it, in words: `64 kB`, `6 address spaces`.
    pub variant: String,
    /// What the variant was made with, by the names that the report gives: `resident_bytes`.
    pub parameters: BTreeMap<String, f64>,
    /// What the kernel counted meanwhile, for each operation: `switches_per_operation`.
    pub observed: BTreeMap<String, f64>,
    /// Times the operation was done, in all samples together.
    pub operations: u64,
    /// Samples set aside, since other tasks had the CPU meanwhile.
    pub disturbed: u64,
    /// In the order they were taken.
    pub samples: Vec<Sample>,
}

/// What the operation took, once or on the mean of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// As it was measured.
    pub raw_ns: f64,
    /// The same work without the operation, measured right after, where there is such a thing.
    pub harness_ns: Option<f64>,
}

/// What could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Name of the operation.
    pub operation: String,
    /// Which variant of it; none for all.
    pub variant: Option<String>,
    /// Why, and what can be done.
    pub reason: String,
}

impl Sample {
    /// What is left of it without the harness.
    #[must_use]
    pub fn net_ns(&self) -> f64 {
        self.raw_ns - self.harness_ns.unwrap_or(0.0)
    }
}
