//! `connscope claims` on the reference servers and on runtimes: what is planted in them is what is found.

#[path = "support/program.rs"]
mod program;

use program::*;
use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt, process::Command};

/// Rounds with `--quick`.
const ROUNDS: u64 = 3;

/// Medians of the measures that these claims are judged by, by measure and place; not of ratios.
struct Medians(Vec<(String, String, f64)>);

impl Medians {
    #[track_caller]
    fn of(only: &str) -> Self {
        let words = format!("claims --quick --quiet --format json --only {only}");
        Self::said_by(connscope(&words))
    }

    #[track_caller]
    fn said_by(command: Command) -> Self {
        let report = Ended::of(command).exits(0).report();
        let all = |value: &Value, name: &str| value[name].as_array().expect("a list").clone();
        let claims = all(&report, "claims");
        let tests = claims.iter().flat_map(|claim| all(claim, "tests"));
        let tests = tests.filter(|test| test["per"].is_null());
        let medians = tests.flat_map(|test| {
            let measure = test["measure"].as_str().expect("a name").to_owned();
            let results = all(&test, "results").into_iter();
            results.map(move |result| {
                assert_eq!(result["rounds"], ROUNDS, "{measure}: {result:#}");
                let at = result["at"].as_str().expect("a place").to_owned();
                let median = result["median"].as_f64().expect("a figure");
                (measure.clone(), at, median)
            })
        });
        Self(medians.collect())
    }

    /// Of a measure at all its places, by a claim of our own.
    #[track_caller]
    fn of_measure(measure: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("mine.toml");
        let mine = format!(
            "[[claim]]\nid = \"mine\"\nclaim = \"it is nothing\"\n\
             [[claim.test]]\nmeasure = \"{measure}\"\nat_most = 0\n"
        );
        fs::write(&file, mine).expect("written");
        Self::of(&format!("mine --file {}", file.display()))
    }

    #[track_caller]
    fn within(&self, measure: &str, at: &str, least: f64, most: f64) {
        let found = self.0.iter().find(|it| it.0 == measure && it.1 == at);
        let (_, _, median) = found.unwrap_or_else(|| panic!("no {measure} at {at}: {:?}", self.0));
        assert!(
            (least..=most).contains(median),
            "{measure} at {at}: {median}, not {least} to {most}"
        );
    }
}

/// A null pointer ends the process that it is in; one loop has nobody else for what burns 100 ms.
#[test]
fn crashes_and_stalls_reach_who_shares_the_process_and_the_thread() {
    let medians = Medians::of("crash-process,crash-thread,loop-stall");
    medians.within("crash_lost", "process-per-connection", 0.0, 0.0);
    for model in ["thread-per-connection", "event-loop"] {
        medians.within("crash_lost", model, 1.0, 1.0);
    }
    // Who asks at a random moment of it waits for half of the rest, and all of it as a closed loop.
    medians.within("stall", "event-loop", 0.45, 1.6);
}

/// Two kernel threads: with none of them blocked tasks go on, with both none does for as long as the calls take.
#[test]
fn tasks_stand_still_while_all_their_kernel_threads_are_blocked() {
    let medians = Medians::of_measure("blocking_stall");
    medians.within("blocking_stall", "0", 0.0, 0.4);
    medians.within("blocking_stall", "2", 0.8, 1.6);
}

/// A client that comes and goes has a process made for it where each connection has one, and none of a pool.
#[test]
fn processes_are_made_for_connections_and_not_by_a_pool() {
    let medians = Medians::of_measure("churn_created");
    medians.within("churn_created", "process-per-connection", 0.95, 1.05);
    medians.within("churn_created", "process-pool", 0.0, 0.01);
}

/// Half of the clients are half of the connections, to the last one, and half of the requests.
#[test]
fn a_server_with_half_of_the_clients_has_half_of_the_load() {
    let medians = Medians::of("replicas-shards");
    medians.within("half_the_load", "connections", 0.5, 0.5);
    medians.within("half_the_load", "requests", 0.45, 0.55);
}

/// One thread cannot use more than one CPU, and tasks on a thread for each use all.
#[test]
fn one_thread_uses_one_cpu() {
    let cpus = std::thread::available_parallelism().expect("CPUs").get() as f64;
    let medians = Medians::of_measure("cpus_used");
    medians.within("cpus_used", "event-loop", 0.8 / cpus, 1.05 / cpus);
    medians.within("cpus_used", "async-tasks", 0.9, 1.0);
}

/// A hard limit of open files bounds the connections of one process to it, whatever memory is free.
#[test]
fn a_planted_limit_of_open_files_bounds_connections() {
    const LIMIT: f64 = 4_321.0;
    let mut command = Command::new("prlimit");
    command.args([&format!("--nofile={LIMIT}"), CONNSCOPE]);
    command.args("claims --quick --quiet --format json --only max-connections".split(' '));
    let medians = Medians::said_by(command);
    for model in ["event-loop", "async-tasks"] {
        medians.within("connections_limit", model, LIMIT, LIMIT);
    }
}

/// What the program of the model says of its runtime is what is told, median and unit.
#[test]
fn goroutines_cost_what_their_program_says() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let binary = folder.path().join("connscope-target");
    fs::copy(target(), &binary).expect("room for a copy");
    let program = folder.path().join("connscope-target-goroutines");
    let said =
        r#"{"create_seconds": [3e-7, 2e-7, 9e-7], "switch_seconds": [5e-8], "stack_bytes": 4096}"#;
    fs::write(&program, format!("#!/bin/sh\necho '{said}'\n")).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let medians = Medians::of(&format!(
        "task-create,task-switch,task-stack --target-binary {}",
        binary.display()
    ));
    medians.within("goroutine_create", "", 3e-7, 3e-7);
    medians.within("goroutine_switch", "", 5e-8, 5e-8);
    medians.within("goroutine_stack", "", 4096.0, 4096.0);
}
