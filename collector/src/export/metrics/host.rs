//! What is shown whatever is watched: connscope itself, what it costs and what it does not see.

use super::family::{Family, Labels, Series, Unit, Value, now};
use crate::snapshot::{Host, Method, Snapshot, Unavailable};
use std::collections::BTreeMap;

static BUILD: Family = Family::gauge(
    "build_info",
    "Version of connscope, and the kernel that it measures.",
);
static CPUS: Family = Family::gauge("host_cpus", "CPUs of the host that are online.");
static HOST_MEMORY: Family =
    Family::gauge("host_memory", "Memory of the host.").in_unit(Unit::Bytes);
static PROBE: Family = Family::gauge(
    "probe_up",
    "Whether a measure can be had here, and by which method; 0 with method none if not.",
);
static LOST: Family = Family::counter(
    "events_lost",
    "What probes did not see, by probe and what it was.",
);
static WINDOWS: Family = Family::counter(
    "window_open",
    "Time that windows were open, of the probes that look through windows only.",
)
.in_unit(Unit::Seconds);
static STOLEN: Family = Family::counter(
    "stolen",
    "CPU time of the host that the hypervisor gave to others, all CPUs.",
)
.in_unit(Unit::Seconds);
static CPU: Family = Family::counter(
    "observer_cpu",
    "CPU time of connscope itself, user and system.",
)
.in_unit(Unit::Seconds);
static RSS: Family =
    Family::gauge("observer_resident", "Resident memory of connscope itself.").in_unit(Unit::Bytes);
static RUNS: Family = Family::counter(
    "observer_program_runs",
    "Runs of connscope's BPF programs while the kernel kept statistics of them.",
);
static RUN_TIME: Family = Family::counter(
    "observer_program_run",
    "What those runs took; divide by the growth of connscope_observer_statistics_seconds_total for a share of a core.",
)
.in_unit(Unit::Seconds);
static STATISTICS: Family = Family::counter(
    "observer_statistics",
    "Time that the kernel kept statistics of BPF programs for connscope.",
)
.in_unit(Unit::Seconds);
static MAPS: Family =
    Family::gauge("observer_map", "Memory of connscope's BPF maps.").in_unit(Unit::Bytes);

/// Version and kernel, and of what shares are taken: CPUs and memory, where they are known.
#[must_use]
pub fn machine(host: &Host) -> Vec<Series> {
    let labels = vec![
        ("version", host.connscope_version.clone().into()),
        ("kernel", host.kernel.clone().into()),
    ];
    let none = Labels::new();
    let sizes = [
        (&CPUS, u64::from(host.cpus)),
        (&HOST_MEMORY, host.memory_bytes),
    ];
    let known = sizes.into_iter().filter(|(_, size)| *size > 0);
    let sizes = known.map(|(family, size)| family.series(&none, now(size)));
    let build = BUILD.series(&labels, Value::Now(1.0));
    [build].into_iter().chain(sizes).collect()
}

/// Of each measure whether it can be had.
#[must_use]
pub fn probes(methods: &[Method], unavailable: &[Unavailable]) -> Vec<Series> {
    let mut probes: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    let lacks = |measure: &str| unavailable.iter().any(|it| it.measure == measure);
    for method in methods.iter().filter(|it| !lacks(&it.measure)) {
        probes.insert((&method.measure, &method.method), 1.0);
    }
    for measure in unavailable {
        probes.insert((&measure.measure, "none"), 0.0);
    }
    let shown = probes.into_iter().map(|((probe, method), up)| {
        let labels = vec![
            ("probe", probe.to_owned().into()),
            ("method", method.to_owned().into()),
        ];
        PROBE.series(&labels, Value::Now(up))
    });
    shown.collect()
}

