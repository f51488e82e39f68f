//! Watching what already runs, for `attach` and `record`: snapshots of the targets, from the first to the last,
//! into whatever keeps them.

use super::{
    expected::expected,
    keeping::Keeping,
    moments::Moments,
    output::say,
    stacks::TakingStacks,
    targets::{asked, has_ended, load, log_in},
    timeline::Timeline,
};
use crate::{
    attach::{
        choice::{Asked, Chosen, choose, unasked},
        following::{Followed, Following},
        login::Logins,
        running::lives_in,
        runtimes::hidden_switches,
        telling,
    },
    cli::Watched,
    host,
    interrupt::{Interrupt, POLL},
    own::{self, OwnSampler},
    progress::Progress,
    record::{End, Entry},
    sample::Sampler,
    snapshot::{Method, OwnMemory, Run, Snapshot, Unavailable},
};
use anyhow::Result;
use probe_ebpf::{Options, probes::timeline::ring_bytes};
use std::{
    panic::resume_unwind,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How often we look whether the watched processes are still there.
const LOOK: Duration = Duration::from_millis(250);

/// A watch as long as this says before what it is expected to cost; a shorter one is over by then.
const TOLD_FROM: Duration = Duration::from_secs(2);

/// Targets with the probes for them, which watch nobody yet.
pub(super) struct Watch<'a> {
    args: &'a Watched,
    timeline: Option<Duration>,
    quiet: bool,
    targets: Vec<Chosen>,
    logins: Logins,
    /// What is not told of these targets.
    untold: Vec<Unavailable>,
    sampler: Sampler,
    own_sampler: Option<JoinHandle<OwnSampler>>,
    /// For how long stacks are taken, if they are.
    stacks: Option<Duration>,
}

impl<'a> Watch<'a> {
    /// Chooses the targets and loads the probes; that for a timeline of so long if it is asked for.
    ///
    /// # Errors
    /// If there is no such target, or the kernel refuses a probe.
    pub(super) fn load(args: &'a Watched, timeline: Option<Duration>, quiet: bool) -> Result<Self> {
        let asked = asked(&args.targets)?;
        let targets = choose(&asked)?;
        if asked == Asked::default() && !quiet {
            targets.iter().for_each(|it| say(&found(it)));
        }
        let logins = log_in(&args.targets, &targets)?;
        let mut untold = unasked(&targets);
        if !quiet {
            let told = logins.troubles().into_iter().chain(untold.clone());
            told.for_each(|it| say(&it.reason));
        }
        untold.extend(hidden_switches(&targets));
        let options = Options {
            timeline_bytes: timeline.map(|_| ring_bytes()),
            ..args.extent.windows.options()
        };
        let sampler = load(&args.targets, &targets, &options)?;
        Ok(Self {
            args,
            timeline,
            quiet,
            targets,
            logins,
            untold,
            sampler,
            // Beside what is loading still, and what follows.
            own_sampler: thread::Builder::new().spawn(OwnSampler::load).ok(),
            stacks: None,
        })
    }

    /// Takes stacks too, from the beginning, for at most so long.
    ///
    /// # Errors
    /// If the kernel refuses the programs for it.
    pub(super) fn with_stacks(mut self, time: Option<Duration>) -> Result<Self> {
        if time.is_some() {
            self.sampler.load_stacks(&TakingStacks::options())?;
        }
        self.stacks = time;
        Ok(self)
    }

