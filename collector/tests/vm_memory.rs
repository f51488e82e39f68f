//! Marginal memory per connection where cgroups are of version 2.

#[path = "support/answers.rs"]
mod answers;
#[path = "support/program.rs"]
mod program;

use answers::assert_own_machine;
use program::*;
use serde_json::Value;

const MIB: f64 = 1_048_576.0;
/// The share that the slope may be off: the kernel's counter moves in batches of 64 pages a CPU.
const SHARE: f64 = 0.05;

#[test]
fn a_mebibyte_touched_by_each_process() {
    adds_a_mebibyte("process-per-connection");
}

#[test]
fn a_mebibyte_touched_by_each_thread() {
    adds_a_mebibyte("thread-per-connection");
}

#[test]
fn a_mebibyte_touched_for_each_connection_of_an_event_loop() {
    adds_a_mebibyte("event-loop");
}

/// Two ramps to fifty connections, with and without a mebibyte touched for each: their slopes are
/// that far apart.
#[track_caller]
fn adds_a_mebibyte(model: &str) {
    assert_own_machine();
    let words = format!(
        "compare --models {model} --connections 50 --rate 20 --warm-up 0s --duration 200ms \
         --format json --quiet"
    );
    let plain = marginal(Ended::of(connscope(&words)));
    let touched = marginal(Ended::of(connscope(&format!("{words} --touch 1MiB"))));
    let more = touched - plain;
    let off = (more - MIB).abs() / MIB;
    println!("{model}: {more:.0} bytes more for each connection");
    assert!(off <= SHARE, "{:.1} % off a mebibyte", off * 100.0);
}

/// The slope in a report, which is of cgroups of version 2.
#[track_caller]
fn marginal(compare: Ended) -> f64 {
    let report: Value = compare.exits(0).report();
    assert_eq!(report["host"]["memory_cgroup"], "v2", "{report:#}");
    let slope = &report["targets"][0]["measures"]["memory"]["marginal_bytes_per_connection"];
    let value = slope["value"].as_f64();
    value.unwrap_or_else(|| panic!("no slope: {slope:#}"))
}
