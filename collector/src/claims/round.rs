//! The rounds in which all is measured, and what each tells.

use super::{Databases, Measurement, known, servers::Setting};
use crate::{
    figures::{Figure, Missing, Point, Round as Samples, Timed},
    progress::Progress,
};
use std::time::{Duration, Instant};

/// Rounds: in full, and with `--quick`. The interval of a figure is Student's t over the rounds, so fewer
/// of them make it wider.
pub(super) const ROUNDS: [u32; 2] = [5, 3];
/// After how many failures a measurement is given up.
const FAILURES: usize = 2;

/// This host does not allow it: no failure.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotHere(pub(super) String);

/// One round of one measurement.
pub(super) struct Round<'a> {
    pub(super) setting: &'a Setting<'a>,
    pub(super) databases: &'a Databases,
    number: u32,
    told: &'a mut Vec<Figure>,
    missing: &'a mut Vec<Missing>,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// All of them, with the points of which there is a sample at least.
    pub figures: Vec<Figure>,
    /// What lacks.
    pub missing: Vec<Missing>,
    /// How long each measurement took.
    pub measurements: Vec<Timed>,
    /// Rounds that were to be made.
    pub rounds: u32,
    /// Why it ended before its time.
    pub incomplete: Option<String>,
}

impl Round<'_> {
    /// # Errors
    /// If a signal has come, which ends all.
    pub(super) fn go_on(&self) -> anyhow::Result<()> {
        match self.setting.interrupt.signal() {
            Some(signal) => anyhow::bail!("interrupted by {signal}"),
            None => Ok(()),
        }
    }

    /// Says what a figure without an axis was.
    pub(super) fn tell(&mut self, figure: &str, samples: Vec<f64>) {
        self.tell_at(figure, "", None, samples);
    }

    /// Says what a figure was at a place on its axis.
    pub(super) fn tell_at(&mut self, figure: &str, at: &str, x: Option<f64>, samples: Vec<f64>) {
        let number = self.number;
        let point = self.point(figure, at, x);
        match point.rounds.last_mut() {
            Some(round) if round.number == number => round.samples.extend(samples),
            _ => point.rounds.push(Samples { number, samples }),
        }
    }

    /// The same of a place that is a number.
    pub(super) fn tell_number(&mut self, figure: &str, x: u32, samples: Vec<f64>) {
        self.tell_at(figure, &x.to_string(), Some(x.into()), samples);
    }

    /// Says what is to be known of it besides.
    pub(super) fn note(&mut self, figure: &str, at: &str, note: String) {
        self.point(figure, at, None).note = Some(note);
    }

    /// Says why a figure, or one of its places, cannot be measured here.
    pub(super) fn lacks(&mut self, figure: &str, at: Option<&str>, reason: String) {
        miss(self.missing, figure, at, reason, false);
    }

    fn point(&mut self, figure: &str, at: &str, x: Option<f64>) -> &mut Point {
        let figure = self.told.iter_mut().find(|it| it.about.name == figure);
        let points = &mut figure.expect("a measurement tells what it lists").points;
        let place = points.iter().position(|it| it.at == at);
        let place = place.unwrap_or_else(|| {
            points.push(Point {
                at: at.to_owned(),
                x,
                ..Point::default()
            });
            points.len() - 1
        });
        &mut points[place]
    }
}

/// How long all these measurements are expected to take, of a quiet host.
#[must_use]
pub fn planned(measurements: &[&Measurement], quick: bool, databases: &Databases) -> Duration {
    let each = measurements.iter().map(|it| it.takes(quick, databases));
    each.sum::<Duration>() * ROUNDS[usize::from(quick)]
}

/// Makes all these measurements, round after round. The databases are left as they were.
#[must_use]
pub fn take(
    measurements: &[&Measurement],
    setting: &Setting<'_>,
    databases: Databases,
    quiet: bool,
) -> Taken {
    let rounds = ROUNDS[usize::from(setting.quick)];
    let takes = |it: &Measurement| it.takes(setting.quick, &databases);
    let all = planned(measurements, setting.quick, &databases);
    let progress = Progress::new(all, quiet);
    let mut taken = Taken {
        figures: without_points(measurements),
        measurements: measurements
            .iter()
            .map(|it| it.timed(takes(it) * rounds))
            .collect(),
        rounds,
        ..Taken::default()
    };
    let mut failures = vec![0; measurements.len()];
    for number in 1..=rounds {
        let mut expected = all / rounds * (number - 1);
        for (place, (measurement, failures)) in measurements.iter().zip(&mut failures).enumerate() {
            let takes = takes(measurement);
            let what = format!("round {number} of {rounds}: {}", measurement.name);
            progress.begin(what, expected, takes);
            expected += takes;
            if *failures >= FAILURES {
                continue;
            }
            let begun = Instant::now();
            let outcome = taken.round(measurement, setting, &databases, number);
            taken.measurements[place].took_ns += begun.elapsed().as_nanos() as u64;
            if let Some(signal) = setting.interrupt.signal() {
                let incomplete = format!("interrupted by {signal} in round {number} of {rounds}");
                taken.incomplete = Some(incomplete);
                return taken;
            }
            if let Err(error) = outcome {
                *failures += taken.fails(measurement, &error);
                if !error.is::<NotHere>() {
                    progress.remark(&format!("{}: {error:#}", measurement.name));
                }
            }
        }
    }
    taken
}

/// What is to be told.
fn without_points(measurements: &[&Measurement]) -> Vec<Figure> {
    let about = known(measurements.iter().copied()).into_iter();
    about
        .map(|about| Figure {
            about,
            points: Vec::new(),
        })
        .collect()
}

impl Taken {
    fn round(
        &mut self,
        measurement: &Measurement,
        setting: &Setting<'_>,
        databases: &Databases,
        number: u32,
    ) -> anyhow::Result<()> {
        (measurement.take)(&mut Round {
            setting,
            databases,
            number,
            told: &mut self.figures,
            missing: &mut self.missing,
        })
    }

    /// Notes why a measurement gave no more; how many failures that counts for.
    fn fails(&mut self, measurement: &Measurement, error: &anyhow::Error) -> usize {
        let failed = !error.is::<NotHere>();
        for figure in &measurement.figures {
            miss(
                &mut self.missing,
                &figure.name,
                None,
                format!("{error:#}"),
                failed,
            );
        }
        if failed { 1 } else { FAILURES }
    }
}

/// The first reason is the cause, later ones follow from it.
fn miss(missing: &mut Vec<Missing>, figure: &str, at: Option<&str>, reason: String, failed: bool) {
    let known = |it: &Missing| it.measure == figure && it.at.as_deref() == at;
    if !missing.iter().any(known) {
        missing.push(Missing {
            measure: figure.to_owned(),
            at: at.map(str::to_owned),
            reason,
            failed,
        });
    }
}
