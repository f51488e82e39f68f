//! What snapshots become for Prometheus.

mod protobuf;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use connscope::export::metrics::exposition::Exposition;
use connscope::export::metrics::family::{Family, Kind, Series, Value};
use connscope::export::metrics::ledger::{Ledger, Seen, of_target};
use connscope::export::metrics::{budget, host, roles, targets};
use connscope::export::prometheus::encode::encode;
use connscope::export::prometheus::negotiate::Format;
use connscope::snapshot::{Host, Snapshot, Unavailable};
pub(super) use protobuf::{families_of, native_buckets};

use super::sample::{MODELS, methods, run};

const DOCUMENT: &str = include_str!("../../../docs/serve.md");

fn end() -> Snapshot {
    run(&MODELS[0], 20, 1).end
}

fn shown(snapshot: &Snapshot, unavailable: &[Unavailable]) -> Vec<Series> {
    targets::series(&of_target("a \"b\"\\"), snapshot, unavailable)
}

/// One of each.
pub(crate) fn all() -> Arc<Exposition> {
    let snapshot = end();
    let mut series = shown(&snapshot, &[]);
    series.extend(host::series(&snapshot));
    series.extend(host::probes(&methods(), &[]));
    series.extend(host::target(&of_target("b"), &redis()));
    series.extend(host::work(&host::Work {
        pushed: Some(host::Pushed::default()),
        ..host::Work::default()
    }));
    series.extend(host::machine(&machine()));
    Arc::new(Exposition::of(series, 1_800_000_000_000_000_000))
}

fn machine() -> Host {
    Host {
        kernel: "6.1".to_owned(),
        cpus: 2,
        memory_bytes: 1 << 34,
        ..Host::default()
    }
}

fn redis() -> host::Shown {
    host::Shown {
        kind: Some("redis".to_owned()),
        lives_in: Some("redis.service".to_owned()),
        left_out: 0,
        connections: Some(3),
    }
}

pub(super) fn text(exposition: &Arc<Exposition>, format: Format) -> String {
    String::from_utf8(encode(exposition, format).expect("it can be encoded")).expect("text")
}

/// The value of each line, by name and labels.
fn values(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let value = |line: &str| {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        (series.to_owned(), value.parse().expect("a number"))
    };
    let values: Vec<_> = lines.map(value).collect();
    let count = values.len();
    let values: BTreeMap<_, _> = values.into_iter().collect();
    assert_eq!(values.len(), count, "a series is there twice");
    values
}

#[test]
fn figures_are_those_of_the_snapshot() {
    let snapshot = end();
    let values = values(&text(&all(), Format::OpenMetrics));
    let mut counted = 0;
    for role in &snapshot.roles {
        let name = &role.name;
        let of = |name: &str, rest: &str| {
            let labels = format!("target=\"a \\\"b\\\"\\\\\",role=\"{}\"{rest}", role.name);
            let key = format!("connscope_{name}{{{labels}}}");
            *values.get(&key).unwrap_or_else(|| panic!("no {key}"))
        };
        let voluntary: u64 = role.tasks.iter().map(|task| task.totals.voluntary).sum();
        let voluntary = (voluntary + role.ended.voluntary) as f64;
        assert_eq!(
            of("context_switches_total", ",kind=\"voluntary\""),
            voluntary,
            "{name}"
        );
        let cpu_ns: u64 = role.tasks.iter().map(|task| task.totals.cpu_ns).sum();
        let cpu = (cpu_ns + role.ended.cpu_ns) as f64 / 1e9;
        assert_eq!(of("cpu_seconds_total", ""), cpu);
        let waits = &role.run_queue_wait;
        let count = waits.counts.iter().sum::<u64>() as f64;
        counted += u32::from(count > 0.0);
        assert_eq!(of("run_queue_wait_seconds_count", ""), count);
        let infinite = format!(
            "connscope_run_queue_wait_seconds_bucket{{le=\"+Inf\",target=\"a \\\"b\\\"\\\\\",role=\"{name}\"}}"
        );
        assert_eq!(values.get(&infinite), Some(&count), "{infinite}");
        assert_eq!(
            of("run_queue_wait_seconds_sum", ""),
            waits.sum_ns as f64 / 1e9
        );
        let states = ["running", "runnable", "blocked"];
        let tasks = states.map(|state| of("tasks", &format!(",state=\"{state}\"")));
        assert_eq!(tasks.iter().sum::<f64>(), role.tasks.len() as f64);
    }
    assert!(counted > 0, "no role has samples");
    assert_eq!(values["connscope_target_up{target=\"b\"}"], 1.0);
    let info = "connscope_target_info{target=\"b\",kind=\"redis\",lives_in=\"redis.service\"}";
    assert_eq!(values[info], 1.0);
    let lost = snapshot.losses.iter().map(|loss| loss.count).sum::<u64>() as f64;
    let shown: f64 = values
        .iter()
        .filter(|(key, _)| key.starts_with("connscope_events_lost_total"))
        .map(|(_, value)| value)
        .sum();
    assert_eq!(shown, lost);
}

