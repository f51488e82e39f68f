//! What one connection costs in each concurrency model, what a crash takes with it, and what a request that
//! burns CPU time holds up.

use super::{
    Family, Spec,
    round::Round,
    servers::{Setting, Watched, plan},
};
use crate::{figures::Unit, load::Plan, measure::ramp_steps};
use anyhow::{Context, Result};
use procfs::Current;
use std::fs;

pub(super) const FAMILY: Family = Family {
    name: "connections by model",
    figures: &[
        Spec {
            name: "memory_per_connection",
            unit: Unit::Bytes,
            axis: "model",
            method: "slope of what the server's own cgroup is charged with, kernel memory included, over 200 \
                     connections at rest, over 1,000 where no task is made for each",
        },
        Spec {
            name: "memory_of_10000",
            unit: Unit::Bytes,
            axis: "model",
            method: "extrapolated: memory_per_connection, measured, times 10,000",
        },
        Spec {
            name: "memory_of_a_million",
            unit: Unit::Share,
            axis: "model",
            method: "extrapolated: memory_per_connection, measured, times 1,000,000, as a \
                     share of this host's memory",
        },
        Spec {
            name: "reserved_per_connection",
            unit: Unit::Bytes,
            axis: "model",
            method: "slope of what the server's address spaces reserve (private writable mappings) over 200 \
                     connections",
        },
        Spec {
            name: "connections_limit",
            unit: Unit::Count,
            axis: "model",
            method: "computed: the least of what fits into the memory that is free by \
                     memory_per_connection, of tasks (pid_max, threads-max) where each connection has one, and of \
                     open files of one process (RLIMIT_NOFILE, hard) where one process holds them all",
        },
        Spec {
            name: "crash_lost",
            unit: Unit::Share,
            axis: "model",
            method: "the handler of one connection dereferences a null pointer: other connections that end, or \
                     are answered no more, of all others",
        },
        Spec {
            name: "stall",
            unit: Unit::Share,
            axis: "model",
            method: "a request burns 100 ms of CPU time, 5 times: how long PINGs on other connections wait \
                     meanwhile, median, as a share of that",
        },
    ],
    takes_ms: [13_500, 7_000],
    take,
};

/// Models, what bounds their connections besides memory, and what is tried on them.
const MODELS: [(&str, Bound, Trials); 7] = [
    ("process-per-connection", Bound::Tasks, Trials::Crash),
    ("thread-per-connection", Bound::Tasks, Trials::Both),
    ("event-loop", Bound::Files, Trials::Both),
    ("async-tasks", Bound::Files, Trials::CrashInFull),
    ("green-threads", Bound::Files, Trials::CrashInFull),
    // It forwards requests to another server, so what crashes is not it.
    ("pooler", Bound::Files, Trials::None),
    ("goroutines", Bound::Files, Trials::Crash),
];
const FEW: usize = 6;

/// What follows from the memory of one more connection.
const OF_MEMORY: [&str; 4] = [
    "memory_per_connection",
    "memory_of_10000",
    "memory_of_a_million",
    "connections_limit",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trials {
    None,
    Crash,
    /// Not with --quick.
    CrashInFull,
    /// What a crash takes with it, and what a stall holds up.
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    /// Each connection has a task.
    Tasks,
    /// One process holds them all.
    Files,
}

fn take(round: &mut Round<'_>) -> Result<()> {
    let setting = round.setting;
    let servers = setting.servers()?;
    let served = servers.models()?;
    for &(model, bound, trials) in setting.some(&MODELS, FEW) {
        if !served.iter().any(|it| it == model) {
            let why = format!("{model} was not built; build it by: cargo xtask build");
            for figure in FAMILY.figures {
                round.lacks(figure.name, Some(model), why.clone());
            }
            continue;
        }
        let watched = setting.watched(model, &of_model(bound, trials, setting))?;
        tell_memory(round, model, bound, &watched)?;
        tell_trials(round, model, &watched);
    }
    Ok(())
}

fn of_model(bound: Bound, trials: Trials, setting: &Setting<'_>) -> Plan {
    let connections = match bound {
        Bound::Tasks => 200,
        Bound::Files => 1_000,
    };
    Plan {
        stall: trials == Trials::Both,
        crash: match trials {
            Trials::None => false,
            Trials::Crash | Trials::Both => true,
            Trials::CrashInFull => !setting.quick,
        },
        ramp_steps: ramp_steps(connections),
        ..plan("get-set", connections, 1_000, setting.window(300, 200))
    }
}

fn tell_memory(round: &mut Round<'_>, model: &str, bound: Bound, watched: &Watched) -> Result<()> {
    let each = match watched.per_connection() {
        Ok(each) => each,
        Err(why) => {
            for figure in OF_MEMORY {
                round.lacks(figure, Some(model), why.clone());
            }
            return Ok(());
        }
    };
    let memory = procfs::Meminfo::current().context("cannot read /proc/meminfo")?;
    let million = 1e6 * each / memory.mem_total as f64;
    round.tell_at("memory_per_connection", model, None, vec![each]);
    round.tell_at("memory_of_10000", model, None, vec![1e4 * each]);
    round.tell_at("memory_of_a_million", model, None, vec![million]);
    let memory = &watched.target.measures.kernel.memory;
    if let Some(reserved) = memory
        .reserved_bytes_per_connection
        .as_ref()
        .and_then(|it| it.value)
    {
        round.tell_at("reserved_per_connection", model, None, vec![reserved]);
    }
    let (limit, cause) = limit(each, bound)?;
    round.tell_at("connections_limit", model, None, vec![limit]);
    round.note("connections_limit", model, cause);
    Ok(())
}

/// How many connections there may be, and what bounds them.
fn limit(bytes_each: f64, bound: Bound) -> Result<(f64, String)> {
    let free = procfs::Meminfo::current()?.mem_available.unwrap_or(0) as f64;
    let of_file = |path: &str| -> Result<f64> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        text.trim()
            .parse()
            .with_context(|| format!("no number in {path}"))
    };
    let mut limits = vec![(free / bytes_each.max(1.0), "free memory")];
    match bound {
        Bound::Tasks => limits.extend([
            (of_file("/proc/sys/kernel/pid_max")?, "kernel.pid_max"),
            (
                of_file("/proc/sys/kernel/threads-max")?,
                "kernel.threads-max",
            ),
        ]),
        Bound::Files => {
            let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
            let files = files.map_or(f64::INFINITY, |files| files as f64);
            limits.push((files, "hard limit of open files (RLIMIT_NOFILE)"));
        }
    }
    let least = limits
        .into_iter()
        .min_by(|one, other| one.0.total_cmp(&other.0));
    let (limit, cause) = least.context("nothing bounds connections")?;
    Ok((limit.floor(), format!("bounded by {cause}")))
}

fn tell_trials(round: &mut Round<'_>, model: &str, watched: &Watched) {
    if let Some(stall) = watched.client.stall {
        let share = stall.with.p50_seconds / stall.work_seconds;
        round.tell_at("stall", model, None, vec![share]);
    }
    if let Some(crash) = watched.client.crash {
        let share = f64::from(crash.lost) / f64::from(crash.others);
        round.tell_at("crash_lost", model, None, vec![share]);
    }
}
