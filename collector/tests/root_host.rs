//! Hosts that allow less than connscope would like: each said in one line, with the remedy.

#[path = "support/leftovers.rs"]
mod leftovers;
#[path = "support/nobody.rs"]
mod nobody;
#[path = "support/program.rs"]
mod program;

use leftovers::{Before, memory_hierarchies};
use nobody::as_nobody;
use program::*;
use std::process::Command;

const SHORT: &str = "compare --models event-loop --connections 1,2,3 --duration 200ms --warm-up 0s";

/// Runs connscope in a mount namespace of its own, changed by `script`.
fn with_mounts(script: &str, words: &str) -> Ended {
    let mut command = Command::new("unshare");
    let script = format!("{script} && exec {CONNSCOPE} {words}");
    command.args(["--mount", "sh", "-c", &script]);
    target();
    Ended::of(command)
}

#[track_caller]
fn reason_against_marginal_memory(report: &serde_json::Value) -> String {
    let unavailable = report["unavailable"].as_array().expect("a list");
    let entry = unavailable
        .iter()
        .find(|entry| entry["measure"] == "marginal_bytes_per_connection");
    let entry = entry.unwrap_or_else(|| panic!("marginal memory is available: {report:#}"));
    entry["reason"].as_str().expect("a reason").to_owned()
}

#[test]
fn no_privileges() {
    let before = Before::now();
    let own = std::process::id();
    for words in [SHORT, &format!("attach --pid {own} --duration 100ms")] {
        let (_folder, command) = as_nobody("--bounding-set=-all", words);
        let ended = Ended::of(command).exits(1);
        let line = ended.line();
        assert!(line.starts_with("connscope: cannot load probe "), "{line}");
        let remedy = "operation not permitted; needs root, or CAP_BPF and CAP_PERFMON";
        assert!(line.ends_with(remedy), "{line}");
        assert_eq!(ended.stdout, "");
    }
    before.assert_nothing_left();
}

#[test]
fn root_without_capabilities() {
    let before = Before::now();
    let mut command = Command::new("setpriv");
    command.args([
        "--bounding-set=-bpf,-sys_admin",
        "--inh-caps=-bpf,-sys_admin",
        CONNSCOPE,
    ]);
    target();
    command.args(SHORT.split_whitespace());
    let ended = Ended::of(command).exits(1);
    assert!(
        ended
            .line()
            .contains("operation not permitted; needs root, or CAP_BPF"),
        "{ended:#?}"
    );
    before.assert_nothing_left();
}

#[test]
fn the_two_capabilities_are_enough() {
    let before = Before::now();
    let two = "--inh-caps=+bpf,+perfmon --ambient-caps=+bpf,+perfmon";
    let (_folder, command) = as_nobody(two, &format!("{SHORT} --format json"));
    let ended = Ended::of(command).exits(0);
    let report = ended.report();
    let switches = &report["targets"][0]["measures"]["context_switches"]["voluntary"];
    assert!(
        switches.as_u64().is_some_and(|count| count > 0),
        "{report:#}"
    );
    let reason = reason_against_marginal_memory(&report);
    assert!(reason.contains("permission denied"), "{reason}");
    assert_eq!(ended.stderr, "");
    before.assert_nothing_left();
}

#[test]
fn a_kernel_without_btf() {
    let before = Before::now();
    let hide = "mount -t tmpfs none /sys/kernel/btf";
    let own = std::process::id();
    for words in [SHORT, &format!("attach --pid {own} --duration 100ms")] {
        let ended = with_mounts(hide, words).exits(1);
        let line = ended.line();
        assert!(line.starts_with("connscope: cannot load probe "), "{line}");
        let why = "this kernel has no BTF (/sys/kernel/btf/vmlinux is missing); needs a kernel \
                   with CONFIG_DEBUG_INFO_BTF=y";
        assert!(line.ends_with(why), "{line}");
    }
    before.assert_nothing_left();
}

/// The comparison goes on without the cgroup, and says so.
#[track_caller]
fn compares_without_cgroup(script: &str, reasons: &[&str]) {
    let before = Before::now();
    let ended = with_mounts(script, &format!("{SHORT} --format json")).exits(0);
    let report = ended.report();
    let reason = reason_against_marginal_memory(&report);
    assert!(
        reasons.iter().any(|words| reason.contains(words)),
        "{reason}"
    );
    let measures = &report["targets"][0]["measures"];
    assert!(measures["memory"]["accounted"].is_object(), "{measures:#}");
    assert!(
        measures["client"]["throughput_per_second"].as_f64() > Some(0.0),
        "{measures:#}"
    );
    assert_eq!(ended.stderr, "");
    before.assert_nothing_left();
}

#[test]
fn no_memory_hierarchy() {
    let unmount = memory_hierarchies()
        .iter()
        .map(|place| format!("umount -l {}", place.display()))
        .collect::<Vec<_>>();
    compares_without_cgroup(
        &unmount.join(" && "),
        &["no memory cgroup hierarchy is mounted; mount cgroup2 on /sys/fs/cgroup"],
    );
}

#[test]
fn a_read_only_memory_hierarchy() {
    let remount = memory_hierarchies()
        .iter()
        .map(|place| format!("mount -o remount,bind,ro {}", place.display()))
        .collect::<Vec<_>>();
    compares_without_cgroup(&remount.join(" && "), &["read-only file system"]);
}

#[test]
fn a_low_soft_limit_is_raised() {
    let before = Before::now();
    let mut command = Command::new("prlimit");
    target();
    command.args(["--nofile=32:1024", CONNSCOPE]);
    command.args("compare --connections 200 --duration 200ms --warm-up 0s --rate 2000".split(' '));
    command.args(["--format", "json"]);
    let ended = Ended::of(command).exits(0);
    assert_eq!(ended.stderr, "");
    let report = ended.report();
    for target in report["targets"].as_array().expect("a list") {
        let errors = &target["measures"]["client"]["errors"];
        assert_eq!(errors, &serde_json::json!(0), "{target:#}");
    }
    before.assert_nothing_left();
}
