//! Latency of page faults, against what the task that has them timed.

#[path = "support/creation.rs"]
mod creation;
#[path = "support/pages.rs"]
mod pages;
#[path = "support/workload.rs"]
mod workload;

use creation::Told;
use pages::*;
use probe_ebpf::{Options, fault_sample::CLASS_NAMES, sample::Histogram};
use std::{fs::File, io::Write, os::fd::AsRawFd, time::Instant};
use workload::*;

/// Without the ways that are better than perf's events, which work everywhere.
const BY_PERF_EVENTS: &[&str] = &["fexit/handle_mm_fault", "tp_btf/count_memcg_events"];

fn time(told: &Told, access: impl FnOnce()) {
    let begun = Instant::now();
    access();
    told.add(begun, true);
}

/// What its faults of a class took, seen through a window without end.
fn seen(without: &'static [&'static str], name: &str, mut workload: Workload) -> Histogram {
    let options = Options {
        fault_share: 1.0,
        without,
        only: only(&["faults"]),
        ..Options::NO_WINDOWS
    };
    let mut watch = watch_with(workload.pid, &options);
    workload.run();
    let sample = watch.read().expect("read");
    assert_eq!(lost(&sample), 0, "{:?}", sample.losses);
    let number = CLASS_NAMES.iter().position(|known| *known == name);
    let classes = &sample.groups[MAIN].faults.classes;
    classes[number.expect("a class")].latency.clone()
}

fn mean_ns(seen: &Histogram) -> f64 {
    seen.sum as f64 / seen.count() as f64
}

/// Huge pages take so long to clear that the way into the kernel and back, which is no part of the latency, is
/// nothing beside it.
fn huge_pages(without: &'static [&'static str]) {
    const COUNT: usize = 24;
    if has_no_huge_pages() {
        return;
    }
    let timed = Told::new();
    let workload = Workload::new(|| {
        let start = map_huge(COUNT) as usize;
        move || {
            for place in 0..COUNT {
                time(timed, || write_each((start + place * HUGE) as *mut u8, 1));
            }
        }
    });
    let seen = seen(without, "zero_fill_huge", workload);
    println!(
        "{} huge pages, {:.0} ns each, {:.0} ns as timed",
        seen.count(),
        mean_ns(&seen),
        timed.mean_ns()
    );
    if emulated() {
        assert!(seen.count() > 0, "no memory for one huge page");
        return;
    }
    assert_eq!(seen.count(), COUNT as u64, "no memory for huge pages");
    assert_near("latency", mean_ns(&seen), timed.mean_ns(), 0.05);
}

#[test]
fn huge_pages_take_as_long_as_their_task_sees() {
    huge_pages(&[]);
}

#[test]
fn huge_pages_take_as_long_as_their_task_sees_by_perf_events() {
    huge_pages(BY_PERF_EVENTS);
}

/// From the disk, one by one.
#[test]
fn major_faults_take_as_long_as_their_task_sees() {
    const COUNT: usize = 200;
    if emulated() {
        println!("SKIP: this machine has no disk");
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    let file_system = rustix::fs::statfs(folder.path()).expect("a file system");
    if file_system.f_type == TMPFS_MAGIC {
        println!("SKIP: the target directory is in memory");
        return;
    }
    let path = folder.path().join("pages");
    let mut file = File::create_new(&path).expect("a file");
    file.write_all(&vec![7; COUNT * 4096]).expect("written");
    file.sync_all().expect("written");
    let timed = Told::new();
    let file = File::open(&path).expect("a file");
    let workload = Workload::new(|| {
        let start = map(COUNT, libc::MAP_PRIVATE, file.as_raw_fd()) as usize;
        // SAFETY: advice for our mapping and our file.
        unsafe {
            libc::madvise(start as *mut libc::c_void, COUNT * 4096, libc::MADV_RANDOM);
            let dropped = libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED);
            assert_eq!(dropped, 0);
        }
        move || {
            for place in 0..COUNT {
                time(timed, || read_each((start + place * 4096) as *mut u8, 1));
            }
        }
    });
    let seen = seen(&[], "major", workload);
    println!(
        "{} major faults, {:.0} ns each, {:.0} ns as timed",
        seen.count(),
        mean_ns(&seen),
        timed.mean_ns()
    );
    assert_near("major faults", seen.count() as f64, COUNT as f64, 0.01);
    // Less the exception, its return and what the programs do around a fault.
    let (seen, timed) = (mean_ns(&seen), timed.mean_ns());
    assert!(
        (0.95 * timed - 2_000.0..timed).contains(&seen),
        "{seen} ns of {timed} ns"
    );
}

/// A latency is part of what the task sees, most of it, and no more: the exception itself and its return are not
/// in it, nor is what the programs do before it begins and after it has ended.
#[test]
fn small_pages_take_no_longer_than_their_task_sees() {
    let count = sized(5_000) as usize;
    let timed = Told::new();
    let seen = seen(
        &[],
        "zero_fill",
        Workload::new(|| {
            let start = map(count, PRIVATE, -1) as usize;
            move || time(timed, || write_each(start as *mut u8, count))
        }),
    );
    let each = timed.mean_ns() / count as f64;
    println!("{:.0} ns each, {each:.0} ns as timed", mean_ns(&seen));
    assert_near("zero fills", seen.count() as f64, count as f64, 0.02);
    if !emulated() {
        assert!(
            (0.3 * each..each).contains(&mean_ns(&seen)),
            "{} ns of {each} ns",
            mean_ns(&seen)
        );
    }
}
