//! Page faults as a user sees them: totals estimated from windows, of a process whose mix is known.

#[path = "support/program.rs"]
mod program;

use program::*;
use serde_json::Value;
use std::ptr;

/// Of each round of faults so many are of a kind.
const FILLS: usize = 300;
const SHARED: usize = 100;

/// A process that takes faults until it is dropped.
struct Faulting(i32);

impl Faulting {
    fn start() -> Self {
        // SAFETY: the child runs `round` alone, which makes system calls and nothing else.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork");
        if pid == 0 {
            let (fills, shared) = (map(FILLS, libc::MAP_PRIVATE), map(SHARED, libc::MAP_SHARED));
            loop {
                round(fills, FILLS);
                round(shared, SHARED);
            }
        }
        Self(pid)
    }
}

impl Drop for Faulting {
    fn drop(&mut self) {
        // SAFETY: a child of ours, not yet waited for.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, ptr::null_mut(), 0);
        }
    }
}

fn map(pages: usize, kind: i32) -> *mut u8 {
    let (bytes, flags) = (pages * 4096, kind | libc::MAP_ANONYMOUS);
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, which the advice is for.
    unsafe {
        let start = libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0);
        assert_ne!(start, libc::MAP_FAILED, "mmap");
        libc::madvise(start, bytes, libc::MADV_NOHUGEPAGE);
        start.cast()
    }
}

/// Takes a fault for each page: unmaps them, and writes them again.
fn round(start: *mut u8, pages: usize) {
    // SAFETY: so many pages are mapped at `start`, for writing.
    unsafe {
        libc::madvise(start.cast(), pages * 4096, libc::MADV_DONTNEED);
        for page in 0..pages {
            start.add(page * 4096).write_volatile(1);
        }
    }
}

fn faults(pid: i32, options: &str) -> Value {
    let words = format!("attach --pid {pid} --format json {options}");
    let report = Ended::of(connscope(&words)).exits(0).report();
    report["targets"][0]["measures"]["faults"].clone()
}

/// Nineteen of twenty intervals hold the truth, so of five not three lack it.
#[test]
fn intervals_of_sampled_windows_hold_the_truth() {
    let faulting = Faulting::start();
    let mut held = 0;
    for _ in 0..5 {
        let faults = faults(faulting.0, "--duration 2s --fault-windows 10");
        let truth = number(&faults["minor"]) * FILLS as f64 / (FILLS + SHARED) as f64;
        let fills = &faults["by_class"]["zero_fill"];
        let [lower, upper] = [0, 1].map(|at| number(&fills["confidence_95"][at]));
        let windows = number(&faults["windows"]);
        println!("{lower} to {upper}, in truth {truth}, of {windows} windows");
        assert!(number(&fills["user"]) < truth / 2.0, "{faults:#}");
        assert!((3.0..=6.0).contains(&windows), "{faults:#}");
        // The watch begins and ends within a round.
        let slack = (FILLS + SHARED) as f64;
        held += u32::from((lower - slack..=upper + slack).contains(&truth));
    }
    assert!(held >= 3, "{held} of 5 intervals hold the truth");
}

#[test]
fn a_window_without_end_sees_every_fault() {
    let faulting = Faulting::start();
    let faults = faults(faulting.0, "--duration 1s --fault-windows 100");
    let classes = faults["by_class"].as_object().expect("classes");
    let seen: f64 = classes
        .values()
        .map(|class| number(&class["user"]) + number(&class["kernel"]))
        .sum();
    let counted = number(&faults["minor"]) + number(&faults["major"]);
    // Tasks and windows are not read at the same instant: the faults of some milliseconds.
    assert!(
        (seen - counted).abs() <= 0.02 * counted,
        "{seen} of {counted}: {faults:#}"
    );
    let fills = &faults["by_class"]["zero_fill"];
    let total = number(&fills["estimated_total"]);
    assert_eq!(fills["confidence_95"], serde_json::json!([total, total]));
    assert_eq!(number(&faults["windows"]), 1.0);
}

#[test]
fn without_windows_classes_are_not_known_and_counts_are() {
    let faulting = Faulting::start();
    let words = format!(
        "attach --pid {} --format json --duration 300ms --fault-windows 0",
        faulting.0
    );
    let report = Ended::of(connscope(&words)).exits(0).report();
    let faults = &report["targets"][0]["measures"]["faults"];
    assert!(number(&faults["minor"]) > 0.0, "{faults:#}");
    assert!(faults["by_class"].is_null(), "{faults:#}");
    let unavailable = report["unavailable"].as_array().expect("a list");
    let of_classes = |one: &&Value| one["measure"] == "fault_classes";
    let reason = &unavailable.iter().find(of_classes).expect("a reason")["reason"];
    assert!(
        reason.as_str().expect("words").contains("switched off"),
        "{reason}"
    );
}
