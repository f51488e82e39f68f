//! `connscope calibrate`: what must hold of its figures on any host, by the kernel's own counts and by
//! what one operation has in common with another.

#[path = "support/program.rs"]
mod program;

use program::*;
use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

/// From a signal to the end.
const LIMIT: Duration = Duration::from_secs(3);
/// No series has fewer samples.
const LEAST_SAMPLES: u64 = 7;

/// A report of these operations.
#[track_caller]
fn report(operations: &str) -> Value {
    let words = format!("calibrate --quick --format json --quiet --only {operations}");
    Ended::of(connscope(&words)).exits(0).report()
}

#[track_caller]
fn operation<'a>(report: &'a Value, name: &str) -> &'a Value {
    let operations = report["operations"].as_array().expect("operations");
    let found = operations.iter().find(|it| it["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

#[track_caller]
fn results<'a>(report: &'a Value, name: &str) -> &'a [Value] {
    operation(report, name)["results"]
        .as_array()
        .expect("results")
}

/// The result that has this parameter.
#[track_caller]
fn with<'a>(report: &'a Value, name: &str, parameter: &str, value: f64) -> &'a Value {
    let mut results = results(report, name).iter();
    let found = results.find(|it| it["parameters"][parameter] == value);
    found.unwrap_or_else(|| panic!("no {parameter} {value} of {name}"))
}

/// Its median cost, in seconds.
#[track_caller]
fn median(result: &Value) -> f64 {
    result["cost"]["median_seconds"].as_f64().expect("a median")
}

/// Fails unless what the kernel counted for each operation is within these bounds, in all results.
#[track_caller]
fn observed(report: &Value, name: &str, what: &str, least: f64, most: f64) {
    for result in results(report, name) {
        let each = result["observed"][what].as_f64().expect("a count");
        assert!(
            (least..=most).contains(&each),
            "{what} {each} of {name}: {result:#}"
        );
    }
}

/// Names of fields anywhere in `value`.
fn fields(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                names.push(name.clone());
                fields(value, names);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, names)),
        _ => {}
    }
}

#[test]
fn every_operation_has_samples_whose_quartiles_are_in_order() {
    let report = Ended::of(connscope("calibrate --format json --quiet"));
    let report = report.exits(0).report();
    assert_eq!(
        report["unavailable"],
        Value::Array(Vec::new()),
        "{report:#}"
    );
    assert!(report["duration_seconds"].as_f64().expect("a time") < 60.0);
    let listed = Ended::of(connscope("calibrate --list")).exits(0).stdout;
    let names: Vec<_> = listed
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    let told: Vec<_> = report["operations"]
        .as_array()
        .expect("operations")
        .iter()
        .collect();
    assert_eq!(
        told.iter()
            .map(|it| it["name"].as_str())
            .collect::<Option<Vec<_>>>(),
        Some(names)
    );
    for operation in told {
        for result in operation["results"].as_array().expect("results") {
            let whole = |name: &str| result[name].as_u64().expect("a number");
            assert!(whole("samples") >= LEAST_SAMPLES, "{result:#}");
            assert!(whole("operations") >= whole("samples"), "{result:#}");
            for part in ["cost", "raw"] {
                let places = ["min", "p25", "median", "p75", "max"];
                let figure = |place| result[part][format!("{place}_seconds")].as_f64();
                let figures: Option<Vec<f64>> = places.into_iter().map(figure).collect();
                let figures = figures.unwrap_or_else(|| panic!("{result:#}"));
                assert!(figures.is_sorted(), "{result:#}");
            }
            assert!(
                result["raw"]["min_seconds"].as_f64() > Some(0.0),
                "{result:#}"
            );
        }
    }
    let document = include_str!("../../docs/json.md");
    let mut names = Vec::new();
    fields(&report, &mut names);
    names.retain(|name| !document.contains(&format!("`{name}`")));
    assert!(names.is_empty(), "not in docs/json.md: {names:?}");
}

