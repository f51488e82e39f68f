//! One cell of a comparison: one model, so many connections, watched under load.

use crate::{
    attach::{
        cgroup::Hierarchy,
        launched::{Server, TargetBinary},
    },
    interrupt::Interrupt,
    lines::Silence,
    load::{Event, Load, Plan},
    own::OwnSampler,
    report::{self, totals_of},
    sample::Sampler,
    snapshot::{Client, MemoryPoint, OwnMemory, Run, Snapshot, TargetKind, Unavailable},
};
use anyhow::{Context, Result, anyhow};
use std::{thread, time::Duration};

/// After connections were added, until the server is at rest and its memory can be read.
const SETTLE: Duration = Duration::from_millis(20);
/// Steps in which connections are added: points for the slope of memory.
const RAMP_STEPS: u32 = 10;
/// How long one step of connections may take.
const RAMP_LIMIT: Duration = Duration::from_secs(60);
/// How much later than its schedule the generator may be with an event.
const GRACE: Duration = Duration::from_secs(20);

/// What is the same for all cells.
pub(crate) struct Bench<'a> {
    pub(crate) binary: &'a TargetBinary,
    pub(crate) hierarchy: Option<&'a Hierarchy>,
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) options: probe_ebpf::Options,
    /// Whether to open perf counters.
    pub(crate) counters: bool,
    /// What samples own memory after the window, and the share of the window that it may take.
    pub(crate) own: Option<(OwnSampler, f64)>,
}

/// What has been seen of a cell so far.
struct Seen {
    before: Snapshot,
    start: Option<Snapshot>,
    end: Option<Snapshot>,
    memory_points: Vec<MemoryPoint>,
    reserved_points: Vec<MemoryPoint>,
    own: Option<OwnMemory>,
    lacking: Option<Unavailable>,
    client: Option<Client>,
    trouble: Option<String>,
}

/// Starts the model, connects, drives load, watches. What a run that breaks off has seen of its
/// window is kept, and says why it broke off. Returned with the measures that it lacks.
///
/// # Errors
/// If it breaks off before the window opens, or the kernel refuses a probe.
pub(crate) fn measure(
    bench: &Bench<'_>,
    model: &str,
    repeat: u32,
    plan: &Plan,
) -> Result<(Run, Vec<Unavailable>)> {
    let mut sampler = Sampler::load(&[&crate::roles::OF_ANY], &bench.options)?;
    let options: &[&str] = if plan.crash { &["--allow-crash"] } else { &[] };
    let (binary, interrupt) = (bench.binary, bench.interrupt);
    let mut server = Server::start(binary, model, options, bench.hierarchy, interrupt)?;
    let pid = server.pid();
    sampler.add(0, pid)?;
    sampler.add_user_space(0, server.user_space.take());
    let mut seen = Seen {
        before: read(&mut sampler)?,
        start: None,
        end: None,
        memory_points: Vec::new(),
        reserved_points: Vec::new(),
        own: None,
        lacking: None,
        client: None,
        trouble: None,
    };
    // No memory point yet: what the workload prepares comes before the first connections are at rest,
    // and is no part of what one more costs.
    let load = Load::start(bench.binary, server.address, plan)?;
    follow(bench, load, &mut server, &mut sampler, plan, &mut seen)?;
    let start = seen
        .start
        .ok_or_else(|| anyhow!(seen.trouble.clone().unwrap_or_else(|| "no window".into())))?;
    let end = match seen.end {
        Some(end) => end,
        None => read(&mut sampler)?,
    };
    let run = Run {
        name: model.into(),
        kind: TargetKind::Reference,
        pids: vec![pid],
        lives_in: None,
        restarts: Vec::new(),
        repeat,
        connections: Some(plan.connections),
        before: seen.before,
        start,
        end,
        memory_points: seen.memory_points,
        reserved_points: seen.reserved_points,
        own: seen.own,
        connected: None,
        client: seen.client,
        incomplete: seen.trouble,
    };
    report::check(&run)?;
    let lacking = sampler.unavailable().into_iter().chain(seen.lacking);
    Ok((run, lacking.collect()))
}

