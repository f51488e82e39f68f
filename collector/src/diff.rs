//! Two records, measure by measure: what differs by more than chance and by more than is of interest, and what
//! was not seen to.
//!
//! The units are what was measured anew each time: the repeats of `compare`, and stretches of time between the
//! snapshots of what ran already. If nothing differs, it does not matter which of them are called A and which B;
//! so the bound that a difference must exceed, in its standard errors, is taken from all ways to call them so.

mod figures;
mod group;
mod relabelled;
mod units;

pub use figures::{Better, FIGURES, Figure, Unit};
pub use group::{Estimate, Group};
pub use relabelled::{Relabelled, bound};
pub use units::{Sampling, TargetUnits, Units};

use crate::record::Origin;
use crate::snapshot::TargetKind;
use serde::Serialize;

/// How often, at most, something is said to differ in a diff of what does not.
pub const FALSE_ALARMS: f64 = 0.05;

/// What to look for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// A change of less than this share of a figure is of no interest.
    pub least_change: f64,
    /// Names of figures; all where there are none.
    pub only: Vec<String>,
}

/// Two records side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diff {
    /// Version of these fields.
    pub schema: u32,
    /// `diff`.
    pub command: &'static str,
    /// Where one comes from.
    pub a: Side,
    /// Where the other comes from.
    pub b: Side,
    /// In what the hosts differ.
    pub circumstances: Vec<Circumstance>,
    /// A change of less than this share of a figure is of no interest.
    pub least_change: f64,
    /// The share of diffs of what does not differ that say that something does, at most.
    pub false_alarms: f64,
    /// A difference is one where it exceeds so many standard errors; none where there are too few units.
    pub bound_standard_errors: Option<f64>,
    /// Why nothing can be told.
    pub reason: Option<String>,
    /// Differences seen.
    pub differences: u64,
    /// One entry for each target that both have.
    pub targets: Vec<TargetDiff>,
    /// Targets that only A has.
    pub only_in_a: Vec<String>,
    /// Targets that only B has.
    pub only_in_b: Vec<String>,
}

/// One of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    /// The file.
    pub file: String,
    /// The command that made it, with its arguments.
    pub command_line: String,
    /// When it began, in seconds since the epoch.
    pub started_unix_seconds: u64,
    /// Repeats, or stretches of time, of the target that has most.
    pub units: u64,
    /// Why it ended before its time, if it did.
    pub incomplete: Option<String>,
}

/// Something that is not the same for both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Circumstance {
    pub what: &'static str,
    pub a: String,
    pub b: String,
}

/// A target that both have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetDiff {
    /// Its name.
    pub name: String,
    /// What sort of target.
    pub kind: TargetKind,
    /// Connections held, where that is part of what was measured.
    pub connections: Option<u32>,
    /// Each figure that both have.
    pub figures: Vec<FigureDiff>,
}

/// A figure of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FigureDiff {
    /// Its name.
    pub figure: &'static str,
    /// What it is in.
    pub unit: Unit,
    /// The mean over the units of A.
    pub a: f64,
    /// The same of B.
    pub b: f64,
    /// `b - a`.
    pub difference: f64,
    /// Where the true difference is: in at least 95 of 100 diffs all of their intervals hold it. None where there
    /// are too few units.
    pub interval: Option<[f64; 2]>,
    /// `difference` as a share of `a`; none where that is 0.
    pub change: Option<f64>,
    /// The difference in standard deviations of a unit (Hedges' g); none where units do not vary.
    pub effect_size: Option<f64>,
    /// Below this, a difference is of no interest, or finer than the figure.
    pub least: f64,
    /// What can be said.
    pub verdict: Verdict,
    /// Whether B is the better of the two; none where neither is, and where no difference is seen.
    pub better: Option<bool>,
}

/// What can be said of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// There is one.
    Different,
    /// None was seen: there is none, or it is one that `interval` still holds.
    NotSeen,
    /// There are too few units to tell.
    TooFew,
}