#[test]
fn switches_are_as_many_as_the_kernel_counts() {
    let all = "thread_round_trip,process_round_trip,thread_switch,process_switch,address_spaces";
    let report = report(&format!("{all},coroutine_switch"));
    for name in ["thread_round_trip", "process_round_trip"] {
        observed(&report, name, "switches_per_operation", 1.98, 2.1);
    }
    for name in ["thread_switch", "process_switch"] {
        // Where each takes a millisecond for its working set, others have the CPU in some of them.
        observed(&report, name, "switches_per_operation", 0.99, 1.15);
    }
    for result in [
        with(&report, "thread_switch", "working_set_bytes", 0.0),
        with(&report, "process_switch", "working_set_bytes", 0.0),
    ] {
        let each = result["observed"]["switches_per_operation"].as_f64();
        assert!(each <= Some(1.05), "{result:#}");
    }
    // Where others use the CPU, a sender may be put off before it sleeps, and needs another turn.
    observed(
        &report,
        "address_spaces",
        "switches_per_operation",
        0.99,
        2.0,
    );

    // x86 keeps the entries of six address spaces for each CPU; a task of others takes the place of one now and then.
    let flushed = |spaces| {
        let ring = with(&report, "address_spaces", "address_spaces", spaces);
        let share = ring["observed"]["tlb_flushed_share"].as_f64();
        share.expect("a share, with root's privileges")
    };
    for (spaces, shares) in [(2.0, 0.0..0.1), (6.0, 0.0..0.1), (7.0, 0.9..1.01)] {
        let share = flushed(spaces);
        assert!(shares.contains(&share), "{share} at {spaces}");
    }

    let hop = |spaces| median(with(&report, "address_spaces", "address_spaces", spaces));
    assert!(hop(16.0) > hop(2.0), "{} {}", hop(16.0), hop(2.0));
    let thread = median(with(&report, "thread_switch", "working_set_bytes", 0.0));
    let coroutine = median(&results(&report, "coroutine_switch")[0]);
    assert!(coroutine < thread, "{coroutine} {thread}");
}

#[test]
fn fork_costs_more_for_each_page() {
    let report = report("fork,vfork");
    let fit = &operation(&report, "fork")["fit"];
    let confidence = |bound: usize| fit["confidence_95"][bound].as_f64().expect("a bound");
    assert!(confidence(0) > 0.0, "{fit:#}");
    assert!(confidence(0) <= confidence(1), "{fit:#}");
    assert!(fit["points"].as_u64() >= Some(4), "{fit:#}");
    // What is resident is what was written, and a few MB of the program itself.
    let sizes = [1e6, 10e6, 50e6];
    for (result, written) in results(&report, "fork").iter().zip(sizes) {
        let resident = result["parameters"]["resident_bytes"]
            .as_f64()
            .expect("bytes");
        assert!((written..written + 20e6).contains(&resident), "{result:#}");
    }
    // Page tables are copied by the one and not by the other.
    let last = |name| {
        results(&report, name)
            .iter()
            .find(|it| it["variant"] == "100 MB")
    };
    let (fork, vfork) = (last("fork").map(median), last("vfork").map(median));
    assert!(fork > vfork && vfork.is_some(), "{fork:?} {vfork:?}");
}

#[test]
fn faults_are_as_many_as_the_kernel_counts() {
    let report = report("zero_fill,cow_copy,cow_reuse,huge_split");
    for name in ["zero_fill", "cow_copy", "cow_reuse"] {
        observed(&report, name, "faults_per_operation", 0.99, 1.01);
    }
    let small = median(with(&report, "zero_fill", "page_bytes", 4096.0));
    let huge = median(with(&report, "zero_fill", "page_bytes", 2_097_152.0));
    assert!(huge > small && huge < 512.0 * small, "{small} {huge}");
    let (copy, reuse) = (
        &results(&report, "cow_copy")[0],
        &results(&report, "cow_reuse")[0],
    );
    assert!(median(copy) > median(reuse), "{copy:#} {reuse:#}");
    assert!(
        median(&results(&report, "huge_split")[0]) > 0.0,
        "{report:#}"
    );
}

#[test]
fn shootdowns_are_sent_where_another_thread_runs() {
    let report = report("tlb_shootdown");
    let results = results(&report, "tlb_shootdown");
    let interrupts = |result: &Value| {
        let each = &result["observed"]["shootdown_interrupts_per_operation"];
        each.as_f64().expect("the kernel counts them")
    };
    let alone = interrupts(&results[0]);
    assert!(alone < 0.1, "{report:#}");
    let cpus = report["host"]["cpus"].as_u64().expect("a number");
    if cpus > 1 {
        // Less than 1, where the other thread was without its CPU for a part of the time.
        assert!(interrupts(&results[1]) > alone + 0.1, "{report:#}");
        assert!(median(&results[1]) > 0.0, "{report:#}");
    }
}

