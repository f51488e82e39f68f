//! Switches between address spaces, as a user of `attach` sees them: each figure by its name.

#[path = "support/program.rs"]
mod program;

use program::*;
use serde_json::Value;
use std::{
    os::unix::process::CommandExt,
    process::{Child, Command},
};

/// Processes that pass bytes to each other through pipes on one CPU, until it is dropped.
struct Pipeline(Child);

impl Pipeline {
    fn start(processes: usize) -> Self {
        // Pauses, for threads of the kernel on that CPU: it waits for them to detach, and up to Linux 6.18.44 a group
        // of tasks that wake each other without end may keep them from it (mended by 101f3498b4bd).
        let source = "while :; do dd if=/dev/zero bs=512 count=20000 status=none; sleep 0.02; done";
        let script = format!("({source}){} > /dev/null", " | cat".repeat(processes - 1));
        let shell = Command::new("taskset")
            .args(["-c", "0", "sh", "-c", &script])
            .process_group(0)
            .spawn();
        Self(shell.expect("taskset"))
    }

    /// What is reported of it in two seconds.
    fn measures(&self) -> Value {
        let pid = self.0.id();
        let words = format!("attach --pid {pid} --duration 2s --switch-windows 50 --format json");
        let report = Ended::of(connscope(&words)).exits(0).report();
        report["targets"][0]["measures"].clone()
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // SAFETY: the group of a process of ours that is not yet waited for.
        unsafe { libc::kill(-(self.0.id() as i32), libc::SIGKILL) };
        let _ = self.0.wait();
    }
}

fn has_tags() -> bool {
    let text = std::fs::read_to_string("/proc/cpuinfo").expect("proc");
    let flags = text.lines().find(|line| line.starts_with("flags"));
    flags.is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "pcid"))
}

/// Kept and flushed switches, and all of the target's.
fn switches(measures: &Value) -> [f64; 3] {
    let spaces = &measures["address_space_switches"];
    let all = &measures["context_switches"];
    [
        number(&spaces["tlb_kept"]),
        number(&spaces["tlb_flushed"]),
        number(&all["voluntary"]) + number(&all["involuntary"]),
    ]
}

/// Each of their switches is to another address space, but those to a thread of the kernel and back.
#[test]
fn address_spaces_that_the_cpu_keeps_and_those_it_does_not() {
    assert!(has_tags(), "this CPU keeps no address space apart (PCID)");
    let [kept, flushed, all] = switches(&Pipeline::start(3).measures());
    println!("of 3: {kept} kept, {flushed} flushed of {all}");
    assert!(flushed < 0.1 * kept, "{kept} kept, {flushed} flushed");
    assert!(kept + flushed < 1.05 * all && kept + flushed > 0.7 * all);
    let [kept, flushed, all] = switches(&Pipeline::start(12).measures());
    println!("of 12: {kept} kept, {flushed} flushed of {all}");
    assert!(kept + flushed < 1.05 * all && kept + flushed > 0.7 * all);
    assert!(flushed > 0.1 * kept, "{kept} kept, {flushed} flushed");
}

#[test]
fn latency_of_switches_between_address_spaces() {
    let measures = Pipeline::start(3).measures();
    let latency = &measures["switch_latency"];
    let between = &latency["different_address_space"]["all"];
    let corrected = number(&between["corrected"]["p50_seconds"]);
    let raw = number(&between["raw"]["p50_seconds"]);
    println!("{corrected} s, as recorded {raw} s");
    assert!(20e-9 < corrected && corrected < raw && raw < 50e-6);
    let [count, of_threads] = [between, &latency["same_address_space"]["all"]]
        .map(|figures| number(&figures["raw"]["count"]));
    // The shell runs in the same one as its child until that has a program of its own.
    assert!(
        count > 1_000.0 && of_threads < 0.01 * count,
        "{count}, of threads {of_threads}"
    );
}