#[test]
fn the_older_text_has_the_same_figures() {
    let exposition = all();
    let (new, old) = (
        text(&exposition, Format::OpenMetrics),
        text(&exposition, Format::Text),
    );
    assert_eq!(values(&new), values(&old));
    assert_eq!(values(&new).len(), exposition.lines());
    assert!(new.ends_with("# EOF\n") && !old.contains("# EOF") && !old.contains("# UNIT"));
    assert!(
        new.contains(
            "# TYPE connscope_cpu_seconds counter\n# UNIT connscope_cpu_seconds seconds\n"
        )
    );
    assert!(old.contains("# TYPE connscope_cpu_seconds_total counter\n"));
    for (name, kind) in [("tasks", "gauge"), ("run_queue_wait_seconds", "histogram")] {
        let line = format!("# TYPE connscope_{name} {kind}\n");
        assert!(new.contains(&line) && old.contains(&line), "{line}");
    }
    // One block for each family, with its help.
    for text in [&new, &old] {
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let names: Vec<_> = types.filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        for name in names {
            assert_eq!(
                text.matches(&format!("# HELP {name} ")).count(),
                1,
                "{name}"
            );
        }
    }
}

#[test]
fn what_cannot_be_measured_is_no_zero() {
    let snapshot = end();
    let has = |series: &[Series], name: &str| series.iter().any(|it| it.family.name == name);
    let unavailable = |measure: &str| Unavailable {
        measure: measure.to_owned(),
        reason: "none".to_owned(),
    };
    let all = shown(&snapshot, &[]);
    let less = shown(
        &snapshot,
        &[unavailable("tlb_flushes"), unavailable("run_queue_depth")],
    );
    for name in ["tlb_flushes", "tlb_flushed_pages", "run_queue_depth"] {
        assert!(has(&all, name) && !has(&less, name), "{name}");
    }
    assert!(has(&less, "run_queue_wait"));
    let mut without = snapshot.clone();
    for role in &mut without.roles {
        role.calls = None;
    }
    assert!(has(&all, "creation_latency") && !has(&shown(&without, &[]), "creation_latency"));
    let probes = host::probes(&methods(), &[unavailable("run_queue_wait")]);
    let down = probes.iter().filter(|it| it.value == Value::Now(0.0));
    let down: Vec<_> = down.map(|it| it.labels[0].1.as_ref()).collect();
    assert_eq!(down, ["run_queue_wait"]);
}

#[test]
fn a_role_that_never_had_a_task_is_not_shown() {
    let mut snapshot = end();
    let before = shown(&snapshot, &[]).len();
    let role = connscope::snapshot::Role {
        name: "other".to_owned(),
        ..Default::default()
    };
    snapshot.roles.push(role);
    assert_eq!(shown(&snapshot, &[]).len(), before);
    snapshot.roles[2].ended_tasks = 1;
    assert!(shown(&snapshot, &[]).len() > before);
}