#[test]
fn tasks_are_cheaper_than_threads() {
    let report = report("task_create,thread_create,coroutine_create,system_call,wake_up");
    let first = |name| median(&results(&report, name)[0]);
    assert!(first("task_create") < first("thread_create"), "{report:#}");
    let [new, used] = results(&report, "coroutine_create") else {
        panic!("{report:#}");
    };
    assert!(median(used) < median(new), "{report:#}");
    let least = |result: &Value| result["cost"]["min_seconds"].as_f64();
    let call = first("system_call");
    assert!(
        results(&report, "wake_up")
            .iter()
            .all(|it| least(it) > Some(call)),
        "{report:#}"
    );
}

#[test]
fn without_root_only_the_probes_are_missing() {
    // A place that anybody may execute from.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let open = |path: &std::path::Path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    };
    let program = folder.path().join("connscope");
    fs::copy(CONNSCOPE, &program).expect("a copy");
    open(folder.path());
    open(&program);
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(&program);
    command.args(["calibrate", "--quick", "--quiet", "--format", "json"]);
    command.args([
        "--only",
        "system_call,thread_switch,wake_up,cow_copy,probe_cost",
    ]);
    let report = Ended::of(command).exits(0).report();
    for name in ["system_call", "thread_switch", "wake_up", "cow_copy"] {
        assert!(!results(&report, name).is_empty(), "{report:#}");
    }
    let missing = report["unavailable"].as_array().expect("a list");
    assert_eq!(missing.len(), 1, "{report:#}");
    assert_eq!(missing[0]["operation"], "probe_cost");
    let reason = missing[0]["reason"].as_str().expect("a reason");
    assert!(
        reason.starts_with("without CAP_") && reason.ends_with("; run with sudo"),
        "{reason}"
    );
}

#[test]
fn what_cannot_be_measured_at_all_is_a_failure() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = folder.path().join("connscope");
    fs::copy(CONNSCOPE, &program).expect("a copy");
    for path in [folder.path(), &program] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command
        .arg(&program)
        .args(["calibrate", "--only", "probe_cost"]);
    let ended = Ended::of(command).exits(1);
    let line = ended.line();
    assert!(
        line.starts_with("connscope: nothing was measured: probe_cost: without CAP_"),
        "{line}"
    );
}

/// Workers of calibrate that run, and what they have forked.
fn workers() -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("proc").flatten();
    let ours = entries.filter(|entry| {
        fs::read_link(entry.path().join("exe"))
            .is_ok_and(|exe| exe == std::path::Path::new(CONNSCOPE))
    });
    ours.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok())
        .filter(|line| line.contains("calibrate-operation"))
        .collect()
}

#[test]
fn a_signal_ends_it_early_with_what_it_has() {
    for (signal, name, after) in [
        (libc::SIGINT, "SIGINT", "address_spaces"),
        (libc::SIGTERM, "SIGTERM", "fork"),
    ] {
        let words = format!("calibrate --only system_call,{after} --format json");
        let running = Running::start(connscope(&words));
        running.child(after);
        let ended = running.end_by(signal).exits(1);
        assert!(ended.took < LIMIT, "{ended:#?}");
        let report = ended.report();
        let expected =
            format!("interrupted by {name}, 1 of 2 operations not measured to their end");
        assert_eq!(report["incomplete"], expected);
        assert_eq!(
            ended.stderr,
            format!("connscope: the report is incomplete: {expected}\n")
        );
        assert!(!results(&report, "system_call").is_empty());
        wait_for("end of the workers", || workers().is_empty().then_some(()));
    }
}

#[test]
fn nothing_outlives_it_when_it_is_killed() {
    let running = Running::start(connscope("calibrate --only address_spaces"));
    let worker = running.child("address_spaces");
    wait_for("ring of processes", || {
        (children(worker).len() > 10).then_some(())
    });
    let ended = running.end_by(libc::SIGKILL);
    assert!(ended.was_killed_by(libc::SIGKILL), "{ended:#?}");
    wait_for("end of the workers", || workers().is_empty().then_some(()));
}
