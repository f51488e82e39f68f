//! Memory as accounted, against `/proc` and against workloads of known size.

#[path = "support/workload.rs"]
mod workload;

use probe_ebpf::sample::{Memory, Sample};
use std::sync::{Arc, Barrier};
use workload::*;

/// The same figures from `/proc/PID/status`, in bytes.
fn status(pid: u32) -> Memory {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let kilobytes = |name: &str| -> u64 {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .expect("a field of status");
        line.trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number")
    };
    Memory {
        anonymous_bytes: kilobytes("RssAnon:") * 1024,
        file_bytes: kilobytes("RssFile:") * 1024,
        shared_bytes: kilobytes("RssShmem:") * 1024,
        page_table_bytes: kilobytes("VmPTE:") * 1024,
        reserved_bytes: (kilobytes("VmData:") + kilobytes("VmStk:")) * 1024,
    }
}

fn accounted(sample: &Sample) -> Vec<Memory> {
    tasks(sample).filter_map(|task| task.memory).collect()
}

/// A mapping of so many pages, each written, left in place.
fn touch_pages(count: usize, flags: libc::c_int) {
    let bytes = count * 4096;
    // SAFETY: a new anonymous mapping, written within its bounds.
    unsafe {
        let start = libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_ANONYMOUS | flags,
            -1,
            0,
        );
        assert_ne!(start, libc::MAP_FAILED, "mmap");
        libc::madvise(start, bytes, libc::MADV_NOHUGEPAGE);
        std::ptr::write_bytes(start.cast::<u8>(), 1, bytes);
    }
}

/// Small numbers of pages lie in per-CPU counters alone, so these are the hard ones.
#[test]
fn resident_pages_equal_proc_page_for_page() {
    for pages in [1, 3, 20, 77, 5_000] {
        let mut workload = Workload::new(|| {
            // The kernel may make a huge page of small ones behind our back: khugepaged.
            // SAFETY: of this process alone, and without pointers.
            let disabled = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
            assert_eq!(disabled, 0, "huge pages cannot be disabled");
            move || {
                touch_pages(pages, libc::MAP_PRIVATE);
                touch_pages(pages, libc::MAP_SHARED);
            }
        });
        let mut watch = watch_books(workload.pid);
        let before = accounted(&watch.read().expect("read"))[0];
        workload.run();
        let after = accounted(&watch.read().expect("read"))[0];
        let kernel = status(workload.pid);
        // The sums for /proc were approximate until 6.15, by 64 pages to a counter and CPU, and
        // before 6.2 by 64 faults of a thread, each of which maps up to 16 pages of a file.
        let slack = match kernel_version() {
            version if version < (6, 2) => 64 * 16 * 4096,
            version if version < (6, 16) => 2 * 64 * 4096,
            _ => 0,
        };
        let near = |seen: u64, expected: u64| {
            assert!(
                seen.abs_diff(expected) <= slack,
                "{seen}, {expected} by /proc"
            )
        };
        near(after.anonymous_bytes, kernel.anonymous_bytes);
        near(after.file_bytes, kernel.file_bytes);
        near(after.shared_bytes, kernel.shared_bytes);
        assert_eq!(after.page_table_bytes, kernel.page_table_bytes);
        assert_eq!(after.reserved_bytes, kernel.reserved_bytes);
        assert_eq!(
            after.shared_bytes - before.shared_bytes,
            pages as u64 * 4096,
            "shared pages written"
        );
        let grown = after.anonymous_bytes - before.anonymous_bytes;
        let own = grown.abs_diff(pages as u64 * 4096) / 4096;
        assert!(
            own <= 8,
            "{own} pages of the workload's own beside {pages} written"
        );
    }
}

fn kernel_version() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("proc");
    let mut numbers = release
        .split(['.', '-'])
        .map(|part| part.trim().parse().expect("a version"));
    (
        numbers.next().expect("major"),
        numbers.next().expect("minor"),
    )
}

/// Small numbers of pages again, in many threads.
#[test]
fn pages_that_each_thread_touches_are_in_their_one_account() {
    const THREADS: usize = 40;
    let mut workload = Workload::new(|| {
        let gate = Arc::new(Barrier::new(THREADS + 1));
        for _ in 0..THREADS {
            let gate = gate.clone();
            std::thread::spawn(move || {
                gate.wait();
                touch_pages(10, libc::MAP_SHARED);
                gate.wait();
                loop {
                    std::thread::park();
                }
            });
        }
        move || {
            gate.wait();
            gate.wait();
        }
    });
    let mut watch = watch_books(workload.pid);
    let before = accounted(&watch.read().expect("read"))[0];
    workload.run();
    let after = accounted(&watch.read().expect("read"))[0];
    let grown = after.shared_bytes - before.shared_bytes;
    assert_eq!(grown, (10 * THREADS * 4096) as u64);
}

/// Of mappings, those count that may come to hold memory of their own, and before they do.
#[test]
fn what_is_reserved_is_private_and_writable_touched_or_not() {
    const BYTES: usize = 96 << 20;
    let map = |protection, flags| {
        // SAFETY: a new anonymous mapping that nothing looks into.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                BYTES,
                protection,
                libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | flags,
                -1,
                0,
            )
        };
        assert_ne!(start, libc::MAP_FAILED, "mmap");
    };
    let (read, write) = (libc::PROT_READ, libc::PROT_READ | libc::PROT_WRITE);
    let kinds = [
        (write, libc::MAP_PRIVATE, BYTES),
        (write, libc::MAP_SHARED, 0),
        (read, libc::MAP_PRIVATE, 0),
        (libc::PROT_NONE, libc::MAP_PRIVATE, 0),
    ];
    for (protection, flags, reserved) in kinds {
        let mut workload = Workload::new(move || move || map(protection, flags));
        let mut watch = watch_books(workload.pid);
        let before = accounted(&watch.read().expect("read"))[0];
        workload.run();
        let after = accounted(&watch.read().expect("read"))[0];
        assert_eq!(
            after.reserved_bytes - before.reserved_bytes,
            reserved as u64,
            "protection {protection}, flags {flags:#x}"
        );
        let touched = after.anonymous_bytes - before.anonymous_bytes;
        assert!(touched < 1 << 20, "{touched} bytes touched by mapping");
    }
}

/// An address space is in the report once, however many tasks share it.
#[test]
fn threads_share_one_account() {
    const THREADS: usize = 50;
    let workload = Workload::new(|| {
        for _ in 0..THREADS {
            std::thread::spawn(|| {
                loop {
                    std::thread::park();
                }
            });
        }
        || ()
    });
    let sample = watch_books(workload.pid).read().expect("read");
    assert_eq!(accounted(&sample).len(), 1);
    assert_eq!(tasks(&sample).count(), THREADS + 1);
    let stacks = tasks(&sample)
        .map(|task| task.kernel_stack_bytes)
        .collect::<Vec<_>>();
    assert!(
        stacks.iter().all(|&bytes| bytes == kernel_stack()),
        "{stacks:?}"
    );
}

/// What the kernel says one stack takes: all of them by their number.
fn kernel_stack() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").expect("proc");
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("KernelStack:"))
        .expect("KernelStack");
    let bytes: u64 = line
        .trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .expect("a number")
        * 1024;
    let loadavg = std::fs::read_to_string("/proc/loadavg").expect("proc");
    let tasks = loadavg
        .split_whitespace()
        .nth(3)
        .and_then(|field| field.split('/').nth(1))
        .expect("tasks");
    (bytes as f64 / tasks.parse::<f64>().expect("a number") / 4096.0).round() as u64 * 4096
}
