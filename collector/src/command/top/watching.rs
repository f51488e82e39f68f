//! The watch behind the screen: reads the probes once for each interval, and makes figures of the difference.

use super::super::targets::{has_ended, load};
use crate::{
    attach::{
        choice::{Chosen, unasked},
        following::{Event, Following, unknown_connections},
        login::Logins,
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
    /// What is not told of them, since they were asked for by other options.
    untold: Vec<Unavailable>,
    /// Who the connections of each were when that was looked for last, and why it could not be told; from then on this
    /// rests.
    connected: Vec<Option<Connections>>,
    unknown: Vec<Option<Unavailable>>,
    named: Rest,
}

impl Watching {
    /// Begins it. What is looked at in windows only is in no figure of an interval: it is left out.
    pub(super) fn begin(args: &Targets, targets: Vec<Chosen>, logins: Logins) -> Result<Self> {
        let untold = unasked(&targets);
        let mut sampler = load(args, &targets, &Options::NO_WINDOWS)?;
        let following = Following::begin(targets, &mut sampler, logins)?;
        let ended = vec![false; following.targets().len()];
        let unknown = vec![None; ended.len()];
        Ok(Self {
            before: sampler.read()?,
            shown: following
                .targets()
                .map(|target| Watched::named(&target.name))
                .collect(),
            ended,
            untold,
            connected: vec![None; unknown.len()],
            unknown,
            named: Rest::none(),
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
            .chain(self.unknown.iter().flatten().cloned())
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
        if self.named.is_over() {
            ((), self.named) = Rest::after(|| self.name_connections());
        }
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
        let waiters = self.sampler.socket_waiters();
        for (number, snapshot) in self.before.iter().enumerate() {
            if self.ended[number] {
                continue;
            }
            let connected = self
                .following
                .connections(number, snapshot, waiters.as_ref());
            let connected = connected.transpose();
            let name = &self.shown[number].name;
            self.unknown[number] = connected
                .as_ref()
                .err()
                .map(|error| unknown_connections(name, error));
            self.connected[number] = connected.ok().flatten();
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
        run.connected.clone_from(&self.connected[number]);
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

impl Watching {
    fn take(&mut self, event: Event) {
        match event {
            Event::Ended(number, _) => self.say_ended(number),
            Event::Back(number, ..) => {
                self.ended[number] = false;
                // Those of the one before have ended with it.
                (self.connected[number], self.unknown[number]) = (None, None);
                self.named = Rest::none();
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
