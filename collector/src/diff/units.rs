//! What was measured anew each time, from the entries of a record: the repeats of `compare`, and stretches of time
//! between the snapshots of what ran already.

use super::figures::{FIGURES, Figure};
use crate::record::{Entry, Error, Origin};
use crate::report::{self, Target, client::Client};
use crate::snapshot::{Recording, Run, Snapshot, TargetKind};
use std::collections::BTreeMap;

/// Into so many stretches the time is divided: what comes right after something is like it, so that neighbouring
/// snapshots are no units of their own.
const STRETCHES_MAX: usize = 10;

/// The units of a record.
#[derive(Clone, Debug)]
pub struct Units {
    /// Where it comes from.
    pub origin: Origin,
    /// By target.
    pub targets: Vec<TargetUnits>,
    /// Why it ended before its time, if it did.
    pub incomplete: Option<String>,
}

/// The units of a target.
#[derive(Clone, Debug)]
pub struct TargetUnits {
    /// Its name.
    pub name: String,
    /// What sort of target.
    pub kind: TargetKind,
    /// Connections held, where that is part of what was measured.
    pub connections: Option<u32>,
    /// Which of several of that name.
    place: usize,
    /// The figures of each unit, in the order of [`FIGURES`].
    pub units: BTreeMap<u32, Vec<Option<f64>>>,
}

/// What was measured in a unit.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) target: Target,
}

impl Measured {
    pub(super) fn client(&self) -> Option<&Client> {
        self.target.measures.client.as_ref()
    }

    pub(super) fn per_second(&self, value: f64) -> Option<f64> {
        let seconds = self.target.window_seconds;
        (seconds > 0.0).then(|| value / seconds)
    }

    fn figures(&self) -> Vec<Option<f64>> {
        let values = FIGURES.iter().map(|figure| (figure.value)(self));
        values
            .map(|value| value.filter(|it| it.is_finite()))
            .collect()
    }
}

impl Units {
    /// The target that is the same as one of another record.
    pub(super) fn like(&self, other: &TargetUnits) -> Option<&TargetUnits> {
        self.targets
            .iter()
            .find(|target| target.key() == other.key())
    }
}

impl TargetUnits {
    fn of(run: &Run, place: usize) -> Self {
        Self {
            name: run.name.clone(),
            kind: run.kind,
            connections: run.connections,
            place,
            units: BTreeMap::new(),
        }
    }

    fn key(&self) -> (&str, TargetKind, Option<u32>, usize) {
        (&self.name, self.kind, self.connections, self.place)
    }

    /// In words: `event-loop with 10 connections`.
    pub(super) fn title(&self) -> String {
        match self.connections {
            Some(1) => format!("{} with 1 connection", self.name),
            Some(connections) => format!("{} with {connections} connections", self.name),
            None => self.name.clone(),
        }
    }

    /// A figure of the units that have it.
    pub(super) fn values(&self, figure: &Figure) -> BTreeMap<u32, f64> {
        let place = FIGURES.iter().position(|it| it.name == figure.name);
        let value = |values: &Vec<Option<f64>>| place.and_then(|place| values[place]);
        let values = self.units.iter();
        values
            .filter_map(|(unit, values)| Some((*unit, value(values)?)))
            .collect()
    }

