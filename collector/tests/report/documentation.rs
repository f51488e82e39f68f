//! `docs/json.md` says what every field is, and of no field that does not exist.

use std::collections::BTreeSet;
use std::process::Command;

use connscope::export::{Format, Style, write};
use connscope::report;
use serde_json::Value;

use super::counters::counted;
use super::sample::{attach, compare};
use super::server::troubled;
use super::user_space::scheduled;

const DOCUMENT: &str = include_str!("../../../docs/json.md");

/// Names of fields anywhere in `value`. The keys of `lost` are names of probes.
pub(crate) fn fields(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                names.insert(name.clone());
                if name != "lost" {
                    fields(value, names);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, names)),
        _ => {}
    }
}

/// A report written and read again.
fn json(recording: &connscope::snapshot::Recording) -> Value {
    let mut out = Vec::new();
    let report = report::build(recording).unwrap();
    write(&report, Format::Json, &Style::default(), &mut out).unwrap();
    assert!(out.ends_with(b"}\n"));
    serde_json::from_slice(&out).unwrap()
}

/// The document's parts about reports, `connscope doctor`, `calibrate`, `claims`, `diff`, and several side by side.
pub(crate) fn parts() -> [&'static str; 6] {
    let (reports, rest) = DOCUMENT.split_once("\n## doctor\n").unwrap();
    let (doctor, rest) = rest.split_once("\n## calibrate\n").unwrap();
    let (calibrate, rest) = rest.split_once("\n## claims\n").unwrap();
    let (claims, rest) = rest.split_once("\n## diff\n").unwrap();
    let (diff, several) = rest.split_once("\n## Side by side\n").unwrap();
    [reports, doctor, calibrate, claims, diff, several]
}

/// Names in the first column of the tables of a text.
pub(crate) fn documented(text: &str) -> BTreeSet<String> {
    let row = |line: &str| {
        let cell = line.strip_prefix("| ")?.split('|').next()?;
        Some(
            cell.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    };
    text.lines().filter_map(row).flatten().collect()
}

#[test]
fn every_field_is_documented_and_none_besides() {
    let mut names = BTreeSet::new();
    let mut with_gaps = compare(2);
    with_gaps.unavailable = attach().unavailable;
    with_gaps.runs.iter_mut().for_each(counted);
    with_gaps.runs.iter_mut().for_each(scheduled);
    fields(&json(&with_gaps), &mut names);
    fields(&json(&attach()), &mut names);
    fields(&json(&troubled()), &mut names);
    // Of models told apart, and of one that is not ranked.
    let mut repeated = compare(3);
    let last = repeated.runs.last_mut().unwrap();
    last.incomplete = Some("the server died".to_owned());
    fields(&json(&repeated), &mut names);
    let documented = documented(parts()[0]);
    let missing: Vec<_> = names.difference(&documented).collect();
    let stale: Vec<_> = documented.difference(&names).collect();
    assert!(missing.is_empty(), "not in docs/json.md: {missing:?}");
    assert!(
        stale.is_empty(),
        "in docs/json.md but in no report: {stale:?}"
    );
}

#[test]
fn what_doctor_says_is_documented_and_nothing_besides() {
    let output = Command::new(env!("CARGO_BIN_EXE_connscope"))
        .args(["doctor", "--format", "json"])
        .output()
        .unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["can_compare"], output.status.success());
    assert_eq!(said["schema"], 1);
    let mut names = BTreeSet::new();
    fields(&said, &mut names);
    // There may be nothing to remedy here.
    names.insert("remedy".to_owned());
    assert_eq!(names, documented(parts()[1]));
}

/// The shape that programs rely on: fields may be added, not renamed or moved.
#[test]
fn the_shape_is_that_of_schema_1() {
    let report = json(&compare(1));
    let paths = [
        "/schema",
        "/command",
        "/incomplete",
        "/host/kernel",
        "/host/cpus",
        "/host/virtualization",
        "/window_seconds",
        "/targets/0/name",
        "/targets/0/kind",
        "/targets/0/connections",
        "/targets/0/tasks",
        "/targets/0/repeats",
        "/targets/0/incomplete",
        "/targets/0/measures/context_switches/voluntary",
        "/targets/0/measures/context_switches/involuntary",
        "/targets/0/measures/context_switches/method",
        "/targets/0/measures/time_in_state/running_seconds",
        "/targets/0/measures/time_in_state/runnable_seconds",
        "/targets/0/measures/time_in_state/blocked_seconds",
        "/targets/0/measures/creations/process/count",
        "/targets/0/measures/creations/thread/count",
        "/targets/0/measures/memory/accounted/anonymous_bytes",
        "/targets/0/measures/memory/marginal_bytes_per_connection/value",
        "/targets/1/measures/memory/marginal_bytes_per_connection/confidence_95/1",
        "/targets/0/measures/client/throughput_per_second",
        "/targets/0/measures/client/errors",
        "/targets/0/roles/0/role",
        "/targets/0/roles/0/tasks",
        "/targets/0/roles/0/measures/context_switches/voluntary",
        "/targets/0/connections_detail",
        "/unavailable",
        "/lost/sched",
        "/observer/programs/0/run_seconds",
        "/observer/cpu_seconds",
        "/observer/rss_bytes",
    ];
    for path in paths {
        assert!(report.pointer(path).is_some(), "no {path}");
    }
    let distributions = [
        "run_queue_wait",
        "on_cpu_slice",
        "blocked",
        "creations/first_run",
        "client/latency",
    ];
    for distribution in distributions {
        for field in [
            "count",
            "sum_seconds",
            "p50_seconds",
            "p90_seconds",
            "p99_seconds",
            "max_seconds",
            "relative_error",
            "method",
        ] {
            let path = format!("/targets/0/measures/{distribution}/{field}");
            assert!(
                report.pointer(&path).is_some_and(|value| !value.is_null()),
                "no {path}"
            );
        }
    }
    assert_eq!(report["schema"], 1);
    assert_eq!(report["targets"][0]["kind"], "reference");
    assert_eq!(json(&attach())["targets"][0]["kind"], "process");
    let detail = json(&attach());
    for path in [
        "pid",
        "tid",
        "role",
        "label",
        "measures/context_switches/voluntary",
    ] {
        assert!(
            detail
                .pointer(&format!("/targets/0/connections_detail/0/{path}"))
                .is_some(),
            "{path}"
        );
    }
}
