//! The main job against workloads of known size.

use serde_json::Value;
use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::Path, process::Command};

const MIB: f64 = 1_048_576.0;
const MODELS: [&str; 3] = [
    "process-per-connection",
    "thread-per-connection",
    "event-loop",
];
/// Models that schedule connections themselves.
const USER_SPACE: [&str; 2] = ["async-tasks", "green-threads"];

/// The JSON report of `connscope compare`.
fn compare(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_connscope"))
        .args([
            "compare",
            "--quiet",
            "--format",
            "json",
            "--warm-up",
            "200ms",
        ])
        .args(arguments)
        .output()
        .expect("connscope starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "connscope compare {arguments:?}: {said}"
    );
    serde_json::from_slice(&output.stdout).expect("a report")
}

fn target<'a>(report: &'a Value, model: &str, connections: u64) -> &'a Value {
    let targets = report["targets"].as_array().expect("targets");
    let wanted = |target: &&Value| target["name"] == model && target["connections"] == connections;
    targets
        .iter()
        .find(wanted)
        .unwrap_or_else(|| panic!("{model} at {connections} is reported"))
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("a number, not {value}"))
}

#[track_caller]
fn assert_near(what: &str, seen: f64, expected: f64, share: f64) {
    let off = (seen - expected).abs() / expected;
    assert!(
        off <= share,
        "{what}: {seen} is {:.2} % off {expected}",
        off * 100.0
    );
}

#[test]
fn a_mebibyte_touched_by_each_connection_is_a_mebibyte_of_marginal_memory() {
    let arguments = [
        "--connections",
        "100",
        "--duration",
        "200ms",
        "--rate",
        "500",
    ];
    let plain = compare(&arguments);
    let touched = compare(&[&arguments[..], &["--touch", "1MiB"]].concat());
    let difference = |model| {
        let marginal = |report| {
            let memory = &target(report, model, 100)["measures"]["memory"];
            number(&memory["marginal_bytes_per_connection"]["value"])
        };
        marginal(&touched) - marginal(&plain)
    };
    for model in MODELS.into_iter().chain(USER_SPACE) {
        assert_near(
            &format!("{model}, 1 MiB more per connection"),
            difference(model),
            MIB,
            0.05,
        );
    }
    // It is the server behind a pooler that touches it, which is not watched.
    let pooler = difference("pooler");
    assert!(pooler.abs() < 0.05 * MIB, "pooler: {pooler}");
}

/// A thread's stack is address space, of which a connection touches little: by as much as stacks are
/// larger, more is reserved, and no more is held.
#[test]
fn larger_stacks_are_reserved_and_not_held() {
    const KIB: f64 = 1024.0;
    let memory = |model: &str, options: &str, connections: &str| {
        let server = served_with(options);
        let report = compare(&[
            "--models",
            model,
            "--connections",
            connections,
            "--duration",
            "200ms",
            "--rate",
            "500",
            "--target-binary",
            server.to_str().expect("a plain path"),
        ]);
        let connections = connections.parse().expect("a number");
        target(&report, model, connections)["measures"]["memory"].clone()
    };
    let slope = |memory: &Value, figure: &str| number(&memory[figure]["value"]);
    let [reserved, touched] = [
        "reserved_bytes_per_connection",
        "marginal_bytes_per_connection",
    ];
    let small = memory("thread-per-connection", "--stack-size 256KiB", "100");
    let large = memory("thread-per-connection", "--stack-size 1MiB", "100");
    let grown = |figure: &str| slope(&large, figure) - slope(&small, figure);
    assert_near("reserved", grown(reserved), 768.0 * KIB, 0.05);
    assert_near("one stack", slope(&large, reserved), 1024.0 * KIB, 0.05);
    assert!(
        grown(touched).abs() < 0.05 * 768.0 * KIB,
        "{} bytes touched of larger stacks",
        grown(touched)
    );
    let event_loop = slope(&memory("event-loop", "", "100"), reserved);
    assert!(
        event_loop < 16.0 * KIB,
        "{event_loop} bytes reserved for a socket"
    );
    // Each process has the whole of its address space to itself.
    let processes = memory("process-per-connection", "", "50");
    let accounted = &processes["accounted"];
    let each = number(&accounted["reserved_bytes"]) / number(&accounted["address_spaces"]);
    assert_near("a process", slope(&processes, reserved), each, 0.05);
}

/// The reference servers' program, with more options for those it serves.
fn served_with(options: &str) -> tempfile::TempPath {
    let binary = Path::new(env!("CARGO_BIN_EXE_connscope")).with_file_name("connscope-target");
    let script = format!(
        "#!/bin/sh\ncase $1 in serve) set -- \"$@\" {options};; esac\nexec '{}' \"$@\"\n",
        binary.display()
    );
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), script).expect("a script");
    std::fs::set_permissions(file.path(), Permissions::from_mode(0o700)).expect("it is ours");
    // Closed: what is open for writing cannot be run.
    file.into_temp_path()
}

