//! What `calibrate` makes of samples: known lines, steps and spreads, and how they are shown.

use std::collections::BTreeMap;

use connscope::export::{Format, Style, write};
use connscope::report::calibration::{Calibration, Quartiles, build};
use connscope::report::line::line;
use connscope::series::{Calibration as Recording, Described, Finding, Missing, Sample, Series};
use serde_json::Value;

use super::around::host;
use super::documentation::{documented, fields, parts};
use super::tables::same_as_file;

fn described(name: &str, group: &str, title: &str, unit: &str) -> Described {
    Described {
        name: name.to_owned(),
        group: group.to_owned(),
        title: title.to_owned(),
        unit: unit.to_owned(),
        method: format!("how {name} is measured"),
    }
}

/// Three samples around `cost_ns`, each with a harness of 100 ns.
fn series(operation: &str, variant: &str, parameters: &[(&str, f64)], cost_ns: f64) -> Finding {
    let sample = |factor: f64| Sample {
        raw_ns: cost_ns * factor + 100.0,
        harness_ns: Some(100.0),
    };
    let parameters = parameters
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value));
    Finding::Series(Series {
        operation: operation.to_owned(),
        variant: variant.to_owned(),
        parameters: parameters.collect(),
        observed: BTreeMap::new(),
        operations: 3000,
        disturbed: 0,
        samples: [1.0, 0.98, 1.04].map(sample).to_vec(),
    })
}

fn fork(megabytes: f64) -> Finding {
    let bytes = megabytes * 1_024_000.0;
    let cost_ns = 70_000.0 + bytes / 4096.0 * 20.0;
    series(
        "fork",
        &format!("{megabytes} MB"),
        &[("resident_bytes", bytes)],
        cost_ns,
    )
}

fn ring(spaces: f64, cost_ns: f64) -> Finding {
    let variant = format!("{spaces} address spaces");
    series(
        "address_spaces",
        &variant,
        &[("address_spaces", spaces)],
        cost_ns,
    )
}

/// One run with all that a report can hold.
pub(crate) fn recording() -> Recording {
    let mut findings = vec![
        series(
            "switch",
            "no working set",
            &[("working_set_bytes", 0.0)],
            1_800.0,
        ),
        series(
            "switch",
            "64 KiB by 64 B",
            &[("working_set_bytes", 65_536.0)],
            2_050.0,
        ),
        fork(1.0),
        fork(10.0),
        fork(100.0),
        ring(5.0, 2_000.0),
        ring(6.0, 2_020.0),
        ring(7.0, 2_500.0),
        ring(8.0, 2_510.0),
    ];
    // Written in between: not on the line.
    let parameters = [("resident_bytes", 10e6), ("written_bytes", 10e6)];
    findings.push(series("fork", "10 MB, rewritten", &parameters, 9e6));
    let mut call = series("call", "getppid", &[], 60.0);
    if let Finding::Series(series) = &mut call {
        series
            .samples
            .iter_mut()
            .for_each(|it| it.harness_ns = None);
        series.disturbed = 7;
        series
            .observed
            .insert("faults_per_operation".to_owned(), 0.0);
    }
    findings.insert(0, call);
    findings.push(Finding::Missing(Missing {
        operation: "fork".to_owned(),
        variant: Some("1000 MB".to_owned()),
        reason: "more than a quarter of the 900 MB that are free".to_owned(),
    }));
    findings.push(Finding::Missing(Missing {
        operation: "probe".to_owned(),
        variant: None,
        reason: "without CAP_BPF; run with sudo".to_owned(),
    }));
    Recording {
        host: host(),
        operations: vec![
            described("call", "Kernel entry", "system call", "call"),
            described("switch", "Switches", "thread switch", "switch"),
            described("address_spaces", "Switches", "ring of processes", "hop"),
            described("fork", "Creation", "fork, parent holding", "call"),
            described("probe", "Our own probes", "probe", "switch"),
        ],
        findings,
        quick: false,
        took_ns: 31_500_000_000,
        incomplete: None,
    }
}

