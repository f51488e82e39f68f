//! Calls that create tasks and shootdowns of TLB entries, timed in the kernel: by fentry, and by
//! kprobes as if there were no fentry. Where there is neither, the refusal.

#[path = "support/creation.rs"]
mod creation;
#[path = "support/workload.rs"]
mod workload;

use creation::*;
use probe_ebpf::{
    Watch,
    sample::{CallKind, Calls, FLUSH_REASONS, Histogram, Sample},
    tracing::leave_out_fentry,
};
use std::{
    collections::HashSet,
    ptr::null_mut,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::Instant,
};
use workload::*;

const CALLS: &str = "creation_latency_in_kernel";
const COPIES: &str = "page_table_copy";
const SHOOTDOWNS: &str = "shootdown_latency";

/// The probes of a measure, with that whose figures its own are held against.
fn probes(measure: &str) -> &'static [&'static str] {
    match measure {
        CALLS => &["kernel_clone", COPIES],
        _ => &[SHOOTDOWNS, "tlb"],
    }
}

/// Ways into the kernel, as methods name them.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Fentry,
    Kprobe,
}

/// Watches a process by one way in; none where the kernel has none, and says so.
fn watched(pid: u32, by: By, measure: &str) -> Option<Watch> {
    leave_out_fentry(by == By::Kprobe);
    let watch = watch_for(pid, probes(measure));
    leave_out_fentry(false);
    let refused = watch.unavailable().iter().find(|u| u.measure == measure);
    if let Some(refused) = refused {
        // The emulated kernels have both.
        assert!(!emulated(), "{refused:?}");
        let reason = &refused.reason;
        assert!(reason.starts_with("needs fentry or kprobes: "), "{reason}");
        let is_left_out = by == By::Kprobe && reason.contains("fentry is left out");
        let is_refused = reason.contains("the kernel refuses fentry programs (");
        assert!(is_left_out || is_refused, "{reason}");
        assert!(reason.contains("kprobes ("), "{reason}");
        assert!(watch.measures().iter().all(|found| found.name != measure));
        return None;
    }
    let found = watch.measures();
    let found = found.iter().find(|found| found.name == measure);
    let method = found.expect("it is measured").method;
    let way = match by {
        By::Fentry if !method.contains("fentry/") && !emulated() => "kprobe/",
        By::Fentry => "fentry/",
        By::Kprobe => "kprobe/",
    };
    assert!(method.starts_with(&format!("from {way}")), "{method}");
    Some(watch)
}

fn in_kernel(sample: &Sample, group: usize, kind: CallKind) -> &Calls {
    let calls = sample.groups[group].kernel_calls.as_ref();
    let calls = calls.expect("the kernel was entered");
    let calls = calls.iter().find(|calls| calls.kind == kind);
    calls.expect("all kinds")
}

/// Round the C library, as a runtime without one does it.
fn raw_clone_and_wait() {
    // SAFETY: as fork, whose child ends at once.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    if pid == 0 {
        // SAFETY: ends this process.
        unsafe { libc::_exit(0) };
    }
    wait(pid as i32);
}

/// A child in the address space of its parent, who does not wait for it.
fn clone_and_wait() {
    extern "C" fn nothing(_: *mut libc::c_void) -> libc::c_int {
        0
    }
    let mut stack = vec![0_u128; 4096];
    // SAFETY: the child runs on a stack of its own, which lives until it has ended.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.len()).cast();
        let flags = libc::CLONE_VM | libc::SIGCHLD;
        libc::clone(nothing, top, flags, null_mut())
    };
    assert!(pid > 0, "clone: {}", std::io::Error::last_os_error());
    wait(pid);
}

/// Threads share their signal handlers, or are none.
fn failing_clone() {
    // SAFETY: the kernel refuses it.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::CLONE_THREAD, 0, 0, 0, 0) };
    assert_eq!(pid, -1);
}

fn each_call_is_a_sample(by: By) {
    let told = Told::new();
    let number = sized(300);
    let mut workload = Workload::new(|| {
        move || {
            for _ in 0..number {
                fork_and_wait(told);
                raw_clone_and_wait();
                vfork_and_wait(None, told);
                thread_and_join(told);
                clone_and_wait();
                failing_clone();
            }
        }
    });
    let Some(mut watch) = watched(workload.pid, by, CALLS) else {
        return;
    };
    workload.run();
    let sample = watch.read().expect("read");
    let number = u64::from(number);
    let expected = [
        (CallKind::Fork, 2 * number, 0),
        (CallKind::Spawn, number, 0),
        (CallKind::Thread, number, number),
        (CallKind::Clone, number, 0),
    ];
    for (kind, succeeded, failed) in expected {
        let calls = in_kernel(&sample, MAIN, kind);
        let seen = (calls.latency.count(), calls.failed);
        assert_eq!(seen, (succeeded, failed), "{kind:?}");
    }
    for group in [THREAD, CHILD] {
        for kind in CallKind::ALL {
            let by_created = in_kernel(&sample, group, kind).latency.count();
            assert_eq!(by_created, 0, "the return of what was created is no call");
        }
    }
    assert_eq!(lost(&sample), 0, "{:?}", sample.losses);
}

