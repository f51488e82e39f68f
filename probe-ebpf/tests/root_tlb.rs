//! Address-space switches keep the TLB as long as the CPU has tags for all address spaces, and
//! shootdowns are counted one by one.

#[path = "support/ring.rs"]
mod ring;
#[path = "support/workload.rs"]
mod workload;

use probe_ebpf::sample::{FLUSH_REASONS, Sample, Tlb};
use ring::{alone_on, ring};
use std::{
    io::{Read, Write},
    ptr::null_mut,
    thread,
    time::Duration,
};
use workload::*;

fn tlb(sample: &Sample) -> Tlb {
    let mut sum = Tlb::default();
    for group in &sample.groups {
        sum.kept += group.tlb.kept;
        sum.flushed += group.tlb.flushed;
        for (sum, one) in [
            (&mut sum.kept_time, &group.tlb.kept_time),
            (&mut sum.flushed_time, &group.tlb.flushed_time),
        ] {
            sum.sum += one.sum;
            sum.counts.push(one.count());
        }
        for (sum, one) in sum.flushes.iter_mut().zip(&group.tlb.flushes) {
            sum.count += one.count;
        }
    }
    sum
}

fn hops_kept_and_flushed(processes: usize) -> (f64, f64) {
    let hops = sized(60_000);
    let mut workload = Workload::new(|| ring(processes, hops / processes as u32));
    let mut watch = watch_for(workload.pid, &["tlb"]);
    let before = tlb(&watch.read().expect("read"));
    workload.run();
    let sample = watch.read().expect("read");
    let after = tlb(&sample);
    let unseen = sample.losses.iter().filter(|loss| loss.probe == "tlb");
    let unseen: u64 = unseen.map(|loss| loss.count).sum();
    assert_eq!((unseen, lost(&sample)), (0, 0), "{:?}", sample.losses);
    let per_hop = |count: u64| count as f64 / f64::from(hops);
    // One change in 61 has its time taken.
    let timed = |tlb: &Tlb| tlb.kept_time.count() + tlb.flushed_time.count();
    let timed = per_hop(timed(&after) - timed(&before));
    assert_near("switches timed a hop", timed, 1.0 / 61.0, 0.05);
    (
        per_hop(after.kept - before.kept),
        per_hop(after.flushed - before.flushed),
    )
}

/// x86 keeps the entries of six address spaces apart (TLB_NR_DYN_ASIDS).
#[test]
fn six_address_spaces_keep_their_entries_and_seven_do_not() {
    for processes in [2, 6] {
        let (kept, flushed) = hops_kept_and_flushed(processes);
        assert!(flushed < 0.01, "{flushed} flushes a hop of {processes}");
        assert_near("switches that kept the TLB", kept, 1.0, 0.02);
    }
    let (_, flushed) = hops_kept_and_flushed(7);
    assert!(
        (0.95..1.05).contains(&flushed),
        "{flushed} flushes a hop of 7"
    );
}

/// Every change of address space is counted, whatever the CPU can keep.
#[test]
fn every_hop_is_a_change_of_address_space() {
    let (kept, flushed) = hops_kept_and_flushed(3);
    assert_near("changes of address space a hop", kept + flushed, 1.0, 0.02);
}

/// To idle, which borrows it, and back.
#[test]
fn a_sleep_with_nobody_between_changes_no_address_space() {
    let sleeps = sized(2_000);
    let mut workload = Workload::new(|| {
        alone_on(1);
        move || (0..sleeps).for_each(|_| thread::sleep(Duration::from_micros(100)))
    });
    let mut watch = watch_for(workload.pid, &["tlb"]);
    let before = tlb(&watch.read().expect("read"));
    workload.run();
    let after = tlb(&watch.read().expect("read"));
    let changes = after.kept + after.flushed - before.kept - before.flushed;
    println!("{changes} changes of address space in {sleeps} sleeps");
    // Others may come between now and then.
    assert!(changes < u64::from(sleeps) / 10, "{changes} of {sleeps}");
}

/// Maps a page, touches it, and unmaps it again.
fn map_and_unmap(times: u32) {
    for _ in 0..times {
        // SAFETY: the page is our own from mmap to munmap.
        unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let page = libc::mmap(null_mut(), 4096, protection, flags, -1, 0);
            assert_ne!(page, libc::MAP_FAILED);
            page.cast::<u8>().write_volatile(1);
            libc::munmap(page, 4096);
        }
    }
}

/// Shootdowns that all CPUs have received since boot, as the kernel counts interrupts.
fn received_by_all() -> u64 {
    let interrupts = std::fs::read_to_string("/proc/interrupts").expect("proc");
    let line = interrupts
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("TLB:"));
    let words = line.expect("shootdowns").split_whitespace();
    words.map_while(|word| word.parse::<u64>().ok()).sum()
}

/// Shootdowns sent while a process unmaps pages, with a thread of its own on the other CPU or without; and those
/// that CPUs received meanwhile, from whomever.
fn shootdowns(unmaps: u32, with_thread: bool) -> (u64, u64) {
    // Born on the CPU where it stays: the kernel remembers where else a process has been.
    let anywhere = rustix::thread::sched_getaffinity(None).expect("affinity");
    pin(1);
    let mut workload = Workload::new(|| {
        alone_on(1);
        let (mut ready, mut other) = std::io::pipe().expect("pipe");
        if with_thread {
            thread::spawn(move || {
                alone_on(0);
                other.write_all(b"r").expect("main is there");
                loop {
                    std::hint::spin_loop();
                }
            });
        } else {
            other.write_all(b"r").expect("main is there");
        }
        ready.read_exact(&mut [0]).expect("the thread runs");
        move || {
            // The heap grows and shrinks once.
            map_and_unmap(8);
            map_and_unmap(unmaps - 8);
        }
    });
    rustix::thread::sched_setaffinity(None, &anywhere).expect("as before");
    let mut watch = watch_for(workload.pid, &["tlb"]);
    let place = FLUSH_REASONS
        .iter()
        .position(|name| *name == "shootdown_sent");
    let place = place.expect("a reason");
    let before = tlb(&watch.read().expect("read")).flushes[place].count;
    let received_before = received_by_all();
    workload.run();
    let received = received_by_all() - received_before;
    let sample = watch.read().expect("read");
    assert_eq!(lost(&sample), 0, "{:?}", sample.losses);
    let sent = tlb(&sample).flushes[place].count - before;
    println!("{sent} sent, {received} received of {unmaps}");
    (sent, received)
}

#[test]
fn each_unmap_shoots_down_the_other_thread() {
    let unmaps = sized(5_000);
    let (sent, received) = shootdowns(unmaps, true);
    // Some find nothing left to do, and are not in the kernel's count.
    assert_near("received", received as f64, sent as f64, 0.05);
    // An emulated CPU may spend its turn in a thread of the kernel, and is then sent no interrupt.
    let (least, most) = (if emulated() { 0.5 } else { 0.99 }, 1.01);
    let share = sent as f64 / f64::from(unmaps);
    assert!((least..most).contains(&share), "{sent} of {unmaps}");
}

#[test]
fn a_single_thread_shoots_nobody_down() {
    assert_eq!(shootdowns(sized(5_000), false).0, 0);
}