fn result<'a>(
    report: &'a Calibration,
    operation: &str,
    variant: &str,
) -> &'a connscope::report::calibration::Measured {
    let mut operations = report.operations.iter();
    let operation = operations.find(|it| it.name == operation).unwrap();
    let mut results = operation.results.iter();
    results.find(|it| it.variant == variant).unwrap()
}

fn close(value: f64, expected: f64) -> bool {
    (value - expected).abs() <= expected.abs() * 1e-9
}

#[test]
fn quartiles_are_those_of_numpy() {
    // numpy.percentile([1, 2, 4, 8, 16, 32], [0, 25, 50, 75, 100])
    let quartiles = Quartiles::of_ns(vec![32e9, 1e9, 8e9, 2e9, 16e9, 4e9]).unwrap();
    let expected = Quartiles {
        min_seconds: 1.0,
        p25_seconds: 2.5,
        median_seconds: 6.0,
        p75_seconds: 14.0,
        max_seconds: 32.0,
    };
    assert_eq!(quartiles, expected);
    let one = Quartiles::of_ns(vec![5e9]).unwrap();
    assert_eq!((one.min_seconds, one.p75_seconds), (5.0, 5.0));
    assert!(Quartiles::of_ns(Vec::new()).is_none());
}

#[test]
fn a_line_is_that_of_the_textbook() {
    let points = [(1.0, 3.1), (2.0, 4.9), (3.0, 7.2), (4.0, 8.8), (5.0, 11.1)];
    // Weights of 1 / y²; the figures are those of the formulas elsewhere.
    let line = line(&points).unwrap();
    assert!(close(line.slope.value, 1.968_008_564_740_936), "{line:?}");
    assert!(
        close(line.slope.margin_95, 0.175_577_476_945_339_7),
        "{line:?}"
    );
    assert!(close(line.intercept, 1.102_800_954_543_522), "{line:?}");
    assert!(close(line.r_squared, 0.997_647_877_116_119_6), "{line:?}");
}

/// Twice the time for a fork of a large process is no sign of what that of a small one takes.
#[test]
fn the_largest_point_does_not_decide_where_a_line_begins() {
    let exact = [1e3, 1e4, 1e5, 1e6].map(|pages| (pages, 100e-6 + 10e-9 * pages));
    let slower = exact.map(|(x, y)| (x, if x == 1e6 { y * 1.5 } else { y }));
    let line = line(&slower).unwrap();
    assert!((80e-6..120e-6).contains(&line.intercept), "{line:?}");
}

#[test]
fn a_line_needs_three_points_apart_and_above_zero() {
    assert!(line(&[(1.0, 1.0), (2.0, 2.0)]).is_none());
    assert!(line(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]).is_none());
    assert!(line(&[(1.0, 0.0), (2.0, 2.0), (3.0, 2.0)]).is_none());
    let flat = line(&[(1.0, 2.0), (2.0, 2.0), (3.0, 2.0)]).unwrap();
    assert_eq!(
        (flat.slope.value, flat.intercept, flat.r_squared),
        (0.0, 2.0, 1.0)
    );
}

#[test]
fn the_harness_is_taken_off_and_both_are_shown() {
    let report = build(&recording());
    let switch = result(&report, "switch", "no working set");
    assert!(close(switch.cost.median_seconds, 1.8e-6));
    assert!(close(switch.raw.median_seconds, 1.9e-6));
    assert!(close(switch.harness.unwrap().median_seconds, 100e-9));
    assert_eq!((switch.samples, switch.operations), (3, 3000));
    let call = result(&report, "call", "getppid");
    assert_eq!(call.harness, None);
    assert_eq!(call.cost, call.raw);
}

#[test]
fn what_a_working_set_adds_is_the_indirect_cost() {
    let report = build(&recording());
    assert_eq!(
        result(&report, "switch", "no working set").indirect_seconds,
        None
    );
    let indirect = result(&report, "switch", "64 KiB by 64 B").indirect_seconds;
    assert!(close(indirect.unwrap(), 250e-9));
}

