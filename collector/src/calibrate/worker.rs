//! The process that measures one operation: it has one thread until the operation makes more, and
//! says what it found line by line, so that nothing is lost when it is ended early.

use super::{Operation, sampling::Budget, sampling::Sampled};
use crate::series::{Finding, Missing, Series};
use anyhow::{Context, Result};
use std::{collections::BTreeMap, fs, io::Write};

/// Measures an operation and writes what it found to stdout.
///
/// # Errors
/// If nobody reads it.
pub(crate) fn run(operation: &'static Operation, budget: Budget) -> Result<()> {
    // Whoever runs out of memory meanwhile: it is to be us.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    let mut bench = Bench {
        operation: operation.name,
        budget,
    };
    match (operation.measure)(&mut bench) {
        Ok(()) => Ok(()),
        Err(error) => bench.missing(None, format!("{error:#}")),
    }
}

/// What an operation needs in order to be measured and to tell.
#[derive(Debug)]
pub(crate) struct Bench {
    operation: &'static str,
    pub(crate) budget: Budget,
}

/// A variant of an operation: what it was made with, and what the kernel counted meanwhile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variant {
    name: String,
    parameters: BTreeMap<String, f64>,
    observed: BTreeMap<String, f64>,
}

impl Variant {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    pub(crate) fn with(mut self, parameter: &str, value: f64) -> Self {
        self.parameters.insert(parameter.to_owned(), value);
        self
    }

    pub(crate) fn observed(mut self, what: &str, value: f64) -> Self {
        self.observed.insert(what.to_owned(), value);
        self
    }
}

impl Bench {
    /// Says what a variant took.
    pub(crate) fn tell(&self, variant: Variant, sampled: Sampled) -> Result<()> {
        self.say(&Finding::Series(Series {
            operation: self.operation.to_owned(),
            variant: variant.name,
            parameters: variant.parameters,
            observed: variant.observed,
            operations: sampled.per_sample * sampled.samples.len() as u64,
            disturbed: sampled.disturbed,
            samples: sampled.samples,
        }))
    }

    /// Says why a variant, or all of it, cannot be measured.
    pub(crate) fn missing(&self, variant: Option<String>, reason: String) -> Result<()> {
        self.say(&Finding::Missing(Missing {
            operation: self.operation.to_owned(),
            variant,
            reason,
        }))
    }

    fn say(&self, finding: &Finding) -> Result<()> {
        let line = serde_json::to_string(finding)? + "\n";
        let mut stdout = std::io::stdout().lock();
        stdout
            .write_all(line.as_bytes())
            .and_then(|()| stdout.flush())
            .context("cannot say what was found")
    }
}