    /// The mean over neighbouring units, of which there are too many.
    fn in_stretches(self) -> Self {
        let units: Vec<_> = self.units.into_values().collect();
        let stretches = units.len().clamp(1, STRETCHES_MAX);
        let of = |number: usize| number * units.len() / stretches;
        let stretch = |number: usize| {
            let part = &units[of(number)..of(number + 1)];
            let mean = |place: usize| {
                let known: Vec<f64> = part.iter().filter_map(|values| values[place]).collect();
                (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
            };
            (number as u32, (0..FIGURES.len()).map(mean).collect())
        };
        let units = match units.is_empty() {
            true => BTreeMap::new(),
            false => (0..stretches).map(stretch).collect(),
        };
        Self { units, ..self }
    }
}

/// What has no units to compare.
fn of_one_run(command: &str) -> Error {
    let why = format!(
        "it is of `{command}`, whose samples are of one run: see it beside another by `connscope report A B`"
    );
    Error::Contradictory(why)
}

/// Takes entries, keeps their figures: in memory that grows by some hundred bytes for each snapshot.
#[derive(Default)]
pub struct Sampling {
    origin: Option<Origin>,
    compared: Vec<TargetUnits>,
    watched: Vec<Run>,
    stretches: Vec<TargetUnits>,
    last: Option<Vec<Snapshot>>,
    snapshots: u32,
    /// Why intervals between snapshots are left out.
    left_out: Vec<String>,
    end: Option<Option<String>>,
}

impl Sampling {
    /// Takes in the next entry.
    ///
    /// # Errors
    /// If its figures contradict each other, or it is of what has no units.
    pub fn take(&mut self, entry: Entry) -> Result<(), Error> {
        match entry {
            Entry::Origin(origin) => self.origin = Some(*origin),
            Entry::Run(run) => self.repeat(*run)?,
            Entry::Watched(targets) => self.watched = targets,
            Entry::Snapshots(snapshots) => self.snapshot(snapshots),
            Entry::Calibration(_) => return Err(of_one_run("calibrate")),
            Entry::Claims(_) => return Err(of_one_run("claims")),
            Entry::Stacks(_) | Entry::Timeline(_) => {}
            Entry::End(end) => self.end = Some(end.incomplete),
        }
        Ok(())
    }

    /// A repeat that broke off is no repeat.
    fn repeat(&mut self, run: Run) -> Result<(), Error> {
        let of_run = TargetUnits::of(&run, 0);
        let known = self.compared.iter().position(|it| it.key() == of_run.key());
        let place = known.unwrap_or_else(|| {
            self.compared.push(of_run);
            self.compared.len() - 1
        });
        if run.incomplete.is_none() {
            let (unit, figures) = (run.repeat, self.measured(run)?.figures());
            self.compared[place].units.insert(unit, figures);
        }
        Ok(())
    }

    fn snapshot(&mut self, now: Vec<Snapshot>) {
        let Some(before) = self.last.replace(now.clone()) else {
            return;
        };
        self.snapshots += 1;
        let pairs = before.into_iter().zip(now);
        for (number, (target, (before, now))) in
            self.watched.clone().into_iter().zip(pairs).enumerate()
        {
            if self.stretches.len() <= number {
                let alike = |it: &&TargetUnits| it.name == target.name && it.kind == target.kind;
                let place = self.stretches.iter().filter(alike).count();
                self.stretches.push(TargetUnits::of(&target, place));
            }
            let run = Run {
                before: before.clone(),
                start: before,
                end: now,
                ..target
            };
            match self.measured(run) {
                Ok(measured) => {
                    let units = &mut self.stretches[number].units;
                    units.insert(self.snapshots, measured.figures());
                }
                Err(error) => self.left_out.push(error.to_string()),
            }
        }
    }

    fn measured(&self, run: Run) -> Result<Measured, Error> {
        let origin = self.origin.as_ref().ok_or(Error::Empty)?;
        let recording = Recording {
            command: origin.command.clone(),
            host: origin.host.clone(),
            runs: vec![run],
            methods: origin.methods.clone(),
            unavailable: origin.unavailable.clone(),
            incomplete: None,
        };
        let report = report::build(&recording);
        let report = report.map_err(|error| Error::Contradictory(error.to_string()))?;
        let target = report.targets.into_iter().next().ok_or(Error::Empty)?;
        Ok(Measured { target })
    }

    /// What there is to compare.
    ///
    /// # Errors
    /// If there is nothing.
    pub fn units(self) -> Result<Units, Error> {
        let stretches = self.stretches.into_iter().map(TargetUnits::in_stretches);
        let targets: Vec<_> = self.compared.into_iter().chain(stretches).collect();
        if targets.is_empty() {
            return Err(Error::Empty);
        }
        let early = || Some("the record ends early".to_owned());
        let left_out = self.left_out.first().map(|first| {
            let count = self.left_out.len();
            format!("{count} intervals between snapshots are left out: {first}")
        });
        let incomplete = self.end.unwrap_or_else(early).into_iter().chain(left_out);
        let incomplete: Vec<String> = incomplete.collect();
        Ok(Units {
            origin: self.origin.ok_or(Error::Empty)?,
            targets,
            incomplete: (!incomplete.is_empty()).then(|| incomplete.join("; ")),
        })
    }
}
