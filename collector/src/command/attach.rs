//! `connscope attach`: watch what already runs.

use super::{
    expected::expected,
    output::{Sink, conclude, say},
    targets::{asked, has_ended, load, log_in},
};
use crate::{
    attach::{
        choice::{Chosen, choose},
        following::{Followed, Following},
    },
    cli::Attach,
    export::Document,
    host,
    interrupt::{Interrupt, POLL},
    own::{self, OwnSampler},
    progress::Progress,
    report,
    sample::Sampler,
    snapshot::{OwnMemory, Recording, Run, Snapshot, Unavailable},
};
use anyhow::{Context, Result, bail};
use std::{
    panic::resume_unwind,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

/// How often we look whether the watched processes are still there.
const LOOK: Duration = Duration::from_millis(250);

/// A watch as long as this says before what it is expected to cost; a shorter one is over by then.
const TOLD_FROM: Duration = Duration::from_secs(2);

/// Watches processes until the time is over, a signal comes, or all of them have ended.
///
/// # Errors
/// If a process cannot be watched, the kernel refuses a probe, or the report cannot be written.
pub fn run(args: &Attach, quiet: bool) -> Result<ExitCode> {
    let interrupt = Interrupt::install().context("cannot handle signals")?;
    let targets = choose(&asked(&args.targets)?)?;
    let logins = log_in(&args.targets, &targets)?;
    if !quiet {
        logins.troubles().iter().for_each(|it| say(&it.reason));
    }
    let mut sampler = load(&targets, &args.windows.options())?;
    // Beside what is loading still, and what follows.
    let own_sampler = thread::Builder::new().spawn(OwnSampler::load);
    let sink = Sink::open(&args.output)?;
    let mut following = Following::begin(targets, &mut sampler, logins)?;
    // Before the window: no more loading in it.
    let own_sampler = match own_sampler {
        Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
        Err(_) => OwnSampler::load(),
    };
    if args.counters {
        sampler.count_events()?;
    }
    if !quiet && args.duration.is_none_or(|duration| duration >= TOLD_FROM) {
        say(&expected(&args.windows, args.counters));
    }
    let first = sampler.read()?;
    let ended_early = watch(args, &mut following, quiet, &mut sampler, &interrupt)?;
    let last = sampler.read()?;
    let (targets, logins) = following.end(&last);
    let unknown: Vec<_> = targets.iter().filter_map(|it| it.unknown.clone()).collect();
    let (owned, lacking) = sample_own(args, &own_sampler, &first, &last, &interrupt);
    let snapshots = first.into_iter().zip(last).zip(owned);
    let runs = targets
        .into_iter()
        .zip(snapshots)
        .map(|(target, ((first, last), own))| Run {
            own,
            ..attached(target, first, last)
        });
    let (runs, contradictions) = sound(runs);
    if runs.is_empty() {
        bail!(contradictions.join("; "));
    }
    let troubles: Vec<String> = ended_early.into_iter().chain(contradictions).collect();
    let recording = Recording {
        command: "attach".into(),
        host: host::describe(None),
        runs,
        methods: sampler
            .methods()
            .into_iter()
            .chain([own::method()])
            .collect(),
        unavailable: sampler
            .unavailable()
            .into_iter()
            .chain(lacking)
            .chain(unknown)
            .chain(logins.troubles())
            .collect(),
        incomplete: (!troubles.is_empty()).then(|| troubles.join("; ")),
    };
    let report = report::build(&recording)?;
    let document = match args.explain {
        true => Document::Explained(&report),
        false => Document::Report(&report),
    };
    sink.write(document, &args.output)?;
    Ok(conclude(recording.incomplete.as_slice()))
}

/// What processes of each target hold of their own, or why that cannot be known; the targets share
/// the budget.
fn sample_own(
    args: &Attach,
    sampler: &OwnSampler,
    first: &[Snapshot],
    last: &[Snapshot],
    interrupt: &Interrupt,
) -> (Vec<Option<OwnMemory>>, Option<Unavailable>) {
    let mut lacking = None;
    let first_count = first.len() as f64;
    let mut sample = |(first, last): (&Snapshot, &Snapshot)| {
        let watched = Duration::from_nanos(last.at_ns.saturating_sub(first.at_ns));
        let share = args.windows.own_memory_budget / first_count;
        sampler
            .sample(last, watched.mul_f64(share), interrupt)
            .map_err(|unavailable| lacking = Some(unavailable))
            .ok()
    };
    let owned = first.iter().zip(last).map(&mut sample).collect();
    (owned, lacking)
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

/// Waits; returns why the watch ended before its time, if it did.
fn watch(
    args: &Attach,
    following: &mut Following,
    quiet: bool,
    sampler: &mut Sampler,
    interrupt: &Interrupt,
) -> Result<Option<String>> {
    let begun = Instant::now();
    let time = args.duration.unwrap_or_default();
    let progress = Progress::new(time, quiet);
    progress.begin("watching", Duration::ZERO, time);
    if args.duration.is_none() && !quiet {
        say("watching until Ctrl-C");
    }
    loop {
        let elapsed = begun.elapsed();
        let left = args
            .duration
            .map_or(LOOK, |duration| duration.saturating_sub(elapsed));
        if left.is_zero() {
            return Ok(None);
        }
        if interrupt.sleep(left.min(LOOK)) {
            let signal = interrupt.signal().unwrap_or("a signal");
            let early = |duration: Duration| {
                format!(
                    "interrupted by {signal} after {:.1?} of {duration:?}",
                    begun.elapsed()
                )
            };
            return Ok(args.duration.map(early));
        }
        if following.is_due() {
            let now = sampler.read()?;
            for event in following.keep(sampler, &now)? {
                if !quiet {
                    say(&event.to_string());
                }
            }
        }
        if following.all_ended()
            && !following.may_come_back()
            && sampler.read()?.iter().all(has_ended)
        {
            let who = match &following.targets().collect::<Vec<_>>()[..] {
                [Chosen { pids, .. }] if pids.len() == 1 => format!("process {}", pids[0]),
                [target] => target.name.clone(),
                _ => "all processes".into(),
            };
            return Ok(Some(format!(
                "{who} ended after {:.1?}",
                begun.elapsed().saturating_sub(POLL)
            )));
        }
    }
}

fn attached(target: Followed, first: Snapshot, last: Snapshot) -> Run {
    Run {
        name: target.chosen.name,
        kind: target.chosen.kind,
        pids: target.chosen.pids,
        lives_in: target.lives_in,
        restarts: target.chosen.restarts,
        repeat: 1,
        connections: None,
        before: first.clone(),
        start: first,
        end: last,
        memory_points: Vec::new(),
        reserved_points: Vec::new(),
        own: None,
        connected: target.connected,
        client: None,
        incomplete: target.gone,
    }
}