    /// Watches until the time is over, a signal comes, all targets have ended or what is kept can be kept no
    /// more; keeps a snapshot at the beginning, at each interval, and at the end.
    ///
    /// # Errors
    /// If a process cannot be watched, or the kernel refuses to be read.
    pub(super) fn keep(
        self,
        command: &str,
        interval: Option<Duration>,
        keeping: &mut Keeping,
        interrupt: &Interrupt,
    ) -> Result<End> {
        let host = host::describe(None);
        let (args, mut sampler) = (self.args, self.sampler);
        let mut following = Following::begin(self.targets, &mut sampler, self.logins)?;
        // Before the window: no more loading in it.
        let own_sampler = match self.own_sampler {
            Some(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            None => OwnSampler::load(),
        };
        if args.extent.counters {
            sampler.count_events()?;
        }
        if !self.quiet && args.duration.is_none_or(|duration| duration >= TOLD_FROM) {
            let within = |time: Duration| time.min(args.duration.unwrap_or(time));
            let stacks = self.stacks.map(within);
            let stacks = stacks.map(|time| (TakingStacks::options(), time));
            let busy = args.targets.busy_connections;
            let timeline = self.timeline.map(within);
            say(&expected(&args.extent, busy, timeline, stacks));
        }
        keeping.begin(command, host, methods(&sampler), sampler.unavailable());
        keeping.take(Entry::Watched(following.targets().map(target).collect()));
        let mut timeline = Timeline::begin(
            self.timeline,
            args.duration,
            &mut sampler,
            keeping,
            self.quiet,
        )?;
        let (first, stacks) = match self.stacks {
            Some(time) => {
                let (first, stacks) = TakingStacks::begin(&mut sampler, time)?;
                (first, Some(stacks))
            }
            None => (sampler.read()?, None),
        };
        let began_ns = first.first().map_or(0, |snapshot| snapshot.at_ns);
        keeping.take(Entry::Snapshots(first));
        let own_budget = args.extent.windows.own_memory_budget;
        let mut moments = Moments::begin(&own_sampler, following.targets().len(), own_budget);
        let mut waiting = Waiting {
            args,
            interval,
            quiet: self.quiet,
            moments: &mut moments,
            following: &mut following,
            sampler: &mut sampler,
            stacks,
            keeping,
            timeline: &mut timeline,
            interrupt,
        };
        let ended_early = waiting.watch()?;
        if let Some(mut stacks) = waiting.stacks.take() {
            stacks.end(&mut sampler, keeping, self.quiet)?;
        }
        timeline.close(&mut sampler, keeping);
        let last = sampler.read()?;
        let rest = timeline.stop(&mut sampler);
        let waiters = sampler.socket_waiters();
        let (targets, logins) = following.end(&last, waiters.as_ref());
        let mut untold = self.untold;
        let chosen: Vec<_> = targets.iter().map(|it| it.chosen.clone()).collect();
        let since = telling::untold(&chosen, &sampler)
            .into_iter()
            .chain(hidden_switches(&chosen));
        since.for_each(|it| {
            if !untold.contains(&it) {
                untold.push(it);
            }
        });
        let unknown: Vec<_> = targets.iter().filter_map(|it| it.unknown.clone()).collect();
        let (owned, lacking) = sample_own(args, &own_sampler, began_ns, &last, interrupt);
        keeping.take(Entry::Snapshots(last));
        timeline.end(rest, sampler.no_timeline(), keeping);
        let targets = targets.into_iter().zip(owned).zip(moments.end());
        let targets = targets.map(|((target, own), memory_points)| Run {
            own,
            memory_points,
            ..followed(target)
        });
        keeping.take(Entry::Watched(targets.collect()));
        let unavailable = sampler.unavailable().into_iter();
        Ok(End {
            methods: methods(&sampler),
            unavailable: unavailable
                .chain(lacking)
                .chain(unknown)
                .chain(untold)
                .chain(logins.troubles())
                .collect(),
            incomplete: ended_early,
        })
    }
}

/// What was found where nothing was asked for.
fn found(target: &Chosen) -> String {
    let pid = target.pids.first().copied().unwrap_or_default();
    let place = lives_in(pid).map(|it| format!(", in {it}"));
    format!(
        "found {}, pid {pid}{}",
        target.name,
        place.unwrap_or_default()
    )
}

fn methods(sampler: &Sampler) -> Vec<Method> {
    let methods = sampler.methods().into_iter();
    methods.chain([own::method()]).collect()
}

/// What processes of each target hold of their own, or why that cannot be known; the targets share
/// the budget.
fn sample_own(
    args: &Watched,
    sampler: &OwnSampler,
    began_ns: u64,
    last: &[Snapshot],
    interrupt: &Interrupt,
) -> (Vec<Option<OwnMemory>>, Option<Unavailable>) {
    let mut lacking = None;
    let share = args.extent.windows.own_memory_budget / last.len() as f64;
    let mut sample = |last: &Snapshot| {
        let watched = Duration::from_nanos(last.at_ns.saturating_sub(began_ns));
        sampler
            .sample(last, watched.mul_f64(share), interrupt)
            .map_err(|unavailable| lacking = Some(unavailable))
            .ok()
    };
    let owned = last.iter().map(&mut sample).collect();
    (owned, lacking)
}

/// What the time until the end is spent with.
struct Waiting<'a, 'own> {
    args: &'a Watched,
    interval: Option<Duration>,
    quiet: bool,
    moments: &'a mut Moments<'own>,
    following: &'a mut Following,
    sampler: &'a mut Sampler,
    stacks: Option<TakingStacks>,
    keeping: &'a mut Keeping,
    timeline: &'a mut Timeline,
    interrupt: &'a Interrupt,
}

impl Waiting<'_, '_> {
    /// Waits; returns why the watch ended before its time, if it did.
    fn watch(&mut self) -> Result<Option<String>> {
        let begun = Instant::now();
        let mut next = self.interval;
        let time = self.args.duration.unwrap_or_default();
        let progress = Progress::new(time, self.quiet);
        progress.begin("watching", Duration::ZERO, time);
        if self.args.duration.is_none() && !self.quiet {
            say("watching until Ctrl-C");
        }
        loop {
            let left = |duration: Duration| duration.saturating_sub(begun.elapsed());
            let to_end = self.args.duration.map_or(LOOK, left);
            if to_end.is_zero() {
                return Ok(None);
            }
            let to_next = next.map_or(LOOK, left);
            let look = LOOK.min(self.timeline.patience());
            if self.interrupt.sleep(to_end.min(to_next).min(look)) {
                return Ok(self.interrupted(begun.elapsed()));
            }
            if let Some(trouble) = self.keeping.trouble() {
                return Ok(self.interval.map(|_| trouble.to_owned()));
            }
            self.timeline.turn(self.sampler, self.keeping)?;
            let is_due = next.is_some_and(|next| left(next).is_zero());
            if is_due && self.args.duration.is_none_or(|time| !left(time).is_zero()) {
                next = next.zip(self.interval).map(|(next, interval)| {
                    // Of a host that has slept, not all that it slept through.
                    (next + interval).max(begun.elapsed())
                });
                let snapshots = self.sampler.read()?;
                self.keeping.take(Entry::Snapshots(snapshots));
            }
            if let Some(stacks) = &mut self.stacks
                && !stacks.step(self.sampler, self.keeping, self.quiet)?
            {
                self.stacks = None;
            }
            if self.following.is_due() {
                self.follow()?;
            }
            if let Some(ended) = self.ended(begun.elapsed())? {
                return Ok(Some(ended));
            }
        }
    }