#[test]
fn each_call_is_a_sample_of_its_kind_and_no_return_of_a_child() {
    each_call_is_a_sample(By::Fentry);
}

#[test]
fn each_call_is_a_sample_by_kprobes() {
    each_call_is_a_sample(By::Kprobe);
}

/// Pages that a process has before it forks, and those it touches before it forks again.
const PAGES: [usize; 2] = [10_000_000 / PAGE, 40_000_000 / PAGE];

/// The forks of one batch: what the kernel took, the copies in that, and what the caller saw.
fn assert_within(kernel: &Histogram, copies: &Histogram, caller_ns: u64, forks: u64) {
    eprintln!(
        "{forks} forks: copies {} ns, in the kernel {} ns, as the caller timed it {caller_ns} ns",
        copies.sum, kernel.sum
    );
    assert_eq!((kernel.count(), copies.count()), (forks, forks));
    assert!(copies.sum > 0 && copies.sum < kernel.sum, "{copies:?}");
    assert!(kernel.sum < caller_ns, "{kernel:?} of {caller_ns} ns");
}

/// A copy lies within its call, which lies within what the caller sees. Of a process that is larger by some
/// 9,800 pages a fork takes longer, by the entries of page tables that are copied: nothing else in it grows.
fn forks_lie_within(by: By) {
    let told = Told::new();
    let forks = u64::from(sized(300));
    let mut workload = Workload::new(|| {
        let mut pages = PAGES.into_iter();
        move || {
            told.in_batches(PAGES.len() as u64, || {
                touch(pages.next().expect("as many as batches"));
                (0..forks).for_each(|_| fork_and_wait(told));
            });
        }
    });
    let Some(mut watch) = watched(workload.pid, by, CALLS) else {
        return;
    };
    workload.start();
    let mut shortest = Vec::new();
    let (mut before, mut told_before) = (watch.read().expect("read"), 0);
    for _ in PAGES {
        told.next_batch();
        let sample = watch.read().expect("read");
        let calls = in_kernel(&sample, MAIN, CallKind::Fork);
        let earlier = in_kernel(&before, MAIN, CallKind::Fork);
        let kernel = since(&calls.latency, &earlier.latency);
        let copies = since(copies(&sample), copies(&before));
        let told_now = told.ns.load(Relaxed);
        assert_within(&kernel, &copies, told_now - told_before, forks);
        let mean = |bytes: u64| bytes as f64 / forks as f64;
        let status = |field| status_bytes(workload.pid, field);
        let resident = mean(calls.resident_pages - earlier.resident_pages) * PAGE as f64;
        assert_near("resident", resident, status("VmRSS:"), 0.02);
        let tables = mean(calls.page_table_bytes - earlier.page_table_bytes);
        assert_near("tables", tables, status("VmPTE:"), 0.02);
        shortest.push([shortest_ns(&copies), shortest_ns(&kernel)]);
        assert_eq!(lost(&sample), 0, "{:?}", sample.losses);
        (before, told_before) = (sample, told_now);
    }
    workload.finish();
    let [copies, kernel] = [0, 1].map(|figure| shortest[1][figure] - shortest[0][figure]);
    eprintln!("shortest copies and calls {shortest:?} ns");
    assert!(
        copies > shortest[0][0],
        "a copy of {PAGES:?} pages: {shortest:?} ns"
    );
    assert!(
        copies > kernel / 2.0,
        "a call grows by {kernel} ns, its copy by {copies} ns"
    );
}

fn copies(sample: &Sample) -> &Histogram {
    let copies = sample.groups[MAIN].page_table_copy.as_ref();
    copies.expect("the emulated kernels have a way to it, others were skipped")
}

#[test]
fn forks_in_the_kernel_lie_within_what_their_caller_sees() {
    forks_lie_within(By::Fentry);
}

#[test]
fn forks_by_kprobes_lie_within_what_their_caller_sees() {
    forks_lie_within(By::Kprobe);
}

/// Maps a page, touches it, and unmaps it again.
fn map_and_unmap() {
    // SAFETY: the page is our own from mmap to munmap.
    unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let page = libc::mmap(null_mut(), PAGE, protection, flags, -1, 0);
        assert_ne!(page, libc::MAP_FAILED);
        page.cast::<u8>().write_volatile(1);
        libc::munmap(page, PAGE);
    }
}

