//! Claims against what was measured: a pure function of the two. Each point of a figure is judged by
//! the interval that its rounds leave, a test by its points, and a claim by its tests.

use std::collections::BTreeMap;

use serde::Serialize;

use super::SCHEMA;
use crate::figures::{Claim, ClaimsRun, Missing, Timed, Unit};
use crate::snapshot::Host;

mod estimate;
mod isolation;
mod judge;

pub use estimate::Estimate;
pub use isolation::{Anomaly, Isolation, Level};

/// Rounds without which there is no verdict.
pub const LEAST_ROUNDS: u64 = 3;

/// What `connscope claims` reports, field by field as `docs/json.md` describes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Claims {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `claims`.
    pub command: String,
    /// Why it ended before its time, if it did.
    pub incomplete: Option<String>,
    /// The machine it was made on.
    pub host: Host,
    /// Fewer rounds were asked for.
    pub quick: bool,
    /// Rounds that each measurement was to be made in.
    pub rounds: u32,
    /// How long all of it took, in seconds.
    pub duration_seconds: f64,
    /// How many claims have each verdict.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// The claims.
    pub claims: Vec<Judged>,
    /// The levels of isolation of each database that was tried.
    pub isolation: Vec<Isolation>,
    /// What the letters of sources stand for.
    pub sources: BTreeMap<String, String>,
    /// What was not measured, and why.
    pub unavailable: Vec<Missing>,
    /// How long each measurement took.
    pub measurements: Vec<Took>,
}

/// How long a measurement took, in all rounds together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Took {
    /// Its name.
    pub name: String,
    /// How long it was expected to take on a quiet host, in seconds.
    pub planned_seconds: f64,
    /// How long it took.
    pub seconds: f64,
}

/// What is to be said of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every interval is within the bounds.
    Holds,
    /// One is outside.
    DoesNotHold,
    /// At some places of an axis it holds, at others it does not.
    Depends,
    /// An interval reaches over a bound, or there are too few rounds.
    Undecided,
    /// This host does not allow it.
    NotMeasurableHere,
    /// It was tried and went wrong.
    Failed,
}

/// A claim and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// Its name.
    pub id: String,
    /// The heading it stands below.
    pub group: String,
    /// What is said.
    pub claim: String,
    /// Who says so.
    pub sources: Vec<String>,
    /// What is to be known besides.
    pub note: Option<String>,
    /// What became of it.
    pub verdict: Verdict,
    /// Why it has no better verdict; none where its figures say all.
    pub reason: Option<String>,
    /// What it was judged by.
    pub tests: Vec<Tested>,
}

/// A figure against its bounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tested {
    /// Name of the figure.
    pub measure: String,
    /// What it is shown as.
    pub label: String,
    /// The figure that it was divided by.
    pub per: Option<String>,
    /// What it is in; a number if it was divided.
    pub unit: Unit,
    /// What its points differ in.
    pub axis: Option<String>,
    /// How it was measured.
    pub method: String,
    /// What is said to be measured.
    pub claimed: Option<f64>,
    /// The least with which the claim holds.
    pub at_least: Option<f64>,
    /// The most with which it does.
    pub at_most: Option<f64>,
    /// What became of it.
    pub verdict: Verdict,
    /// How many times what is said the figure is, or the bound that it missed where nothing is said: of
    /// the point that is furthest off. None where it holds, or such a number makes no sense.
    pub factor: Option<f64>,
    /// Why it has no better verdict.
    pub reason: Option<String>,
    /// One for each place on the axis.
    pub results: Vec<Measured>,
}

/// A figure at one place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// The place in words.
    pub at: String,
    /// The place as a number, where it is one.
    pub x: Option<f64>,
    /// What was measured.
    #[serde(flatten)]
    pub estimate: Estimate,
    /// What became of it.
    pub verdict: Verdict,
    /// As of the test.
    pub factor: Option<f64>,
    /// What is to be known of it.
    pub note: Option<String>,
}

impl Claims {
    /// Why it is not whole: it ended before its time, or a measurement went wrong. A claim that does not hold is no
    /// trouble.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        let failed = self
            .claims
            .iter()
            .filter(|it| it.verdict == Verdict::Failed);
        let why =
            failed.map(|it| format!("{}: {}", it.id, it.reason.as_deref().unwrap_or("no figure")));
        self.incomplete.clone().into_iter().chain(why).collect()
    }
}

/// Judges each claim by what was measured.
#[must_use]
pub fn build(run: &ClaimsRun) -> Claims {
    let claims: Vec<Judged> = run.claims.iter().map(|claim| judged(claim, run)).collect();
    let mut verdicts = BTreeMap::new();
    for claim in &claims {
        *verdicts.entry(claim.verdict).or_default() += 1;
    }
    Claims {
        schema: SCHEMA,
        command: "claims".to_owned(),
        incomplete: run.incomplete.clone(),
        host: run.host.clone(),
        quick: run.quick,
        rounds: run.rounds,
        duration_seconds: run.took_ns as f64 / 1e9,
        verdicts,
        claims,
        isolation: isolation::of(run),
        sources: run.sources.clone(),
        unavailable: run.missing.clone(),
        measurements: run.measurements.iter().map(Took::of).collect(),
    }
}

impl Took {
    fn of(timed: &Timed) -> Self {
        Self {
            name: timed.name.clone(),
            planned_seconds: timed.planned_ns as f64 / 1e9,
            seconds: timed.took_ns as f64 / 1e9,
        }
    }
}

fn judged(claim: &Claim, run: &ClaimsRun) -> Judged {
    let tests: Vec<Tested> = claim.tests.iter().map(|it| judge::test(it, run)).collect();
    let verdict = judge::together(tests.iter().map(|test| test.verdict));
    let deciding = tests.iter().find(|test| test.verdict == verdict);
    Judged {
        id: claim.id.clone(),
        group: claim.group.clone(),
        claim: claim.claim.clone(),
        sources: claim.sources.clone(),
        note: claim.note.clone(),
        verdict,
        reason: deciding.and_then(|test| test.reason.clone()),
        tests,
    }
}