/// Lays two records side by side, each with the name of its file.
#[must_use]
pub fn diff(a: (&str, &Units), b: (&str, &Units), asked: &Asked) -> Diff {
    let pairs = pairs(a.1, b.1, asked);
    let groups: Vec<&Group> = pairs.iter().flat_map(|(_, groups)| groups).collect();
    let relabelled = Relabelled::of(&groups);
    let bound = relabelled.as_ref().ok().map(|it| bound(&groups, it));
    let targets: Vec<TargetDiff> = pairs
        .iter()
        .map(|(target, groups)| TargetDiff {
            name: target.name.clone(),
            kind: target.kind,
            connections: target.connections,
            figures: groups.iter().map(|group| figure(group, bound)).collect(),
        })
        .collect();
    let figures = targets.iter().flat_map(|target| &target.figures);
    let missing = |these: &Units, others: &Units| {
        let lacks = |target: &&TargetUnits| others.like(target).is_none();
        let targets = these.targets.iter().filter(lacks);
        targets.map(TargetUnits::title).collect()
    };
    Diff {
        schema: crate::report::SCHEMA,
        command: "diff",
        a: side(a),
        b: side(b),
        circumstances: circumstances(&a.1.origin, &b.1.origin),
        least_change: asked.least_change,
        false_alarms: FALSE_ALARMS,
        bound_standard_errors: bound,
        reason: relabelled.err(),
        differences: figures
            .filter(|it| it.verdict == Verdict::Different)
            .count() as u64,
        targets,
        only_in_a: missing(a.1, b.1),
        only_in_b: missing(b.1, a.1),
    }
}

/// The targets that both have, and of each the figures that both have.
fn pairs<'a>(a: &'a Units, b: &'a Units, asked: &Asked) -> Vec<(&'a TargetUnits, Vec<Group>)> {
    let wanted = |figure: &&Figure| {
        asked.only.is_empty() || asked.only.iter().any(|name| name == figure.name)
    };
    let pair = |of_a: &'a TargetUnits| {
        let of_b = b.like(of_a)?;
        let figures = FIGURES.iter().filter(wanted);
        let groups = figures.filter_map(|figure| Group::of(figure, of_a, of_b, asked.least_change));
        Some((of_a, groups.collect()))
    };
    a.targets.iter().filter_map(pair).collect()
}

fn figure(group: &Group, bound: Option<f64>) -> FigureDiff {
    let Estimate {
        a,
        b,
        standard_error,
        deviation,
    } = group.estimate();
    let difference = b - a;
    // A figure that fewer units have than the others is not what the bound is for.
    let interval = bound.filter(|_| group.has_enough()).map(|bound| {
        let margin = bound * standard_error;
        [difference - margin, difference + margin]
    });
    let verdict = match interval {
        None => Verdict::TooFew,
        Some([lower, upper]) if lower > group.least || upper < -group.least => Verdict::Different,
        Some(_) => Verdict::NotSeen,
    };
    let better = match group.figure.better {
        Better::Lower => Some(difference < 0.0),
        Better::Higher => Some(difference > 0.0),
        Better::Neither => None,
    };
    FigureDiff {
        figure: group.figure.name,
        unit: group.figure.unit,
        a,
        b,
        difference,
        interval,
        change: (a != 0.0).then(|| difference / a.abs()),
        effect_size: (deviation > 0.0).then(|| group.correction() * difference / deviation),
        least: group.least,
        verdict,
        better: better.filter(|_| verdict == Verdict::Different),
    }
}

fn side((file, units): (&str, &Units)) -> Side {
    let counts = units.targets.iter().map(|it| it.units.len() as u64);
    Side {
        file: file.to_owned(),
        command_line: units.origin.command_line.join(" "),
        started_unix_seconds: units.origin.host.started_unix_seconds,
        units: counts.max().unwrap_or(0),
        incomplete: units.incomplete.clone(),
    }
}

fn circumstances(a: &Origin, b: &Origin) -> Vec<Circumstance> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let of = |what, of: &dyn Fn(&Origin) -> String| {
        let (a, b) = (of(a), of(b));
        (a != b).then_some(Circumstance { what, a, b })
    };
    let all = [
        of("host", &|it| it.host_name.clone()),
        of("kernel", &|it| it.host.kernel.clone()),
        of("operating system", &|it| text(&it.operating_system)),
        of("CPU", &|it| it.host.cpu_model.clone()),
        of("CPUs", &|it| it.host.cpus.to_string()),
        of("memory", &|it| it.host.memory_bytes.to_string()),
        of("connscope", &|it| it.host.connscope_version.clone()),
    ];
    all.into_iter().flatten().collect()
}