/// What the workload puts into the server's shared state is no part of what a connection costs.
#[test]
fn the_workloads_data_is_not_in_marginal_memory() {
    for workload in ["ping", "get-set"] {
        let arguments = [
            "--models",
            "event-loop",
            "--connections",
            "200",
            "--duration",
            "200ms",
        ];
        let report = compare(&[&arguments[..], &["--workload", workload]].concat());
        let memory = &target(&report, "event-loop", 200)["measures"]["memory"];
        let marginal = number(&memory["marginal_bytes_per_connection"]["value"]);
        assert!(
            (0.0..8_192.0).contains(&marginal),
            "{workload}: {marginal} bytes for one more socket"
        );
    }
}

#[test]
fn each_model_creates_the_tasks_it_is_named_for() {
    let report = compare(&[
        "--models",
        &MODELS.join(","),
        "--connections",
        "1,20",
        "--duration",
        "1s",
        "--rate",
        "1000",
    ]);
    for connections in [1, 20] {
        let created = |model: &str| {
            let creations = &target(&report, model, connections)["measures"]["creations"];
            (
                number(&creations["process"]["count"]),
                number(&creations["thread"]["count"]),
            )
        };
        let each = connections as f64;
        assert_eq!(created("process-per-connection"), (each, 0.0));
        assert_eq!(created("thread-per-connection"), (0.0, each));
        assert_eq!(created("event-loop"), (0.0, 0.0));
    }
    for model in MODELS {
        let measures = &target(&report, model, 20)["measures"];
        let client = &measures["client"];
        // What was on its way when the window closed: no more than fell due within the longest wait.
        let on_its_way = number(&client["latency"]["max_seconds"]) * 1000.0;
        let answered = number(&client["answered_in_window"]);
        assert!(
            (1000.0 - on_its_way..=1000.0 + on_its_way).contains(&answered),
            "{answered} answers, {on_its_way} on their way"
        );
        // A request that finds its server asleep wakes it; one server may find several at once.
        let switches = number(&measures["context_switches"]["per_request"]);
        assert!(
            (0.05..3.0).contains(&switches),
            "{model}: {switches} switches per request"
        );
        let states = &measures["time_in_state"];
        let lived: f64 = ["running_seconds", "runnable_seconds", "blocked_seconds"]
            .iter()
            .map(|state| number(&states[state]))
            .sum();
        let target = target(&report, model, 20);
        let window = number(&target["window_seconds"]) * number(&target["tasks"]);
        assert_near(&format!("{model}: time in all states"), lived, window, 0.01);
    }
}

#[test]
fn each_connection_of_churn_has_its_task() {
    let report = compare(&[
        "--models",
        "process-per-connection,thread-per-connection",
        "--connections",
        "5",
        "--duration",
        "4s",
        "--rate",
        "50",
        "--workload",
        "churn",
    ]);
    for (model, kind) in [
        ("process-per-connection", "process"),
        ("thread-per-connection", "thread"),
    ] {
        let measures = &target(&report, model, 5)["measures"];
        let created = number(&measures["creations"][kind]["count"]);
        // The ramp's five, and the requests of the warm-up and of the window; more until its end is read.
        let expected = 5.0 + 4.2 * 50.0;
        let longer = number(&target(&report, model, 5)["window_seconds"]) - 4.0;
        assert!(
            created >= 0.97 * expected && created <= 1.03 * expected + 50.0 * longer.max(0.0),
            "{created} created, window longer by {longer} s"
        );
        let client = &measures["client"];
        let set_ups = number(&client["set_up_latency"]["count"]);
        assert_near("connections made", set_ups, 200.0, 0.03);
        // A part of the latency, which counts from when the request was due.
        let p50 = |latency: &str| number(&client[latency]["p50_seconds"]);
        assert!(p50("set_up_latency") <= p50("latency") * 1.01, "{client}");
    }
}

#[test]
fn a_crash_takes_with_it_what_shares_its_process() {
    let report = compare(&[
        "--models",
        &MODELS.join(","),
        "--connections",
        "10",
        "--duration",
        "300ms",
        "--stall",
        "--crash",
    ]);
    for model in MODELS {
        let client = &target(&report, model, 10)["measures"]["client"];
        let alone = model == "process-per-connection";
        let (lost, again) = (
            &client["crash"]["lost"],
            &client["crash"]["serves_again_seconds"],
        );
        assert_eq!(number(lost), if alone { 0.0 } else { 9.0 }, "{model}");
        assert_eq!(again.is_null(), !alone, "{model}: {again}");
        let stalled = number(&client["stall"]["with"]["p50_seconds"]);
        assert_eq!(
            stalled > 0.07,
            model == "event-loop",
            "{model}: {stalled} s"
        );
    }
}
