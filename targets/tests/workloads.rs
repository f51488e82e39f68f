//! Every work profile against every model, all models at once: a file of its own, since nothing that
//! is timed may run beside it.

#[path = "harness/generator.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod generator;
#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use generator::{Load, Outcome, number};
use serde_json::Value;
use server::{Server, models};

#[test]
fn every_workload_on_every_model() {
    std::thread::scope(|scope| {
        for model in models() {
            scope.spawn(move || {
                let server = Server::start(&model, &[]);
                for workload in [
                    "ping", "get-set", "counter", "cpu", "mixed", "churn", "booking", "idle",
                ] {
                    let load = Load::new(server.address, 20, 500, "300ms")
                        .option("--warm-up", "100ms")
                        .workload(workload);
                    let Outcome { status, result, .. } = load.run();
                    assert_eq!(status, 0, "{model}: {result}");
                    assert_eq!(result["complete"], true);
                    assert_eq!(result["workload"], workload);
                    assert_eq!(result["mode"], "open-loop");
                    assert_eq!(number(&result, "connections"), 20.0);
                    for error in [
                        "refused",
                        "reset",
                        "error_replies",
                        "wrong_answers",
                        "timeouts",
                    ] {
                        assert_eq!(number(&result, &format!("errors/{error}")), 0.0, "{result}");
                    }
                    assert_eq!(number(&result, "unanswered"), 0.0, "{result}");
                    if workload == "idle" {
                        assert!(result["latency"].is_null());
                        assert_eq!(result["answered_in_window"], 0, "{result}");
                        assert!(result["send_lateness"].is_null(), "{result}");
                        continue;
                    }
                    assert_eq!(number(&result, "requests"), 150.0, "{model}: {result}");
                    assert_eq!(number(&result, "latency/count"), 150.0);
                    assert_eq!(result["latency"]["is_bound"], false);
                    let least = match workload {
                        "cpu" => 100e-6,
                        "mixed" => 50e-6,
                        _ => 0.0,
                    };
                    assert!(
                        number(&result, "latency/min_seconds") >= least,
                        "{model}: {result}"
                    );
                    let median = number(&result, "latency/p50_seconds");
                    assert!(workload != "mixed" || median >= 5e-3, "{model}: {result}");
                    let set_ups = result.pointer("/set_up_latency/count");
                    assert_eq!(
                        set_ups.and_then(Value::as_u64),
                        (workload == "churn").then_some(150),
                        "{model}: {result}"
                    );
                }
            });
        }
    });
}
