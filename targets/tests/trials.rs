//! What is tried when a load is over: how one request holds others up, and what a crash takes with it.

#[path = "harness/generator.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod generator;
#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use generator::{Load, Outcome, number};
use server::Server;

fn tried(model: &str, connections: u32, trial: &str) -> serde_json::Value {
    let server = Server::start(model, &["--allow-crash"]);
    let load = Load::new(server.address, connections, 2_000, "200ms").flag(trial);
    let Outcome { status, result, .. } = load.run();
    assert_eq!(status, 0, "{model}: {result}");
    result
}

#[test]
fn one_thread_keeps_all_waiting_for_what_it_burns() {
    let result = tried("event-loop", 20, "--stall");
    assert_eq!(number(&result, "stall/others"), 19.0);
    assert_eq!(number(&result, "stall/work_seconds"), 0.1);
    // Less the head start of 2 ms, which may be longer on a busy machine.
    let waited = number(&result, "stall/with/p50_seconds");
    assert!(waited > 0.07, "{result}");
    assert!(number(&result, "stall/with/max_seconds") >= waited);
}

#[test]
fn threads_and_processes_keep_nobody_waiting() {
    for model in ["thread-per-connection", "process-per-connection"] {
        let result = tried(model, 20, "--stall");
        let waited = number(&result, "stall/with/p50_seconds");
        // With two CPUs and more: on one, the scheduler's slices are waited for.
        assert!(waited < 0.05, "{model}: {result}");
    }
}

#[test]
fn a_process_that_crashes_takes_none_with_it_and_a_thread_all() {
    let result = tried("process-per-connection", 20, "--crash");
    assert_eq!(number(&result, "crash/others"), 19.0);
    assert_eq!(number(&result, "crash/lost"), 0.0, "{result}");
    assert!(number(&result, "crash/serves_again_seconds") < 1.0);
    for model in ["thread-per-connection", "event-loop"] {
        let result = tried(model, 20, "--crash");
        assert_eq!(number(&result, "crash/lost"), 19.0, "{model}: {result}");
        assert!(result["crash"]["serves_again_seconds"].is_null());
    }
}

#[test]
fn what_cannot_be_tried_is_said() {
    let server = Server::start("event-loop", &[]);
    let load = Load::new(server.address, 2, 100, "100ms");
    let Outcome { status, result, .. } = load.clone().flag("--crash").run();
    assert_eq!(status, 1);
    let reason = result["reason"].as_str().expect("a reason");
    assert!(reason.contains("serve with --allow-crash"), "{reason}");
    // Alone there is nobody to hold up.
    let Outcome { status, result, .. } = load.option("--connections", 1).flag("--stall").run();
    assert_eq!(status, 0, "{result}");
    assert!(result["stall"].is_null());
}