/// A process on CPU 1 that unmaps pages, one by one, with a thread of its own that runs on CPU 0
/// meanwhile or without; it tells how long that took.
fn unmapper(unmaps: u32, with_thread: bool, told: &'static Told) -> Workload {
    // Born on the CPU where it stays: the kernel remembers where else a process has been.
    let anywhere = rustix::thread::sched_getaffinity(None).expect("affinity");
    pin(1);
    let workload = Workload::new(|| {
        if with_thread {
            thread::spawn(|| {
                pin(0);
                loop {
                    TURNS.fetch_add(1, Relaxed);
                }
            });
        }
        move || {
            let begun = Instant::now();
            for _ in 0..unmaps {
                let before = TURNS.load(Relaxed);
                while with_thread && TURNS.load(Relaxed) == before {
                    std::hint::spin_loop();
                }
                map_and_unmap();
            }
            told.add(begun, true);
        }
    });
    rustix::thread::sched_setaffinity(None, &anywhere).expect("as before");
    workload
}

/// What the other thread has counted: as long as it grows, that runs.
static TURNS: AtomicU64 = AtomicU64::new(0);

/// The time of each, and how many the kernel's own tracepoint showed.
fn shootdowns(sample: &Sample) -> (u64, u64, u64) {
    let place = FLUSH_REASONS.iter().position(|r| *r == "shootdown_sent");
    let place = place.expect("a reason");
    let mut sum = (0, 0, 0);
    for group in &sample.groups {
        let latency = group.shootdown_latency.as_ref().expect("it is measured");
        sum.0 += latency.count();
        sum.1 += latency.sum;
        sum.2 += group.tlb.flushes[place].count;
    }
    sum
}

fn each_unmap_is_a_sample(by: By) {
    let told = Told::new();
    let unmaps = sized(1_000);
    let mut workload = unmapper(unmaps, true, told);
    let Some(mut watch) = watched(workload.pid, by, SHOOTDOWNS) else {
        return;
    };
    let before = shootdowns(&watch.read().expect("read"));
    workload.run();
    let sample = watch.read().expect("read");
    let after = shootdowns(&sample);
    let (timed, ns, sent) = (after.0 - before.0, after.1 - before.1, after.2 - before.2);
    let elapsed = told.ns.load(Relaxed);
    eprintln!("{timed} shootdowns, {sent} sent: {ns} of {elapsed} ns");
    assert_eq!(timed, sent, "as the tracepoint within the function counts");
    // Between its last turn and the unmap the other thread may have left its CPU to another process.
    assert_near("unmaps", timed as f64, f64::from(unmaps), 0.05);
    // Each is within an unmap, which is within the time of all.
    assert!(ns > 0 && ns < elapsed, "{ns} of {elapsed} ns");
    assert_eq!(lost(&sample), 0, "{:?}", sample.losses);
}

#[test]
fn each_unmap_beside_a_thread_is_a_shootdown_that_takes_time() {
    each_unmap_is_a_sample(By::Fentry);
}

#[test]
fn each_unmap_is_a_shootdown_by_kprobes() {
    each_unmap_is_a_sample(By::Kprobe);
}

#[test]
fn a_single_thread_waits_for_no_shootdown() {
    let told = Told::new();
    let mut workload = unmapper(sized(5_000), false, told);
    let Some(mut watch) = watched(workload.pid, By::Fentry, SHOOTDOWNS) else {
        return;
    };
    workload.run();
    let (timed, ns, sent) = shootdowns(&watch.read().expect("read"));
    assert_eq!((timed, ns, sent), (0, 0, 0));
}

/// The programs run for every task of the host; of one that is not watched they keep nothing.
#[test]
fn calls_of_others_are_no_samples() {
    let told = Told::new();
    let watched_one = Workload::new(|| || {});
    let mut other = Workload::new(|| move || (0..100).for_each(|_| fork_and_wait(told)));
    let Some(mut watch) = watched(watched_one.pid, By::Fentry, CALLS) else {
        return;
    };
    other.run();
    let sample = watch.read().expect("read");
    assert_eq!(told.calls.load(Relaxed), 100);
    for group in [MAIN, THREAD, CHILD] {
        for kind in CallKind::ALL {
            let calls = in_kernel(&sample, group, kind);
            assert_eq!((calls.latency.count(), calls.failed), (0, 0), "{kind:?}");
        }
    }
    assert_eq!(lost(&sample), 0, "{:?}", sample.losses);
}

#[test]
fn nothing_of_ours_is_left() {
    for (measure, ours) in [
        (CALLS, &["on_clone", "on_cloned"][..]),
        (SHOOTDOWNS, &["on_shootdown"]),
    ] {
        let ids = || -> HashSet<u32> {
            let programs = aya::programs::loaded_programs().flatten();
            let ours =
                programs.filter(|p| p.name_as_str().is_some_and(|name| ours.contains(&name)));
            ours.map(|program| program.id()).collect()
        };
        let before = ids();
        let workload = Workload::new(|| || {});
        let Some(watch) = watched(workload.pid, By::Fentry, measure) else {
            return;
        };
        let loaded: HashSet<u32> = ids().difference(&before).copied().collect();
        assert!(loaded.len() >= ours.len(), "{loaded:?} of {ours:?}");
        drop(watch);
        settle();
        assert!(ids().is_disjoint(&loaded), "programs are left");
    }
}
