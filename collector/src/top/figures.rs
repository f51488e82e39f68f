//! What one interval showed, row by row: a target, a role of it, or a task. The figures are those of the
//! report on the interval; nothing is computed here that it has.

use crate::report::histogram::Samples;
use crate::report::measures::KernelMeasures;
use crate::report::{Problem, Report, Target};
use crate::snapshot::{REASONS, Role, Run, Unavailable};
use std::time::Duration;

/// The measures that it needs, as recordings call them.
const MEASURES: [&str; 12] = [
    "context_switches",
    "cpu",
    "time_in_state",
    "run_queue_wait",
    "on_cpu_slice",
    "faults",
    "creations",
    "memory",
    "memory_accounted",
    "connected",
    "roles",
    "login",
];

/// Of what could not be measured that which would be shown.
#[must_use]
pub fn missing(unavailable: &[Unavailable]) -> Vec<Unavailable> {
    let of_use = |it: &&Unavailable| MEASURES.contains(&it.measure.as_str());
    unavailable.iter().filter(of_use).cloned().collect()
}

/// All that is shown at a time.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Length of the interval, in seconds.
    pub seconds: f64,
    /// How long the watch has gone on.
    pub watched: Duration,
    /// CPU time of connscope itself in the interval, of one core.
    pub own_cpu: Option<f64>,
    /// In the order in which they were asked for.
    pub targets: Vec<Watched>,
    /// What could not be measured, and why.
    pub unavailable: Vec<Unavailable>,
}

/// One target.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// What the report calls it.
    pub name: String,
    /// All of it; none before the first interval is over.
    pub whole: Option<Row>,
    /// Those that have tasks, or did anything.
    pub roles: Vec<Row>,
    /// Its living tasks.
    pub tasks: Vec<Row>,
    /// Connections that clients hold open, and those of which it is known who they are.
    pub connections: Option<(u64, u64)>,
    /// Switches, tasks and creations not seen in the interval.
    pub lost: u64,
    /// Why these figures are not of the last interval, if they are not.
    pub trouble: Option<String>,
}

/// One line.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Whose it is: the same from interval to interval.
    pub key: Key,
    /// What it is called.
    pub name: String,
    /// Its role; of a target nothing.
    pub role: String,
    /// Its thread id; of a task alone.
    pub tid: Option<u32>,
    /// What the server says that its connection does, or waits for.
    pub doing: String,
    /// What was measured.
    pub figures: Figures,
    /// Waits and slices one by one; of a task those of its role.
    pub times: Times,
}

/// Whose a row is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Key {
    #[default]
    Nobody,
    Target(usize),
    /// By the place of the role in the snapshots.
    Role(usize, usize),
    /// A reused thread id differs by when the task was created.
    Task {
        target: usize,
        tid: u32,
        started_ns: u64,
    },
}

impl Key {
    /// The number of its target.
    #[must_use]
    pub fn target(self) -> Option<usize> {
        match self {
            Self::Nobody => None,
            Self::Target(target) | Self::Role(target, _) | Self::Task { target, .. } => {
                Some(target)
            }
        }
    }
}

/// What was measured in the interval. What could not be had is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Living tasks.
    pub tasks: u64,
    /// CPU time, of one core.
    pub cpu: Option<f64>,
    /// Voluntary context switches a second.
    pub voluntary: Option<f64>,
    /// Involuntary ones.
    pub involuntary: Option<f64>,
    /// Time waiting for a CPU, of that running or waiting; none where there was neither.
    pub wait_share: Option<f64>,
    /// Run-queue wait, seconds; of a task none.
    pub wait_median: Option<f64>,
    /// The same, 99th percentile.
    pub wait_p99: Option<f64>,
    /// The same, mean: time waiting for a CPU for each time that one was had.
    pub wait_mean: Option<f64>,
    /// What the tasks slept on, and its share of the time asleep, largest first.
    pub blocked: Vec<(&'static str, f64)>,
    /// Page faults a second.
    pub faults: Option<f64>,
    /// Tasks created a second; of a task none.
    pub creations: Option<f64>,
    /// Anonymous pages, page tables and kernel stacks, bytes.
    pub memory: Option<f64>,
}

/// Samples of the interval.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub enum Times {
    #[default]
    None,
    /// Of the row itself.
    Own {
        wait: Box<Samples>,
        slice: Box<Samples>,
    },
    /// Those of the role with this key.
    OfRole(Key),
}

impl Watched {
    /// What a report on one interval, made of this run alone, says of the target of this number.
    ///
    /// # Errors
    /// If a counter of a task went back.
    pub fn of(number: usize, report: &Report, run: &Run) -> Result<Self, Problem> {
        let Some(target) = report.targets.first() else {
            return Ok(Self::named(&run.name));
        };
        let connected = run.connected.as_ref();
        Ok(Self {
            name: target.name.clone(),
            roles: roles(number, target, run)?,
            tasks: super::tasks::rows(number, report, run)?,
            connections: connected.map(|it| (it.open, it.named.len() as u64)),
            lost: target.lost.values().flat_map(|it| it.values()).sum(),
            trouble: None,
            whole: Some(Row {
                key: Key::Target(number),
                name: target.name.clone(),
                figures: Figures::of(&target.measures.kernel, target.tasks, target.window_seconds),
                times: Times::between(&run.start.roles, &run.end.roles)?,
                ..Row::default()
            }),
        })
    }