/// Goes through the phases with the load generator until it is done or something breaks off.
fn follow(
    bench: &Bench<'_>,
    mut load: Load,
    server: &mut Server,
    sampler: &mut Sampler,
    plan: &Plan,
    seen: &mut Seen,
) -> Result<()> {
    loop {
        let limit = if seen.start.is_some() {
            plan.duration
        } else {
            plan.warm_up + RAMP_LIMIT
        } + GRACE;
        // It may well end when it is made to crash.
        let may_end = plan.crash && seen.end.is_some();
        let watch_server = || if may_end { None } else { server.ended() };
        match load.next(limit, bench.interrupt, watch_server) {
            Ok(Event::Connected { connections }) => {
                thread::sleep(SETTLE);
                seen.add_memory_points(server, sampler, connections)?;
                // All that serves them is there and at rest.
                if bench.counters && connections == plan.connections {
                    sampler.count_events()?;
                }
                load.go_on();
            }
            Ok(Event::Measuring) => seen.start = Some(read(sampler)?),
            Ok(Event::Measured) => {
                let end = seen.end.insert(read(sampler)?);
                // The connections are still open, and the generator waits.
                if let Some((sampler, share)) = &bench.own {
                    let budget = plan.duration.mul_f64(*share);
                    match sampler.sample(end, budget, bench.interrupt) {
                        Ok(sampled) => seen.own = Some(sampled),
                        Err(unavailable) => seen.lacking = Some(unavailable),
                    }
                }
                load.go_on();
            }
            Ok(Event::Failed { reason }) => {
                seen.close_window(sampler)?;
                seen.complain(server.ends_now().unwrap_or(reason));
            }
            Ok(Event::Done { result }) => {
                return seen.take_result(*result, server, sampler);
            }
            Err(Silence::Ended) => {
                seen.close_window(sampler)?;
                seen.complain(load.last_words());
                return Ok(());
            }
            Err(silence) => {
                seen.close_window(sampler)?;
                seen.complain(why(&silence));
                (seen.client, _) = load.end_early();
                return Ok(());
            }
        }
    }
}

fn why(silence: &Silence) -> String {
    match silence {
        Silence::TimedOut(limit) => format!("the load generator said nothing for {limit:?}"),
        other => other.to_string(),
    }
}

impl Seen {
    /// What reading the tasks takes comes before the next connections, and never in the window: 1 us a
    /// process, ten times while connecting.
    fn add_memory_points(
        &mut self,
        server: &Server,
        sampler: &mut Sampler,
        connections: u32,
    ) -> Result<()> {
        self.reserved_points.push(MemoryPoint {
            connections,
            bytes: reserved_bytes(&read(sampler)?),
        });
        if let Some(cgroup) = &server.cgroup {
            self.memory_points.push(MemoryPoint {
                connections,
                bytes: cgroup.bytes()?,
            });
        }
        Ok(())
    }

    fn take_result(
        &mut self,
        result: Client,
        server: &mut Server,
        sampler: &mut Sampler,
    ) -> Result<()> {
        if let (false, Some(reason)) = (result.complete, &result.reason) {
            self.complain(server.ends_now().unwrap_or_else(|| reason.clone()));
        } else if result.unanswered > 0
            && self.end.as_ref().map(cpu_ns) == Some(cpu_ns(&read(sampler)?))
        {
            // The generator waited for answers since then. A server that is merely slow was busy.
            self.complain(format!(
                "the server hangs: it did nothing while {} requests were unanswered",
                result.unanswered
            ));
        }
        self.client = Some(result);
        Ok(())
    }

    /// The first complaint is the cause, later ones follow from it.
    fn complain(&mut self, trouble: String) {
        self.trouble.get_or_insert(trouble);
    }

    /// Ends the window now, if it is open.
    fn close_window(&mut self, sampler: &mut Sampler) -> Result<()> {
        if self.start.is_some() && self.end.is_none() {
            self.end = Some(read(sampler)?);
        }
        Ok(())
    }
}

/// Steps of a ramp to so many connections.
pub(crate) fn ramp_steps(connections: u32) -> u32 {
    connections.min(RAMP_STEPS)
}

/// CPU time of all tasks, of those that have ended too.
fn cpu_ns(snapshot: &Snapshot) -> u64 {
    let roles = snapshot.roles.iter();
    roles.map(|role| totals_of(role).cpu_ns).sum()
}

/// What all address spaces together have reserved.
fn reserved_bytes(snapshot: &Snapshot) -> u64 {
    let tasks = snapshot.roles.iter().flat_map(|role| &role.tasks);
    tasks
        .filter_map(|task| Some(task.memory.as_ref()?.reserved_bytes))
        .sum()
}

fn read(sampler: &mut Sampler) -> Result<Snapshot> {
    sampler.read()?.pop().context("the watch has no target")
}