/// What a snapshot says that is not of its target.
#[must_use]
pub fn series(snapshot: &Snapshot) -> Vec<Series> {
    let none = Labels::new();
    let mut series = vec![
        STOLEN.series(&none, Value::Total(snapshot.stolen_ns)),
        CPU.series(&none, Value::Total(snapshot.observer_cpu_ns)),
        RSS.series(&none, now(snapshot.observer_rss_bytes)),
        STATISTICS.series(&none, Value::Total(snapshot.statistics.on_ns)),
    ];
    let mut lost: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for loss in &snapshot.losses {
        *lost.entry((&loss.probe, &loss.what)).or_default() += loss.count;
    }
    series.extend(lost.into_iter().map(|((probe, what), count)| {
        let labels = vec![
            ("probe", probe.to_owned().into()),
            ("what", what.to_owned().into()),
        ];
        LOST.series(&labels, Value::Total(count))
    }));
    for window in &snapshot.windows {
        let open = Value::Total(window.open_ns);
        series.push(WINDOWS.labelled(&none, "probe", window.probe.clone(), open));
    }
    series.extend(programs(snapshot));
    series
}

/// Of these what counts from another time than the exporter's start: since the host booted.
#[must_use]
pub fn since_boot(snapshot: &Snapshot) -> Vec<Series> {
    vec![STOLEN.series(&Labels::new(), Value::Total(snapshot.stolen_ns))]
}

fn programs(snapshot: &Snapshot) -> Vec<Series> {
    let none = Labels::new();
    let mut costs: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for program in &snapshot.programs {
        let cost = costs.entry(&program.name).or_default();
        *cost = (cost.0 + program.runs, cost.1 + program.run_ns);
    }
    let mut series = Vec::new();
    for (name, (runs, run_ns)) in costs {
        let name = || name.to_owned();
        series.push(RUNS.labelled(&none, "program", name(), Value::Total(runs)));
        series.push(RUN_TIME.labelled(&none, "program", name(), Value::Total(run_ns)));
    }
    let mut maps: BTreeMap<&str, u64> = BTreeMap::new();
    for map in &snapshot.maps {
        if let Some(bytes) = map.bytes {
            *maps.entry(&map.name).or_default() += bytes;
        }
    }
    let maps = maps.into_iter();
    series
        .extend(maps.map(|(name, bytes)| MAPS.labelled(&none, "map", name.to_owned(), now(bytes))));
    series
}

static UP: Family = Family::gauge("target_up", "Whether any process of the target is watched.");
static INFO: Family = Family::gauge(
    "target_info",
    "What kind of server the target is, and the unit or the container that it lives in.",
);
static LEFT_OUT: Family = Family::gauge(
    "series_left_out",
    "Series of the target that are not shown, since it would have more than the limit.",
);

static CONNECTIONS: Family = Family::gauge(
    "connections",
    "Connections that clients hold open, of servers that tell.",
);

/// What is known of a target besides its snapshot.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// What it is, if it is there.
    pub kind: Option<String>,
    /// The unit or the container that it lives in, if it does in one.
    pub lives_in: Option<String>,
    /// Series of it that are left out.
    pub left_out: usize,
    /// Connections that clients hold open, if that is known.
    pub connections: Option<u64>,
}

/// Whether a target is there, what it is, and how much of it is not shown.
#[must_use]
pub fn target(target: &Labels, shown: &Shown) -> Vec<Series> {
    let up = Value::Now(f64::from(u8::from(shown.kind.is_some())));
    let mut series = vec![UP.series(target, up)];
    if let Some(kind) = shown.kind.clone() {
        let lives_in = shown.lives_in.clone().map(|it| ("lives_in", it.into()));
        let more = [("kind", kind.into())].into_iter().chain(lives_in);
        let labels: Labels = target.iter().cloned().chain(more).collect();
        series.push(INFO.series(&labels, Value::Now(1.0)));
        series.push(LEFT_OUT.series(target, now(shown.left_out as u64)));
    }
    let connections = shown.connections.map(now);
    series.extend(connections.map(|open| CONNECTIONS.series(target, open)));
    series
}

static READS: Family = Family::counter("snapshots", "Times that the probes were read.");
static FAILED: Family = Family::counter("snapshot_failures", "Times that they could not be read.");
static TOOK: Family = Family::gauge(
    "snapshot_duration",
    "How long reading them took, the last time.",
)
.in_unit(Unit::Seconds);
static READ_AT: Family = Family::gauge(
    "last_snapshot_timestamp",
    "When they were last read, in seconds since the epoch.",
)
.in_unit(Unit::Seconds);
static INTERVAL: Family = Family::gauge(
    "snapshot_interval",
    "How often they are to be read, as configured.",
)
.in_unit(Unit::Seconds);
static RELOADS: Family = Family::counter(
    "config_reloads",
    "Times that the configuration was to be read anew, by whether it was taken.",
);
static RELOADED: Family = Family::gauge(
    "config_last_reload_successful",
    "Whether the configuration was taken the last time that it was read.",
);
static GAP: Family = Family::counter(
    "watch_gap",
    "Time in which counters missed what happened, since the probes were loaded anew for another configuration.",
)
.in_unit(Unit::Seconds);

