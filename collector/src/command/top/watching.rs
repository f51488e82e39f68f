//! The watch behind the screen: reads the probes once for each interval, and makes figures of the difference.

use super::super::targets::{has_ended, load};
use crate::{
    attach::{
        choice::Chosen,
        following::{Event, Following, unknown_connections},
        login::Logins,
        telling::untold,
    },
    cli::Targets,
    host, report,
    rest::Rest,
    sample::Sampler,
    snapshot::{Host, Recording, Run, Snapshot, Unavailable, connections::Connections},
    top::figures::{Frame, Watched, missing},
};
use anyhow::Result;
use probe_ebpf::Options;
use std::cell::LazyCell;
use std::time::{Duration, Instant};

/// Targets, and what was seen of them last.
pub(super) struct Watching {
    following: Following,
    sampler: Sampler,
    host: Host,
    begun: Instant,
    before: Vec<Snapshot>,
    shown: Vec<Watched>,
    /// Those that are there no more.
    ended: Vec<bool>,
    /// What is not told of them, since they were asked for by other options, or were scripts; from then on this rests.
    untold: Vec<Unavailable>,
    told: Rest,
    names: Names,
}

impl Watching {
    /// Begins it. What is looked at in windows only is in no figure of an interval: it is left out.
    pub(super) fn begin(args: &Targets, targets: Vec<Chosen>, logins: Logins) -> Result<Self> {
        let mut sampler = load(args, &targets, &Options::NO_WINDOWS)?;
        let following = Following::begin(targets, &mut sampler, logins)?;
        let targets = following.targets().len();
        Ok(Self {
            before: sampler.read()?,
            shown: following
                .targets()
                .map(|target| Watched::named(&target.name))
                .collect(),
            ended: vec![false; targets],
            untold: Vec::new(),
            told: Rest::none(),
            names: Names::of(targets),
            host: host::describe(None),
            begun: Instant::now(),
            following,
            sampler,
        })
    }

    /// What is shown before the first interval is over.
    pub(super) fn nothing_yet(&self) -> Frame {
        Frame {
            targets: self.shown.clone(),
            unavailable: missing(&self.unavailable()),
            ..Frame::default()
        }
    }

    fn unavailable(&self) -> Vec<Unavailable> {
        let of_logins = self.following.logins().troubles();
        self.sampler
            .unavailable()
            .into_iter()
            .chain(of_logins)
            .chain(self.untold.iter().cloned())
            .chain(self.names.unknown())
            .collect()
    }

    /// The figures since it was read last.
    pub(super) fn read(&mut self) -> Result<Frame> {
        let now = self.sampler.read()?;
        if self.following.is_due() {
            for event in self.following.keep(&mut self.sampler, &now)? {
                self.take(event);
            }
        }
        let mut frame = Frame {
            watched: self.begun.elapsed(),
            seconds: length(&self.before, &now),
            own_cpu: own_cpu(&self.before, &now),
            ..Frame::default()
        };
        let before = std::mem::replace(&mut self.before, now);
        self.name_connections();
        self.tell();
        for (number, before) in before.into_iter().enumerate() {
            if !self.ended[number] {
                self.look_at(number, before);
            }
        }
        frame.targets = self.shown.clone();
        frame.unavailable = missing(&self.unavailable());
        if let [_, _, ..] = &frame.targets[..] {
            frame.targets.iter_mut().for_each(Watched::say_whose);
        }
        Ok(frame)
    }

    /// Looks for who the connections of all targets that are there are.
    fn name_connections(&mut self) {
        let Self {
            names,
            following,
            sampler,
            before,
            shown,
            ended,
            ..
        } = self;
        if !names.rest.is_over() {
            return;
        }
        let waiters = LazyCell::new(|| sampler.socket_waiters());
        names.look(|number| {
            if ended[number] {
                return None;
            }
            let connected = following.connections(number, &before[number], waiters.as_ref());
            let connected = connected.transpose();
            Some(connected.map_err(|error| unknown_connections(&shown[number].name, &error)))
        });
    }

    /// Says what is not told of targets that have come to be servers, or were from the beginning.
    fn tell(&mut self) {
        if self.told.is_over() {
            let targets: Vec<_> = self.following.targets().cloned().collect();
            let (untold, rest) = Rest::after(|| untold(&targets, &self.sampler));
            (self.untold, self.told) = (untold, rest.seldom());
        }
    }

