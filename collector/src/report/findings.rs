//! What stands out in the figures of running servers: one list of rules, each a figure of the report
//! against a threshold. `docs/findings.md` says why each threshold is where it is.
//!
//! A rule says nothing of what it has too few samples of, and says so in [`Examined`]. Sentences are
//! made of the figures that the report shows, in the units in which it shows them.

use serde::Serialize;

use super::Target;
use super::observer::{Lost, Observer};
use crate::snapshot::Host;
use crate::units;

mod background;
mod clients;
mod connecting;
mod memory;
mod scheduling;
mod sleeping;
mod thresholds;
mod watching;

pub use thresholds::RULES;

/// Something that stands out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Which rule found it.
    pub rule: &'static str,
    /// Of which target; none of the host and of connscope itself.
    pub target: Option<String>,
    /// The figure.
    pub measured: f64,
    /// From where on it stands out.
    pub threshold: f64,
    /// Of both.
    pub unit: Unit,
    /// What was found, in words.
    pub sentence: String,
    /// What can be done.
    pub advice: String,
    /// How sure it is.
    pub confidence: Confidence,
    /// Why it is as sure as that.
    pub because: String,
}

/// One rule, and what it found of one target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Examined {
    /// Its name.
    pub rule: &'static str,
    /// Of which target; none of the host and of connscope itself.
    pub target: Option<String>,
    /// What it measures, in words.
    pub figure: &'static str,
    /// The figure; none where it could not be measured.
    pub measured: Option<f64>,
    /// From where on it stands out.
    pub threshold: f64,
    /// Of both.
    pub unit: Unit,
    /// Why the threshold is there.
    pub why: &'static str,
    /// Whether it is a finding.
    pub fired: bool,
    /// Why there is no figure, or why it is no finding although it is above the threshold.
    pub reason: Option<String>,
}

/// What a figure and its threshold are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Of 1.
    Share,
    /// One quantity by another of the same unit.
    Ratio,
    /// Events a second.
    PerSecond,
    /// Seconds.
    Seconds,
}

impl Unit {
    /// A figure in it, as tables show it.
    #[must_use]
    pub fn show(self, figure: f64) -> String {
        match self {
            Self::Share => units::percent(figure),
            Self::Ratio => format!("{} times", units::number(figure)),
            Self::PerSecond => units::rate(figure),
            Self::Seconds => units::time(figure),
        }
    }
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Every event was counted, and there is one explanation.
    High,
    /// Few samples, or more than one explanation.
    Medium,
    /// An estimate whose interval is wide.
    Low,
}

impl Confidence {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

/// One rule: what it looks at, and from where on that stands out.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its name.
    pub id: &'static str,
    /// What it measures, in words.
    pub figure: &'static str,
    /// Of the figure.
    pub unit: Unit,
    /// From where on it stands out.
    pub threshold: f64,
    /// Why there.
    pub why: &'static str,
    look: Look,
}

/// How a rule looks: at each target, or once at the whole watch.
#[derive(Clone, Copy, Debug)]
enum Look {
    Target(fn(&Facts<'_>) -> Seen),
    Watch(fn(&Watch<'_>) -> Seen),
}

/// What was seen, or why nothing can be said.
type Seen = Result<Measured, String>;

/// A figure and what to say of it, should it stand out.
#[derive(Clone, Debug)]
struct Measured {
    figure: f64,
    /// Why it is no finding, however large the figure.
    held_back: Option<String>,
    sentence: String,
    advice: String,
    confidence: Confidence,
    because: String,
}

/// All that was watched at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch<'a> {
    pub(super) targets: &'a [Target],
    pub(super) host: &'a Host,
    pub(super) lost: &'a Lost,
    pub(super) observer: &'a Observer,
}

/// One target of it.
#[derive(Clone, Copy, Debug)]
struct Facts<'a> {
    target: &'a Target,
    host: &'a Host,
}

/// What the rules find, and what each looked at. Servers that were started to be compared stand beside
/// each other already.
pub(super) fn of(watch: &Watch<'_>) -> (Vec<Finding>, Vec<Examined>) {
    let running = watch.targets.iter().filter(|it| it.kind.ran_already());
    let facts = running.map(|target| Facts {
        target,
        host: watch.host,
    });
    let facts: Vec<Facts<'_>> = facts.collect();
    let (mut findings, mut examined) = (Vec::new(), Vec::new());
    if facts.is_empty() {
        return (findings, examined);
    }
    for rule in RULES {
        let seen: Vec<_> = match rule.look {
            Look::Watch(look) => vec![(None, look(watch))],
            Look::Target(look) => facts
                .iter()
                .map(|facts| (Some(facts.target.name.clone()), look(facts)))
                .collect(),
        };
        for (target, seen) in seen {
            findings.extend(rule.finding(target.as_ref(), &seen));
            examined.push(rule.examined(target, &seen));
        }
    }
    (findings, examined)
}

impl Rule {
    fn finding(&self, target: Option<&String>, seen: &Seen) -> Option<Finding> {
        let seen = seen.as_ref().ok().filter(|seen| self.fires(seen))?;
        Some(Finding {
            rule: self.id,
            target: target.cloned(),
            measured: seen.figure,
            threshold: self.threshold,
            unit: self.unit,
            sentence: seen.sentence.clone(),
            advice: seen.advice.clone(),
            confidence: seen.confidence,
            because: seen.because.clone(),
        })
    }

    fn examined(&self, target: Option<String>, seen: &Seen) -> Examined {
        let reason = match seen {
            Ok(seen) => seen.held_back.clone().filter(|_| self.reaches(seen)),
            Err(reason) => Some(reason.clone()),
        };
        Examined {
            rule: self.id,
            target,
            figure: self.figure,
            measured: seen.as_ref().ok().map(|seen| seen.figure),
            threshold: self.threshold,
            unit: self.unit,
            why: self.why,
            fired: seen.as_ref().is_ok_and(|seen| self.fires(seen)),
            reason,
        }
    }

    fn reaches(&self, seen: &Measured) -> bool {
        seen.figure >= self.threshold
    }

    fn fires(&self, seen: &Measured) -> bool {
        self.reaches(seen) && seen.held_back.is_none()
    }
}

impl Measured {
    /// A figure that every event is in, and that has one explanation.
    fn sure(figure: f64, sentence: String, advice: &str, because: &str) -> Self {
        Self {
            figure,
            held_back: None,
            sentence,
            advice: advice.to_owned(),
            confidence: Confidence::High,
            because: because.to_owned(),
        }
    }

    /// The same, less sure.
    fn but(mut self, confidence: Confidence, because: &str) -> Self {
        self.confidence = confidence;
        self.because = because.to_owned();
        self
    }

    /// The same, no finding if this holds.
    fn unless(mut self, holds: bool, reason: impl FnOnce() -> String) -> Self {
        if holds {
            self.held_back = Some(reason());
        }
        self
    }
}

/// That there are too few samples to say anything.
fn too_few(what: &str, there: f64, needed: f64) -> String {
    let (there, needed) = (units::count(there), units::count(needed));
    format!("too few {what}: {there}, needs {needed}")
}

/// That a measure is not there.
fn lacking(measure: &str) -> String {
    format!("{measure} not measured")
}