#[test]
fn fork_is_a_line_over_resident_pages() {
    let report = build(&recording());
    let fork = report
        .operations
        .iter()
        .find(|it| it.name == "fork")
        .unwrap();
    let fit = fork.fit.unwrap();
    assert!((fit.seconds_per_page - 20e-9).abs() < 1e-15, "{fit:?}");
    assert!((fit.intercept_seconds - 70e-6).abs() < 1e-9, "{fit:?}");
    assert!(fit.r_squared > 0.999_999 && fit.points == 3, "{fit:?}");
    assert!(fit.confidence_95[0] <= fit.seconds_per_page);
    assert!(
        report
            .operations
            .iter()
            .all(|it| it.name == "fork" || it.fit.is_none())
    );
}

#[test]
fn the_step_is_where_one_more_address_space_costs_most() {
    let report = build(&recording());
    let rings = report
        .operations
        .iter()
        .find(|it| it.name == "address_spaces")
        .unwrap();
    let step = rings.step.unwrap();
    assert_eq!((step.from, step.to), (6, 7));
    assert!((step.rise_seconds - 480e-9).abs() < 1e-15);
    // A ring of two does not count.
    let mut with_two = recording();
    with_two.findings.insert(0, ring(2.0, 900.0));
    let rings = build(&with_two).operations.into_iter();
    let step = rings.filter_map(|it| it.step).next().unwrap();
    assert_eq!((step.from, step.to), (6, 7));
    // Rising evenly is no step, and neither is a rise within the spread of the samples.
    for costs in [
        [2_000.0, 2_200.0, 2_400.0, 2_600.0],
        [2_000.0, 2_001.0, 2_030.0, 2_031.0],
    ] {
        let mut even = recording();
        let spaces = [5.0, 6.0, 7.0, 8.0].into_iter().zip(costs);
        even.findings = spaces
            .map(|(spaces, cost_ns)| ring(spaces, cost_ns))
            .collect();
        assert_eq!(build(&even).operations[0].step, None, "{costs:?}");
    }
}

#[test]
fn what_was_not_measured_is_missing_and_no_zero() {
    let report = build(&recording());
    assert!(report.operations.iter().all(|it| it.name != "probe"));
    assert_eq!(report.unavailable.len(), 2);
}

fn written(format: Format, width: Option<u16>, recording: &Recording) -> String {
    let style = Style {
        color: false,
        width,
    };
    let mut out = Vec::new();
    write(&build(recording), format, &style, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn tables() {
    let mut recording = recording();
    same_as_file(
        "calibration.txt",
        &written(Format::Table, Some(120), &recording),
    );
    recording.incomplete = Some("interrupted by SIGINT, 1 of 5 operations not measured".to_owned());
    let narrow = written(Format::Table, Some(80), &recording);
    assert!(
        narrow.lines().all(|line| line.chars().count() <= 80),
        "{narrow}"
    );
    same_as_file("calibration_narrow.txt", &narrow);
}

#[test]
fn every_field_is_documented_and_none_besides() {
    let text = written(Format::Json, None, &recording());
    let mut names = std::collections::BTreeSet::new();
    fields(&serde_json::from_str::<Value>(&text).unwrap(), &mut names);
    let documented = documented(parts()[2]);
    let host = documented_host();
    let names: std::collections::BTreeSet<_> = names.difference(&host).cloned().collect();
    let missing: Vec<_> = names.difference(&documented).collect();
    assert!(missing.is_empty(), "not in docs/json.md: {missing:?}");
    // What operations are made with and what is counted has names of its own: see root_calibrate.
    let stale = documented.difference(&names);
    let stale: Vec<_> = stale
        .filter(|name| !OF_OPERATIONS.contains(&name.as_str()))
        .collect();
    assert!(
        stale.is_empty(),
        "in docs/json.md but in no report: {stale:?}"
    );
}

/// Keys of `parameters` and `observed` that the recording above has none of.
const OF_OPERATIONS: [&str; 8] = [
    "instructions_per_operation",
    "stride_bytes",
    "page_bytes",
    "other_threads",
    "switches_per_operation",
    "runs_per_operation",
    "shootdown_interrupts_per_operation",
    "tlb_flushed_share",
];

/// The fields of `host`, which all reports share.
fn documented_host() -> std::collections::BTreeSet<String> {
    let (_, host) = parts()[0].split_once("\n## host\n").unwrap();
    documented(host.split("\n## ").next().unwrap())
}