    /// Why that is too early, if it is.
    fn interrupted(&self, after: Duration) -> Option<String> {
        let signal = self.interrupt.signal().unwrap_or("a signal");
        let early = |time| format!("interrupted by {signal} after {after:.1?} of {time:?}");
        self.args.duration.map(early)
    }

    /// Looks for who has gone and who has come.
    fn follow(&mut self) -> Result<()> {
        let now = self.sampler.read()?;
        let events = self.following.keep(self.sampler, &now)?;
        for event in &events {
            self.moments.take(event);
            if !self.quiet {
                say(&event.to_string());
            }
        }
        if !events.is_empty() {
            let targets = self.following.targets().map(target).collect();
            self.keeping.take(Entry::Watched(targets));
        }
        self.moments.look(self.following, &now, self.interrupt);
        Ok(())
    }

    /// Who has ended, if all have, for good.
    fn ended(&mut self, after: Duration) -> Result<Option<String>> {
        let following = &self.following;
        let over = following.all_ended()
            && !following.may_come_back()
            && self.sampler.read()?.iter().all(has_ended);
        if !over {
            return Ok(None);
        }
        let who = match &following.targets().collect::<Vec<_>>()[..] {
            [Chosen { pids, .. }] if pids.len() == 1 => format!("process {}", pids[0]),
            [target] => target.name.clone(),
            _ => "all processes".into(),
        };
        let after = after.saturating_sub(POLL);
        Ok(Some(format!("{who} ended after {after:.1?}")))
    }
}

/// A target as far as it is known from the beginning.
fn target(chosen: &Chosen) -> Run {
    Run {
        name: chosen.name.clone(),
        kind: chosen.kind,
        pids: chosen.pids.clone(),
        lives_in: None,
        restarts: chosen.restarts.clone(),
        repeat: 1,
        connections: None,
        before: Snapshot::default(),
        start: Snapshot::default(),
        end: Snapshot::default(),
        memory_points: Vec::new(),
        reserved_points: Vec::new(),
        own: None,
        connected: None,
        client: None,
        incomplete: None,
    }
}

fn followed(it: Followed) -> Run {
    Run {
        lives_in: it.lives_in,
        connected: it.connected,
        incomplete: it.gone,
        ..target(&it.chosen)
    }
}
