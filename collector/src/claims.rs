//! Folklore against measurement. What is claimed is in `claims.toml` and in files of the same form
//! ([`rows`]); what can be measured is the list of [`measurements`], each family in a file. All of it is measured in
//! rounds, one after another, so that a slow minute of the host hits all alike and no verdict rests on a
//! single run. The verdicts are [made elsewhere](crate::report::claims), of the samples alone.

use crate::figures::{Claim, Described, Timed, Unit};
use anyhow::Result;
use std::{collections::BTreeSet, time::Duration};

mod blocking;
mod booking;
mod capacity;
mod churn;
mod cores;
mod databases;
mod goroutines;
mod instructions;
mod models;
mod operations;
mod pools;
mod round;
pub mod rows;
mod scheduler;
mod servers;
mod shards;
mod sharing;
mod spawning;
mod stacks;

pub use databases::{Kind, Login};
pub use round::{Taken, take};
pub use servers::Setting;

use round::{ROUNDS, Round};

/// A way to measure some figures.
pub struct Measurement {
    /// What the progress bar says.
    pub name: &'static str,
    /// What it gives.
    pub figures: Vec<Described>,
    /// How long a round is expected to take, in milliseconds: in full, and with `--quick`.
    takes_ms: [u64; 2],
    take: Box<Take>,
}

/// Makes a round of it.
type Take = dyn Fn(&mut Round<'_>) -> Result<()>;

impl Measurement {
    /// How long a round is expected to take.
    #[must_use]
    pub fn takes(&self, quick: bool) -> Duration {
        Duration::from_millis(self.takes_ms[usize::from(quick)])
    }

    /// The same in all rounds together; nothing of it is taken yet.
    fn timed(&self, quick: bool) -> Timed {
        let planned = self.takes(quick) * ROUNDS[usize::from(quick)];
        Timed {
            name: self.name.into(),
            planned_ns: planned.as_nanos() as u64,
            took_ns: 0,
        }
    }

    /// Whether it gives one of these figures.
    #[must_use]
    pub fn gives(&self, wanted: &BTreeSet<&str>) -> bool {
        self.figures
            .iter()
            .any(|figure| wanted.contains(figure.name.as_str()))
    }
}

/// What a figure is, in a measurement's file.
struct Spec {
    name: &'static str,
    unit: Unit,
    /// What its points differ in; empty where there is one only.
    axis: &'static str,
    method: &'static str,
}

impl Spec {
    fn described(&self) -> Described {
        Described {
            name: self.name.into(),
            unit: self.unit,
            axis: (!self.axis.is_empty()).then(|| self.axis.into()),
            method: self.method.into(),
        }
    }
}

/// A measurement as its file tells of it.
struct Family {
    name: &'static str,
    figures: &'static [Spec],
    takes_ms: [u64; 2],
    take: fn(&mut Round<'_>) -> Result<()>,
}

/// All measurements, in the order they are made in.
#[must_use]
pub fn measurements() -> Vec<Measurement> {
    const FAMILIES: [&Family; 13] = [
        &scheduler::FAMILY,
        &spawning::FAMILY,
        &stacks::FAMILY,
        &blocking::FAMILY,
        &models::FAMILY,
        &sharing::FAMILY,
        &cores::FAMILY,
        &booking::FAMILY,
        &pools::FAMILY,
        &churn::FAMILY,
        &goroutines::FAMILY,
        &shards::FAMILY,
        &capacity::FAMILY,
    ];
    let family = |family: &'static Family| Measurement {
        name: family.name,
        figures: family.figures.iter().map(Spec::described).collect(),
        takes_ms: family.takes_ms,
        take: Box::new(family.take),
    };
    let mut all = operations::measurements();
    all.extend(FAMILIES.into_iter().map(family));
    all.extend(databases::measurements());
    all
}

/// The measurements that give what these claims are judged by.
#[must_use]
pub fn needed<'a>(all: &'a [Measurement], claims: &[Claim]) -> Vec<&'a Measurement> {
    let tests = claims.iter().flat_map(|claim| &claim.tests);
    let figures = tests.flat_map(|test| std::iter::once(&test.measure).chain(&test.per));
    let figures: BTreeSet<&str> = figures.map(String::as_str).collect();
    all.iter().filter(|it| it.gives(&figures)).collect()
}

/// What all these can tell; some figures come from several.
#[must_use]
pub fn known<'a>(measurements: impl IntoIterator<Item = &'a Measurement>) -> Vec<Described> {
    let mut known: Vec<Described> = Vec::new();
    for figure in measurements.into_iter().flat_map(|it| &it.figures) {
        if !known.iter().any(|it| it.name == figure.name) {
            known.push(figure.clone());
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::{Measurement, databases, known, measurements, needed, rows::Rows};
    use std::time::Duration;

    /// How long all rounds are expected to take on a quiet host.
    fn planned(measurements: &[&Measurement], quick: bool) -> Duration {
        let all = measurements.iter().map(|it| it.timed(quick).planned_ns);
        Duration::from_nanos(all.sum())
    }

    /// Two minutes with --quick; ten in full, with a PostgreSQL and a MySQL.
    #[test]
    fn all_claims_are_within_their_time() {
        let all = measurements();
        let claims = Rows::load(None, &known(&all)).expect("ours").claims;
        let own = &all[..all.len() - databases::measurements().len()];
        let (quick, full) = (
            planned(&needed(own, &claims), true),
            planned(&needed(&all, &claims), false),
        );
        assert!(quick <= Duration::from_secs(120), "{quick:?}");
        assert!(full <= Duration::from_secs(600), "{full:?}");
        for claim in &claims {
            let one = planned(&needed(&all, std::slice::from_ref(claim)), true);
            assert!(one <= Duration::from_secs(40), "{}: {one:?}", claim.id);
        }
    }
}
