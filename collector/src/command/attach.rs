//! `connscope attach`: watch what already runs.

use super::{
    Usage,
    output::{Sink, conclude, say},
};
use crate::{
    attach::process,
    cli::Attach,
    host,
    interrupt::{Interrupt, POLL},
    limits::{SPARE_DESCRIPTORS, raise_open_files, too_few_files},
    own::{self, OwnSampler},
    progress::Progress,
    report,
    sample::Sampler,
    snapshot::{OwnMemory, Recording, Run, Snapshot, TargetKind, Unavailable},
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

/// Watches processes until the time is over, a signal comes, or all of them have ended.
///
/// # Errors
/// If a process cannot be watched, the kernel refuses a probe, or the report cannot be written.
pub fn run(args: &Attach, quiet: bool) -> Result<ExitCode> {
    let interrupt = Interrupt::install().context("cannot handle signals")?;
    let names = named(&args.pid)?;
    let limit = raise_open_files();
    if limit < SPARE_DESCRIPTORS {
        bail!(too_few_files("load the probes", limit, SPARE_DESCRIPTORS));
    }
    let mut sampler = Sampler::load(names.len(), &args.windows.options())?;
    // Beside what is loading still, and what follows.
    let own_sampler = thread::Builder::new().spawn(OwnSampler::load);
    let sink = Sink::open(&args.output)?;
    for (target, (pid, _)) in names.iter().enumerate() {
        add(&mut sampler, target, *pid)?;
    }
    // Before the window: no more loading in it.
    let own_sampler = match own_sampler {
        Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
        Err(_) => OwnSampler::load(),
    };
    if args.counters {
        sampler.count_events()?;
    }
    let first = sampler.read()?;
    let ended_early = watch(args, quiet, &mut sampler, &interrupt)?;
    let last = sampler.read()?;
    let (owned, lacking) = sample_own(args, &own_sampler, &first, &last, &interrupt);
    let snapshots = first.into_iter().zip(last).zip(owned);
    let runs = names
        .into_iter()
        .zip(snapshots)
        .map(|((pid, name), ((first, last), own))| Run {
            own,
            ..attached(pid, name, first, last)
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
        unavailable: sampler.unavailable().into_iter().chain(lacking).collect(),
        incomplete: (!troubles.is_empty()).then(|| troubles.join("; ")),
    };
    sink.write(&report::build(&recording)?, &args.output)?;
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
    let mut sample = |(first, last): (&Snapshot, &Snapshot)| {
        let watched = Duration::from_nanos(last.at_ns.saturating_sub(first.at_ns));
        let share = args.windows.own_memory_budget / args.pid.len() as f64;
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

/// Each process once, with its name.
fn named(pids: &[u32]) -> Result<Vec<(u32, String)>> {
    let mut names = Vec::new();
    for &pid in pids {
        if names.iter().any(|(named, _)| *named == pid) {
            return Err(Usage(format!("pid {pid} is given twice")).into());
        }
        names.push((pid, process::name_of(pid)?));
    }
    for (pid, name) in &names {
        let ancestors = process::ancestors(*pid);
        if let Some(ancestor) = ancestors.iter().find(|ancestor| pids.contains(ancestor)) {
            bail!(
                "cannot attach to pid {pid} ({name}): it descends from pid {ancestor}, which includes it; leave out one of the two"
            );
        }
    }
    Ok(names)
}

fn add(sampler: &mut Sampler, target: usize, pid: u32) -> Result<()> {
    match sampler.add(target, pid) {
        Ok(_) => Ok(()),
        Err(error) => {
            // It was there a moment ago; how it has ended says more.
            process::name_of(pid)?;
            Err(error.into())
        }
    }
}

/// Waits; returns why the watch ended before its time, if it did.
fn watch(
    args: &Attach,
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
        if args.pid.iter().all(|&pid| process::name_of(pid).is_err()) && all_ended(&sampler.read()?)
        {
            let who = if args.pid.len() == 1 {
                format!("process {}", args.pid[0])
            } else {
                "all processes".into()
            };
            return Ok(Some(format!(
                "{who} ended after {:.1?}",
                begun.elapsed().saturating_sub(POLL)
            )));
        }
    }
}

fn all_ended(snapshots: &[Snapshot]) -> bool {
    snapshots
        .iter()
        .flat_map(|snapshot| &snapshot.roles)
        .all(|role| role.tasks.is_empty())
}

fn attached(pid: u32, name: String, first: Snapshot, last: Snapshot) -> Run {
    Run {
        name,
        kind: TargetKind::Process,
        pid,
        repeat: 1,
        connections: None,
        before: first.clone(),
        start: first,
        end: last,
        memory_points: Vec::new(),
        reserved_points: Vec::new(),
        own: None,
        client: None,
        incomplete: None,
    }
}
