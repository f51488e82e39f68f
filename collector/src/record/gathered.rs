//! Entries, put together: the way of both a live run and a file that is read.

use super::{Content, End, Entry, Error, Origin, Record};
use crate::figures::ClaimsRun;
use crate::report;
use crate::series::Calibration;
use crate::snapshot::{Recording, Run, Snapshot, stacks::Stacks};

/// What entries have said so far. Of snapshots the first and the last are kept, whatever their number.
#[derive(Default)]
pub struct Gathered {
    origin: Option<Origin>,
    runs: Vec<Run>,
    watched: Vec<Run>,
    first: Option<Vec<Snapshot>>,
    last: Option<Vec<Snapshot>>,
    calibration: Option<Calibration>,
    claims: Option<ClaimsRun>,
    stacks: Option<Stacks>,
    end: Option<End>,
    entries: u64,
    snapshots: u64,
}

impl Gathered {
    /// Takes in the next entry.
    pub fn take(&mut self, entry: Entry) {
        self.entries += 1;
        self.snapshots += u64::from(matches!(entry, Entry::Snapshots(_)));
        match entry {
            Entry::Origin(origin) => self.origin = Some(*origin),
            Entry::Run(run) => self.runs.push(*run),
            Entry::Watched(targets) => self.watched = targets,
            Entry::Snapshots(snapshots) if self.first.is_none() => self.first = Some(snapshots),
            Entry::Snapshots(snapshots) => self.last = Some(snapshots),
            // Of no report: it is drawn as it is read.
            Entry::Timeline(_) => {}
            Entry::Calibration(calibration) => self.calibration = Some(*calibration),
            Entry::Claims(run) => self.claims = Some(*run),
            Entry::Stacks(stacks) => self.stacks.get_or_insert_default().add(*stacks),
            Entry::End(end) => self.end = Some(end),
        }
    }

    /// Whether there is a run that is over.
    #[must_use]
    pub fn has_runs(&self) -> bool {
        !self.runs.is_empty()
    }

    /// How many times it was looked at what is watched at once.
    #[must_use]
    pub fn snapshots(&self) -> u64 {
        self.snapshots
    }

    /// What reports are made of. Without an end it says that it is not whole.
    ///
    /// # Errors
    /// If there is nothing to report on.
    pub fn whole(mut self) -> Result<Record, Error> {
        let origin = self.origin.take().ok_or(Error::Empty)?;
        let stacks = self.stacks.take();
        let content = match (self.calibration.take(), self.claims.take()) {
            (Some(calibration), _) => Content::Calibration(calibration),
            (None, Some(run)) => Content::Claims(run),
            (None, None) => Content::Recording(self.recording(&origin)?),
        };
        Ok(Record {
            origin,
            content,
            stacks,
        })
    }

    fn recording(self, origin: &Origin) -> Result<Recording, Error> {
        let end = self.end.unwrap_or_else(|| End {
            methods: origin.methods.clone(),
            unavailable: origin.unavailable.clone(),
            incomplete: Some(format!(
                "the record ends early, after {} entries: who wrote it was stopped, or the disk was full",
                self.entries
            )),
        });
        let (watched, contradictions) = sound(of_watch(self.watched, self.first, self.last));
        let runs: Vec<Run> = self.runs.into_iter().chain(watched).collect();
        if runs.is_empty() {
            return Err(match contradictions.is_empty() {
                true => Error::Empty,
                false => Error::Contradictory(contradictions.join("; ")),
            });
        }
        let troubles: Vec<String> = end.incomplete.into_iter().chain(contradictions).collect();
        Ok(Recording {
            command: origin.command.clone(),
            host: origin.host.clone(),
            runs,
            methods: end.methods,
            unavailable: end.unavailable,
            incomplete: (!troubles.is_empty()).then(|| troubles.join("; ")),
        })
    }
}

/// Targets that were watched at once, from the first to the last snapshot of them.
fn of_watch(
    targets: Vec<Run>,
    first: Option<Vec<Snapshot>>,
    last: Option<Vec<Snapshot>>,
) -> impl Iterator<Item = Run> {
    let snapshots = first.into_iter().flatten().zip(last.into_iter().flatten());
    targets
        .into_iter()
        .zip(snapshots)
        .map(|(target, (first, last))| Run {
            before: first.clone(),
            start: first,
            end: last,
            ..target
        })
}

/// The runs that can be reported on, and what is wrong with the others.
fn sound(runs: impl Iterator<Item = Run>) -> (Vec<Run>, Vec<String>) {
    let (mut sound, mut contradictions) = (Vec::new(), Vec::new());
    for run in runs {
        match report::check(&run) {
            Ok(()) => sound.push(run),
            Err(error) => contradictions.push(error.to_string()),
        }
    }
    (sound, contradictions)
}
