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

pub use databases::{Databases, Kind, Login};
pub use round::{Taken, planned, take};
pub use servers::Setting;

use round::Round;

/// A way to measure some figures.
pub struct Measurement {
    /// What the progress bar says.
    pub name: &'static str,
    /// What it gives.
    pub figures: Vec<Described>,
    /// How long a round is expected to take, in milliseconds: in full, and with `--quick`.
    takes_ms: [u64; 2],
    /// The database that it is made on, if it is.
    database: Option<Kind>,
    take: Box<Take>,
}

/// Makes a round of it.
type Take = dyn Fn(&mut Round<'_>) -> Result<()>;

impl Measurement {
    /// How long a round is expected to take: none without its database.
    fn takes(&self, quick: bool, databases: &Databases) -> Duration {
        match self.database {
            Some(kind) if !databases.have(kind) => Duration::ZERO,
            _ => Duration::from_millis(self.takes_ms[usize::from(quick)]),
        }
    }

    /// Planned to take so long in all rounds together; nothing of it is taken yet.
    fn timed(&self, planned: Duration) -> Timed {
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
        database: None,
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
    use super::{Databases, Kind, Login, known, measurements, needed, planned, rows::Rows};
    use std::time::Duration;

    /// Two minutes with --quick and ten in full, with a PostgreSQL and a MySQL; a tenth of it is left.
    #[test]
    fn all_claims_are_within_their_time() {
        let all = measurements();
        let claims = Rows::load(None, &known(&all)).expect("ours").claims;
        let login = |kind| (kind, Login::parse(kind, "1").expect("a port"));
        let given = [Kind::Postgresql, Kind::Mysql].map(login);
        let (none, both) = (Databases::new(Vec::new()), Databases::new(given.into()));
        let needed_for_all = needed(&all, &claims);
        for (quick, limit) in [(true, 120), (false, 600)] {
            let time = planned(&needed_for_all, quick, &both);
            assert!(time <= Duration::from_secs(limit).mul_f64(0.9), "{time:?}");
            assert!(planned(&needed_for_all, quick, &none) < time);
        }
        for claim in &claims {
            let one = needed(&all, std::slice::from_ref(claim));
            let one = planned(&one, true, &both);
            assert!(one <= Duration::from_secs(40), "{}: {one:?}", claim.id);
        }
    }
}
