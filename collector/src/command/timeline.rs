//! What watched tasks do one by one, for `--timeline` of `record` and `attach`: beside the watch, for a bounded time and
//! number of switches; and how it is drawn, by `attach` and by `report --timeline`.

mod draw;

pub(super) use draw::{Drawing, draw, put};

use super::{keeping::Keeping, output::say};
use crate::{
    record::Entry,
    sample::Sampler,
    snapshot::timeline::{Ended, Events, Part},
};
use anyhow::Result;
use std::time::{Duration, Instant};

/// How often events are taken: there is room for those of a fraction of a second.
const TAKEN_EVERY: Duration = Duration::from_millis(50);
/// No more are kept. They take some 25 MB of the record, and drawn 50 MB.
const EVENTS_MAX: usize = 1_000_000;

/// A timeline that is kept, if it was asked for, for as long as it lasts.
pub(super) struct Timeline {
    quiet: bool,
    going: Option<Going>,
}

struct Going {
    time: Duration,
    /// Planned, as far as the watch is to last.
    planned: Duration,
    begun: Instant,
    /// Switches, creations and shootdowns that were kept.
    events: usize,
}

impl Timeline {
    /// Begins it, in a watch that is to last so long; the snapshots that are kept next are those of its beginning. Where there can be none, that is said, and
    /// the rest goes on.
    ///
    /// # Errors
    /// If the kernel refuses to attach a program.
    pub(super) fn begin(
        asked: Option<Duration>,
        watch: Option<Duration>,
        sampler: &mut Sampler,
        keeping: &mut Keeping,
        quiet: bool,
    ) -> Result<Self> {
        let mut timeline = Self { quiet, going: None };
        let Some(time) = asked else {
            return Ok(timeline);
        };
        match sampler.begin_timeline()? {
            Some(begun) => {
                keeping.take(Entry::Timeline(Part::Begun(begun)));
                timeline.going = Some(Going {
                    time,
                    planned: watch.map_or(time, |watch| watch.min(time)),
                    begun: Instant::now(),
                    events: 0,
                });
                timeline.take(sampler, keeping);
            }
            None => timeline.say(&format!(
                "there is no timeline: {}",
                sampler.no_timeline().unwrap_or_default()
            )),
        }
        Ok(timeline)
    }

    /// How long it can wait.
    pub(super) fn patience(&self) -> Duration {
        match self.going {
            Some(_) => TAKEN_EVERY,
            None => Duration::MAX,
        }
    }

    /// Takes what was done meanwhile, and ends if that is enough, or if it can be read no more.
    ///
    /// # Errors
    /// If the watch itself cannot be read.
    pub(super) fn turn(&mut self, sampler: &mut Sampler, keeping: &mut Keeping) -> Result<()> {
        let Some(going) = &self.going else {
            return Ok(());
        };
        let (time, planned, after) = (going.time, going.planned, going.begun.elapsed());
        let mut why = (going.events >= EVENTS_MAX)
            .then(|| format!("no more than {EVENTS_MAX} events are kept"));
        if why.is_none() && after < time {
            if self.take(sampler, keeping) {
                return Ok(());
            }
            why = sampler.no_timeline();
        }
        self.close(sampler, keeping);
        let last = sampler.read()?;
        let rest = self.stop(sampler);
        let why = why.or_else(|| sampler.no_timeline());
        let early = why.map(|why| format!("after {after:.1?} of {planned:?}, since {why}"));
        keeping.take(Entry::Snapshots(last));
        self.say(&match &early {
            Some(early) => format!("the timeline ends {early}; the watch goes on"),
            None => format!("the timeline of {time:?} is complete; the watch goes on"),
        });
        self.end(rest, early, keeping);
        Ok(())
    }

    /// Before the snapshots of its end are read.
    pub(super) fn close(&mut self, sampler: &mut Sampler, keeping: &mut Keeping) {
        if self.going.is_some() {
            sampler.look_for_timeline();
            self.take(sampler, keeping);
            keeping.take(Entry::Timeline(Part::Closing));
        }
    }

    /// As soon as they are read: what is left to be kept behind them.
    pub(super) fn stop(&mut self, sampler: &mut Sampler) -> Events {
        if self.going.is_none() {
            return Events::default();
        }
        sampler.end_timeline();
        sampler.timeline_events().unwrap_or_default()
    }

    /// When they are kept. `early`: why before its time.
    pub(super) fn end(&mut self, rest: Events, early: Option<String>, keeping: &mut Keeping) {
        if self.going.take().is_some() {
            keeping.take(Entry::Timeline(Part::Events(rest)));
            keeping.take(Entry::Timeline(Part::Ended(Ended { early })));
        }
    }

    /// Whether they could be read.
    fn take(&mut self, sampler: &mut Sampler, keeping: &mut Keeping) -> bool {
        let Some(events) = sampler.timeline_events() else {
            return false;
        };
        if let Some(going) = &mut self.going {
            going.events +=
                events.switches.len() + events.creations.len() + events.shootdowns.len();
        }
        if !events.is_empty() {
            keeping.take(Entry::Timeline(Part::Events(events)));
        }
        true
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            say(line);
        }
    }
}