/// What has become of the exporter's own work.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Times that the probes were read.
    pub reads: u64,
    /// Times that they could not be.
    pub failed: u64,
    /// How long the last time took.
    pub took_seconds: f64,
    /// When that was, in nanoseconds since the epoch.
    pub read_unix_ns: u64,
    /// From one reading to the next, as configured.
    pub interval_seconds: f64,
    /// Configurations that were taken, and those that were not.
    pub reloads: (u64, u64),
    /// The last one was not.
    pub reload_failed: bool,
    /// Time between the last reading of a watch and the first of the one after it.
    pub gap_ns: u64,
    /// What has become of what was to be pushed, where anything is.
    pub pushed: Option<Pushed>,
}

static PUSHED: Family = Family::counter(
    "otlp_readings",
    "Readings that were to be pushed, by what became of them: sent; dropped, since too many waited; refused by the receiver for good.",
);
static WAITING: Family = Family::gauge("otlp_queue", "Readings that wait to be pushed.");
static REJECTED: Family = Family::counter(
    "otlp_rejected_points",
    "Data points that the receiver did not take of readings that it took.",
);

/// What has become of readings that were to be pushed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pushed {
    /// The receiver has them.
    pub sent: u64,
    /// They had to make room for newer ones.
    pub dropped: u64,
    /// The receiver does not want them.
    pub refused: u64,
    /// They wait, or are on their way.
    pub waiting: u64,
    /// Data points that it did not take of those that it has.
    pub rejected_points: u64,
}

impl Pushed {
    fn series(self, none: &Labels) -> Vec<Series> {
        let result = |name, count| PUSHED.labelled(none, "result", name, Value::Total(count));
        vec![
            result("sent", self.sent),
            result("dropped", self.dropped),
            result("refused", self.refused),
            WAITING.series(none, now(self.waiting)),
            REJECTED.series(none, Value::Total(self.rejected_points)),
        ]
    }
}

/// The same as series.
#[must_use]
pub fn work(work: &Work) -> Vec<Series> {
    let none = Labels::new();
    let (taken, refused) = work.reloads;
    let reloaded = Value::Now(f64::from(u8::from(!work.reload_failed)));
    let mut series = vec![
        READS.series(&none, Value::Total(work.reads)),
        FAILED.series(&none, Value::Total(work.failed)),
        TOOK.series(&none, Value::Now(work.took_seconds)),
        READ_AT.series(&none, Value::Now(Unit::Seconds.shown(work.read_unix_ns))),
        INTERVAL.series(&none, Value::Now(work.interval_seconds)),
        RELOADS.labelled(&none, "result", "taken", Value::Total(taken)),
        RELOADS.labelled(&none, "result", "refused", Value::Total(refused)),
        RELOADED.series(&none, reloaded),
        GAP.series(&none, Value::Total(work.gap_ns)),
    ];
    let pushed = work.pushed.map(|pushed| pushed.series(&none));
    series.extend(pushed.into_iter().flatten());
    series
}

/// The families of this file.
pub static FAMILIES: &[&Family] = &[
    &BUILD,
    &CPUS,
    &HOST_MEMORY,
    &PROBE,
    &LOST,
    &WINDOWS,
    &STOLEN,
    &CPU,
    &RSS,
    &RUNS,
    &RUN_TIME,
    &STATISTICS,
    &MAPS,
    &UP,
    &INFO,
    &LEFT_OUT,
    &CONNECTIONS,
    &READS,
    &FAILED,
    &TOOK,
    &READ_AT,
    &INTERVAL,
    &RELOADS,
    &RELOADED,
    &GAP,
    &PUSHED,
    &WAITING,
    &REJECTED,
];