    /// Names its roles after it, where others are watched too.
    pub fn say_whose(&mut self) {
        let target = &self.name;
        for row in &mut self.roles {
            row.name = format!("{} · {target}", row.name);
        }
        for row in &mut self.tasks {
            row.role = format!("{} · {target}", row.role);
        }
    }

    /// A target of which nothing is known yet.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }
}

/// Those with tasks, and those that did something and have none any more.
fn roles(number: usize, target: &Target, run: &Run) -> Result<Vec<Row>, Problem> {
    let mut rows = Vec::new();
    let snapshots = run.start.roles.iter().zip(&run.end.roles);
    for (place, (role, (start, end))) in target.roles.iter().zip(snapshots).enumerate() {
        let figures = Figures::of(&role.measures, role.tasks, target.window_seconds);
        let did = [figures.voluntary, figures.involuntary, figures.creations];
        if role.tasks == 0 && did.iter().all(|it| it.is_none_or(|rate| rate == 0.0)) {
            continue;
        }
        let roles = (std::slice::from_ref(start), std::slice::from_ref(end));
        rows.push(Row {
            key: Key::Role(number, place),
            name: role.role.clone(),
            role: role.role.clone(),
            figures,
            times: Times::between(roles.0, roles.1)?,
            ..Row::default()
        });
    }
    Ok(rows)
}

impl Times {
    /// Of these roles together.
    fn between(start: &[Role], end: &[Role]) -> Result<Self, Problem> {
        let (mut wait, mut slice) = (Samples::default(), Samples::default());
        for (start, end) in start.iter().zip(end) {
            let waits = Samples::between(&start.run_queue_wait, &end.run_queue_wait, "waits")?;
            let slices = Samples::between(&start.on_cpu_slice, &end.on_cpu_slice, "slices")?;
            wait.add(&waits, "waits")?;
            slice.add(&slices, "slices")?;
        }
        let (wait, slice) = (Box::new(wait), Box::new(slice));
        Ok(Self::Own { wait, slice })
    }
}

impl Figures {
    /// Of a target or a role.
    fn of(measures: &KernelMeasures, tasks: u64, seconds: f64) -> Self {
        let switches = measures.context_switches.as_ref();
        let time = measures.time_in_state.as_ref();
        let wait = measures.run_queue_wait.as_ref();
        let faults = measures.faults.as_ref();
        let reasons = time.map(|time| {
            let times = &time.blocked_by_reason_seconds;
            ranked(REASONS.into_iter().zip(REASONS.map(|reason| times[reason])))
        });
        let accounted = measures.memory.accounted.as_ref();
        let memory = accounted.map(|it| {
            let pages = it.anonymous_bytes.unwrap_or(0) + it.page_table_bytes.unwrap_or(0);
            (pages + it.kernel_stack_bytes) as f64
        });
        Self {
            tasks,
            cpu: measures.cpu.as_ref().map(|cpu| cpu.seconds / seconds),
            voluntary: switches.map(|it| it.voluntary as f64 / seconds),
            involuntary: switches.map(|it| it.involuntary as f64 / seconds),
            wait_share: time.and_then(|it| share(it.runnable_seconds, it.running_seconds)),
            wait_median: wait.and_then(|wait| wait.p50_seconds),
            wait_p99: wait.and_then(|wait| wait.p99_seconds),
            wait_mean: wait.and_then(|wait| mean(wait.sum_seconds, wait.count)),
            blocked: reasons.unwrap_or_default(),
            faults: faults.map(|it| it.per_second),
            creations: measures
                .creations
                .as_ref()
                .map(|it| it.total() as f64 / seconds),
            memory,
        }
    }
}

/// What was slept on, by its share, largest first.
pub(super) fn ranked(
    reasons: impl Iterator<Item = (&'static str, f64)>,
) -> Vec<(&'static str, f64)> {
    let mut reasons: Vec<_> = reasons.filter(|(_, time)| *time > 0.0).collect();
    let all: f64 = reasons.iter().map(|(_, time)| time).sum();
    reasons.iter_mut().for_each(|(_, time)| *time /= all);
    reasons.sort_by(|one, other| other.1.total_cmp(&one.1));
    reasons
}

/// Of all that was waited or run; none of nothing.
pub(super) fn share(waiting: f64, running: f64) -> Option<f64> {
    (waiting + running > 0.0).then(|| waiting / (waiting + running))
}

pub(super) fn mean(sum: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| sum / count as f64)
}
