//! The plain data between `claims` and its report: the claims as they were written, and what was
//! measured, round by round, and nothing of how it was made to happen.

use crate::snapshot::Host;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One run of `connscope claims`. Its report is made of this alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimsRun {
    /// The machine it was made on.
    pub host: Host,
    /// The claims that were asked for, in the order of their files.
    pub claims: Vec<Claim>,
    /// What the letters of sources stand for.
    pub sources: BTreeMap<String, String>,
    /// What was measured.
    pub figures: Vec<Figure>,
    /// What was not, and why.
    pub missing: Vec<Missing>,
    /// How long each measurement took.
    #[serde(default)]
    pub measurements: Vec<Timed>,
    /// Rounds that each measurement was to be made in.
    pub rounds: u32,
    /// Fewer rounds were asked for.
    pub quick: bool,
    /// How long it took.
    pub took_ns: u64,
    /// Why it ended before its time, if it did.
    pub incomplete: Option<String>,
}

/// A claim, and what it is judged by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// Its name.
    pub id: String,
    /// The heading it stands below.
    pub group: String,
    /// What is said.
    pub claim: String,
    /// Who says so, by the letters of [`ClaimsRun::sources`].
    pub sources: Vec<String>,
    /// What is to be known besides.
    pub note: Option<String>,
    /// What must hold, all of it.
    pub tests: Vec<Test>,
}

/// A figure, or how many times another it is, and its bounds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// Name of the figure.
    pub measure: String,
    /// What it is shown as; the measure where it has no other name.
    pub label: Option<String>,
    /// Which points of it; none for all.
    pub at: Vec<String>,
    /// The least and the most place on its axis that counts.
    pub from: Option<f64>,
    /// See `from`.
    pub to: Option<f64>,
    /// The figure that it is divided by, round by round.
    pub per: Option<String>,
    /// Which point of that; none for the one of the same name.
    pub per_at: Option<String>,
    /// What is said to be measured.
    pub claimed: Option<f64>,
    /// The least with which the claim holds.
    pub at_least: Option<f64>,
    /// The most with which it does.
    pub at_most: Option<f64>,
}

/// What a figure is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Time.
    Seconds,
    /// Memory.
    Bytes,
    /// A rate.
    PerSecond,
    /// A number of things.
    Count,
    /// A share of 1.
    Share,
    /// A number without a unit: how many times another figure it is, CPUs.
    Number,
    /// 1 or 0.
    YesNo,
    /// The share of a variance that a line explains, R²: from 0 to 1.
    RSquared,
}

/// What a figure is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// Its name, in claims and in the report.
    pub name: String,
    /// What it is in.
    pub unit: Unit,
    /// What its points differ in; none of a figure of one point.
    pub axis: Option<String>,
    /// How it is measured.
    pub method: String,
}

/// A figure with its samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is.
    pub about: Described,
    /// One for each place on its axis, in the order they came.
    pub points: Vec<Point>,
}

/// Samples of a figure at one place on its axis.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The place in words: `64 KiB`, `event-loop`; empty of a figure without an axis.
    pub at: String,
    /// The place as a number, where it is one.
    pub x: Option<f64>,
    /// Samples of each round that has any.
    pub rounds: Vec<Round>,
    /// What is to be known of it.
    pub note: Option<String>,
}

/// Samples taken in one round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Which one, from 1: figures of the same round were measured next to each other.
    pub number: u32,
    /// One at least, in the order they were taken.
    pub samples: Vec<f64>,
}

/// How long a measurement took, in all rounds together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timed {
    /// Its name.
    pub name: String,
    /// How long it was expected to take.
    pub planned_ns: u64,
    /// How long it took.
    pub took_ns: u64,
}

/// A figure that was not measured, or one of its points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Name of the figure.
    pub measure: String,
    /// Which point of it; none for all.
    pub at: Option<String>,
    /// Why, and what can be done.
    pub reason: String,
    /// It was tried and went wrong, rather than that this host does not allow it.
    pub failed: bool,
}