    /// Takes in the interval of one target; without figures of it, what was shown last stays.
    fn look_at(&mut self, number: usize, before: Snapshot) {
        let now = &self.before[number];
        let Some(target) = self.following.targets().nth(number) else {
            return;
        };
        if has_ended(now) && self.following.has_ended(number) {
            self.say_ended(number);
            return;
        }
        let mut run = run(target, before, now);
        run.connected.clone_from(&self.names.connected[number]);
        let recording = Recording {
            command: "top".into(),
            host: self.host.clone(),
            runs: vec![run],
            methods: Vec::new(),
            unavailable: self.sampler.unavailable(),
            incomplete: None,
        };
        let figures = report::build(&recording)
            .map_err(|error| error.problem)
            .and_then(|report| Watched::of(number, &report, &recording.runs[0]));
        match figures {
            Ok(watched) => self.shown[number] = watched,
            Err(problem) => {
                let trouble = format!("no figures of this interval: {problem}");
                self.shown[number].trouble = Some(trouble);
            }
        }
    }
}

/// Who the connections of each target were when that was looked for last, and why it could not be told.
struct Names {
    connected: Vec<Option<Connections>>,
    unknown: Vec<Option<Unavailable>>,
    /// Until they are looked for again.
    rest: Rest,
}

impl Names {
    fn of(targets: usize) -> Self {
        Self {
            connected: vec![None; targets],
            unknown: vec![None; targets],
            rest: Rest::none(),
        }
    }

    /// Takes what there is of each target; what it had stays, if there is nothing. Then this rests.
    fn look(
        &mut self,
        mut of: impl FnMut(usize) -> Option<Result<Option<Connections>, Unavailable>>,
    ) {
        let targets = 0..self.connected.len();
        let (found, rest) = Rest::after(|| targets.map(&mut of).collect::<Vec<_>>());
        for (number, found) in found.into_iter().enumerate() {
            let Some(found) = found else { continue };
            self.unknown[number] = found.as_ref().err().cloned();
            self.connected[number] = found.ok().flatten();
        }
        self.rest = rest;
    }

    /// Of a server that was started anew: those of the one before have ended with it. It is time to look again.
    fn forget(&mut self, number: usize) {
        (self.connected[number], self.unknown[number]) = (None, None);
        self.rest = Rest::none();
    }

    fn unknown(&self) -> impl Iterator<Item = Unavailable> {
        self.unknown.iter().flatten().cloned()
    }
}

impl Watching {
    fn take(&mut self, event: Event) {
        match event {
            Event::Ended(number, _) => self.say_ended(number),
            Event::Back(number, ..) => {
                self.ended[number] = false;
                self.names.forget(number);
            }
        }
    }

    fn say_ended(&mut self, number: usize) {
        self.ended[number] = true;
        let after = Duration::from_secs(self.begun.elapsed().as_secs());
        let after = humantime::format_duration(after);
        let trouble = format!("ended after {after}; its last figures are shown");
        self.shown[number].trouble = Some(trouble);
    }
}

fn run(target: &Chosen, before: Snapshot, now: &Snapshot) -> Run {
    Run {
        name: target.name.clone(),
        kind: target.kind,
        pids: target.pids.clone(),
        lives_in: None,
        restarts: Vec::new(),
        repeat: 1,
        connections: None,
        before: before.clone(),
        start: before,
        end: now.clone(),
        memory_points: Vec::new(),
        reserved_points: Vec::new(),
        own: None,
        connected: None,
        client: None,
        incomplete: None,
    }
}

/// In seconds; all targets are read at the same instant.
fn length(before: &[Snapshot], now: &[Snapshot]) -> f64 {
    let pair = before.first().zip(now.first());
    pair.map_or(0.0, |(before, now)| {
        now.at_ns.saturating_sub(before.at_ns) as f64 / 1e9
    })
}

/// CPU time of connscope itself, of one core.
fn own_cpu(before: &[Snapshot], now: &[Snapshot]) -> Option<f64> {
    let (before, now) = before.first().zip(now.first())?;
    let used = now.observer_cpu_ns.checked_sub(before.observer_cpu_ns)?;
    let elapsed = now.at_ns.checked_sub(before.at_ns)?;
    (elapsed > 0).then(|| used as f64 / elapsed as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::connections::Connection;

    /// One connection, of a client with that pid.
    fn connected(pid: u32) -> Option<Connections> {
        let named = vec![Connection {
            pid,
            ..Connection::default()
        }];
        Some(Connections {
            open: 1,
            named,
            ..Connections::default()
        })
    }

    #[test]
    fn names_of_a_server_that_was_started_anew_are_forgotten_and_looked_for_at_once() {
        let mut names = Names::of(2);
        names.look(|number| {
            // As if there were very many of them.
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(20) {}
            Some(Ok(connected(number as u32)))
        });
        assert!(!names.rest.is_over());
        names.forget(0);
        assert!(names.rest.is_over());
        assert_eq!(names.connected, [None, connected(1)]);
        let why = Unavailable {
            measure: "connected".to_owned(),
            reason: "it ends".to_owned(),
        };
        names.look(|number| (number == 0).then(|| Err(why.clone())));
        assert_eq!(names.unknown().collect::<Vec<_>>(), [why]);
        assert_eq!(names.connected, [None, connected(1)], "one stays");
    }
}
