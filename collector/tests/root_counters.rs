//! Perf counters and the cost of watching, as a user sees them.

#[path = "support/program.rs"]
mod program;

use program::*;
use serde_json::Value;
use std::process::{Child, Command};

/// A shell that forks and awaits processes until it is dropped.
struct Forking(Child);

impl Forking {
    fn start() -> Self {
        let script = "while :; do (:); done";
        let shell = Command::new("sh").args(["-c", script]).spawn();
        Self(shell.expect("sh"))
    }

    fn attach(&self, options: &str) -> Command {
        let pid = self.0.id();
        connscope(&format!("attach --pid {pid} --format json {options}"))
    }

    #[track_caller]
    fn report(&self, options: &str) -> Value {
        Ended::of(self.attach(options)).exits(0).report()
    }
}

impl Drop for Forking {
    fn drop(&mut self) {
        // One that is gone already is none the worse for it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn reason<'a>(report: &'a Value, measure: &str) -> Option<&'a str> {
    let unavailable = report["unavailable"].as_array().expect("a list");
    let found = unavailable.iter().find(|one| one["measure"] == measure)?;
    found["reason"].as_str()
}

/// Processes come and end all the time: what is counted of them is what the kernel's books say, but for
/// the last switch of each. Books and counters are read some milliseconds apart.
#[test]
fn counters_stand_beside_our_own_figures() {
    let forking = Forking::start();
    let report = forking.report("--duration 3s --counters");
    let measures = &report["targets"][0]["measures"];
    let (ours, perf) = (
        &measures["context_switches"],
        &measures["software_counters"],
    );
    let ended: f64 = ["process", "vfork"]
        .map(|kind| number(&measures["creations"][kind]["count"]))
        .iter()
        .sum();
    assert!(ended > 100.0, "{ended} processes");
    let switches = number(&ours["voluntary"]) + number(&ours["involuntary"]);
    let counted = number(&perf["context_switches"]) + ended;
    // On its way from there to its end a process may be preempted.
    let least = switches - number(&ours["involuntary"]);
    let slack = 0.02 * switches + 20.0;
    let expected = least - slack..=switches + slack;
    assert!(expected.contains(&counted), "{counted} of {switches}");
    let faults = number(&measures["faults"]["minor"]) + number(&measures["faults"]["major"]);
    let counted = number(&perf["page_faults"]);
    assert!(
        (counted - faults).abs() <= 0.02 * faults,
        "{counted} of {faults} faults"
    );
    match reason(&report, "hardware_counters") {
        Some(reason) => {
            assert_eq!(reason, "no PMU on this machine");
            assert!(measures["hardware_counters"].is_null());
        }
        None => assert!(number(&measures["hardware_counters"]["cycles"]) > 0.0),
    }
}

/// Here it says of each measure that the report names whether there is one, and how it is taken.
#[test]
fn doctor_says_which_counters_there_are() {
    let forking = Forking::start();
    let report = forking.report("--duration 300ms --counters");
    let doctor: Value = Ended::of(connscope("doctor --format json"))
        .exits(0)
        .report();
    for measure in ["software_counters", "hardware_counters"] {
        let listed = doctor["measures"].as_array().expect("a list");
        let listed = listed.iter().find(|one| one["measure"] == measure);
        let listed = listed.unwrap_or_else(|| panic!("{measure} is not listed"));
        let taken = &report["targets"][0]["measures"][measure];
        assert_eq!(listed["status"] == "ok", !taken.is_null(), "{measure}");
        if !taken.is_null() {
            assert_eq!(taken["method"], listed["method"], "{measure}");
        }
    }
}

#[test]
fn counters_that_nobody_asked_for_are_in_no_one_s_way() {
    let forking = Forking::start();
    let report = forking.report("--duration 200ms");
    let measures = &report["targets"][0]["measures"];
    for measure in ["software_counters", "hardware_counters"] {
        assert!(measures[measure].is_null(), "{measures:#}");
        assert_eq!(reason(&report, measure), None);
    }
}

#[test]
fn compare_counts_all_that_serves_the_connections() {
    let arguments = "compare --models process-per-connection,thread-per-connection --connections 40 \
        --duration 2s --warm-up 200ms --rate 2000 --counters --format json";
    let report = Ended::of(connscope(arguments)).exits(0).report();
    for target in report["targets"].as_array().expect("targets") {
        let (name, measures) = (&target["name"], &target["measures"]);
        let perf = &measures["software_counters"];
        let ours = &measures["context_switches"];
        let switches = number(&ours["voluntary"]) + number(&ours["involuntary"]);
        let counted = number(&perf["context_switches"]);
        assert!(
            (counted - switches).abs() <= 0.02 * switches,
            "{name}: {counted} of {switches}"
        );
        assert_eq!(number(&perf["uncertain_tasks"]), 0.0, "{name}");
    }
}

#[test]
fn too_few_descriptors_are_the_reason_for_none() {
    let forking = Forking::start();
    let pid = forking.0.id();
    let binary = env!("CARGO_BIN_EXE_connscope");
    // Enough for the probes, and not for an event on each task beside what is spared.
    let limited = |limit: u32| {
        shell(&format!(
            "ulimit -n {limit}; exec {binary} attach --pid {pid} --duration 200ms --counters --format json"
        ))
    };
    let report = Ended::of(limited(160)).exits(0).report();
    let reason = reason(&report, "software_counters").expect("a reason");
    assert!(
        reason.contains("RLIMIT_NOFILE) is 160; raise it with `ulimit -n"),
        "{reason}"
    );
    assert!(report["targets"][0]["measures"]["software_counters"].is_null());
}

#[test]
fn what_watching_costs_is_always_reported() {
    let forking = Forking::start();
    let report = forking.report("--duration 3s");
    let observer = &report["observer"];
    let watched = number(&observer["watched_seconds"]);
    assert!((2.9..3.5).contains(&watched), "{observer:#}");
    let (sampled, samples) = (
        number(&observer["sampled_seconds"]),
        number(&observer["samples"]),
    );
    let always = std::fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled").expect("sysctl");
    match always.trim() {
        "0" => assert!((4.0..=7.0).contains(&samples) && (0.08..0.3).contains(&sampled)),
        _ => assert!(samples == 0.0 && (sampled - watched).abs() < 0.2),
    }
    let programs = observer["programs"].as_array().expect("programs");
    let switch = programs.iter().find(|one| one["name"] == "on_sched_switch");
    let switch = switch.expect("the program at each switch");
    let share = number(&switch["run_seconds"]) / sampled;
    assert!(number(&switch["runs"]) > 10.0, "{switch:#}");
    assert!((number(&switch["estimated_share_of_a_core"]) - share).abs() < 1e-12);
    let all = number(&observer["estimated_share_of_a_core"]);
    assert!(all >= share && all < 0.5, "{observer:#}");
    let maps = observer["maps"].as_array().expect("maps");
    assert!(maps.iter().any(|map| map["name"] == "groups"), "{maps:#?}");
    assert!(
        maps.iter().all(|map| number(&map["bytes"]) > 0.0),
        "{maps:#?}"
    );
}