#[test]
fn a_target_has_no_more_series_than_it_may() {
    let snapshot = end();
    let all = shown(&snapshot, &[]);
    let lines = budget::lines(&all);
    for limit in [lines, lines - 1, 500, 100, 10] {
        let mut series = all.clone();
        let left_out = budget::within(&mut series, limit);
        assert!(budget::lines(&series) <= limit);
        assert_eq!(budget::lines(&series) + left_out, lines);
        assert_eq!(left_out == 0, limit == lines);
    }
    // As many roles as PostgreSQL has, with everything that was ever seen to happen in each.
    let mut many = snapshot.clone();
    many.roles = (0..14)
        .map(|number| connscope::snapshot::Role {
            name: format!("role {number}"),
            ..snapshot.roles[0].clone()
        })
        .collect();
    let lines = budget::lines(&shown(&many, &[]));
    assert!((1_000..=2_000).contains(&lines), "{lines}");
}

#[test]
fn nothing_goes_back_over_a_run_and_another_watch() {
    let run = run(&MODELS[1], 20, 1);
    let mut ledger = Ledger::default();
    let mut seen = Seen::default();
    let mut last: BTreeMap<String, f64> = BTreeMap::new();
    let snapshots = [
        &run.before,
        &run.start,
        &run.end,
        &run.before,
        &run.start,
        &run.end,
    ];
    for (number, snapshot) in snapshots.into_iter().enumerate() {
        if number == 3 {
            seen = Seen::default();
            seen.skip(&shown(snapshot, &[]));
        }
        let series = ledger.show("a", &mut seen, shown(snapshot, &[]));
        let exposition = Arc::new(Exposition::of(series, 0));
        let now = values(&text(&exposition, Format::Text));
        for (key, before) in &last {
            let name = key.split('{').next().unwrap_or_default();
            let is_counter = ["_total", "_bucket", "_count", "_sum"];
            if is_counter.iter().any(|suffix| name.ends_with(suffix)) {
                assert!(now.get(key).is_some_and(|now| now >= before), "{key}");
            }
        }
        last = now;
    }
    let twice = last["connscope_context_switches_total{target=\"a \\\"b\\\"\\\\\",role=\"connection\",kind=\"voluntary\"}"];
    let of_role = |snapshot: &Snapshot| {
        let tasks = &snapshot.roles[1].tasks;
        tasks.iter().map(|task| task.totals.voluntary).sum::<u64>()
    };
    let expected = 2 * of_role(&run.end) - of_role(&run.before);
    assert_eq!(twice, expected as f64);
}

/// Every metric has a row in the document, and no row is of a metric that does not exist.
#[test]
fn every_metric_is_documented() {
    let families = roles::FAMILIES
        .iter()
        .chain(targets::FAMILIES)
        .chain(host::FAMILIES);
    let families: Vec<&Family> = families.copied().collect();
    let names: BTreeSet<String> = families.iter().map(|it| it.full_name()).collect();
    assert_eq!(names.len(), families.len());
    let documented: BTreeSet<String> = super::documentation::documented(DOCUMENT)
        .into_iter()
        .filter(|name| name.starts_with("connscope_"))
        .collect();
    assert_eq!(documented, names);
    for family in families {
        let row = format!("| `{}` |", family.full_name());
        let row = DOCUMENT
            .lines()
            .find(|line| line.starts_with(&row))
            .expect("a row");
        let kind = match family.kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram(..) => "histogram",
        };
        assert!(row.contains(&format!("| {kind} |")), "{row}");
        if let Some(measure) = family.measure {
            assert!(row.contains(&format!("| `{measure}` |")), "{row}");
        }
    }
}
