//! Address-space switches keep the TLB as long as the CPU has tags for all address spaces, and
//! shootdowns are counted one by one.

#[path = "support/ring.rs"]
mod ring;
#[path = "support/workload.rs"]
mod workload;

use probe_ebpf::sample::{FLUSH_REASONS, Flushes, Histogram, Sample, Tlb};
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
            sum.max = sum.max.max(one.max);
            sum.counts.push(one.count());
        }
        for (sum, one) in sum.flushes.iter_mut().zip(&group.tlb.flushes) {
            sum.count += one.count;
            sum.whole += one.whole;
            sum.pages += one.pages;
        }
    }
    sum
}

/// What was counted before and after a token was passed on so many times.
fn passed_round(processes: usize, hops: u32) -> (Tlb, Tlb) {
    let mut workload = Workload::new(|| ring(processes, hops / processes as u32));
    let mut watch = watch_for(workload.pid, &["tlb"]);
    let before = tlb(&watch.read().expect("read"));
    workload.run();
    let sample = watch.read().expect("read");
    let after = tlb(&sample);
    let unseen = sample.losses.iter().filter(|loss| loss.probe == "tlb");
    let unseen: u64 = unseen.map(|loss| loss.count).sum();
    assert_eq!((unseen, lost(&sample)), (0, 0), "{:?}", sample.losses);
    (before, after)
}

fn hops_kept_and_flushed(processes: usize) -> (f64, f64) {
    let hops = sized(60_000);
    let (before, after) = passed_round(processes, hops);
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
    // On a host in use others come between.
    let most = if emulated() { 0.1 } else { 1.1 };
    assert!(
        (changes as f64) < f64::from(sleeps) * most,
        "{changes} of {sleeps}"
    );
}

/// Means of the switches of one run that kept the TLB and of those that flushed it, in ns.
fn means_of_ring(processes: usize) -> [Option<f64>; 2] {
    let (before, after) = passed_round(processes, sized(20_000));
    let mean = |before: &Histogram, after: &Histogram| {
        let count = after.count() - before.count();
        (count > 100).then(|| (after.sum - before.sum) as f64 / count as f64)
    };
    [
        mean(&before.kept_time, &after.kept_time),
        mean(&before.flushed_time, &after.flushed_time),
    ]
}

/// The host changes its speed, and means have the moments in them that it takes away: neighbours are compared, and
/// most of them decide.
#[test]
fn a_change_that_flushes_takes_longer_than_one_that_keeps() {
    let rounds: Vec<_> = (0..9)
        .map(|_| (means_of_ring(2), means_of_ring(8)))
        .collect();
    println!("kept and flushed of 2 and of 8, ns: {rounds:?}");
    if emulated() {
        return;
    }
    let mut pairs: Vec<_> = rounds
        .iter()
        .filter_map(|round| match round {
            ([Some(kept), None], [None, Some(flushed)]) => Some((*kept, *flushed)),
            // Tasks of others came between.
            _ => None,
        })
        .collect();
    assert!(pairs.len() >= 5, "{rounds:?}");
    pairs.sort_by(|(a, b), (c, d)| (b / a).total_cmp(&(d / c)));
    let (kept, flushed) = pairs[pairs.len() / 2];
    assert!(
        (20.0..2_000.0).contains(&kept) && kept < flushed && flushed < 5_000.0,
        "kept {kept} ns, flushed {flushed} ns, of {pairs:?}"
    );
}

/// Maps so many pages, touches them, and unmaps them again.
fn map_and_unmap(times: u32, pages: usize) {
    for _ in 0..times {
        // SAFETY: the pages are our own from mmap to munmap.
        unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let start = libc::mmap(null_mut(), pages * 4096, protection, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            for page in 0..pages {
                start.cast::<u8>().add(page * 4096).write_volatile(1);
            }
            libc::munmap(start, pages * 4096);
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

/// What a process does that unmaps so many pages again and again.
struct Seen {
    flushes: [Flushes; FLUSH_REASONS.len()],
    /// Interrupts that CPUs received meanwhile, from whomever.
    interrupts: u64,
}

impl Seen {
    fn of(&self, reason: &str) -> Flushes {
        let place = FLUSH_REASONS.iter().position(|name| *name == reason);
        self.flushes[place.expect("a reason")]
    }
}

/// With a thread of its own on the other CPU or without.
fn shootdowns(unmaps: u32, pages: usize, with_thread: bool) -> Seen {
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
            map_and_unmap(8, pages);
            map_and_unmap(unmaps - 8, pages);
        }
    });
    rustix::thread::sched_setaffinity(None, &anywhere).expect("as before");
    let mut watch = watch_for(workload.pid, &["tlb"]);
    let before = tlb(&watch.read().expect("read")).flushes;
    let interrupts = received_by_all();
    workload.run();
    let interrupts = received_by_all() - interrupts;
    let sample = watch.read().expect("read");
    assert_eq!(lost(&sample), 0, "{:?}", sample.losses);
    let mut flushes = tlb(&sample).flushes;
    for (flushes, before) in flushes.iter_mut().zip(before) {
        flushes.count -= before.count;
        flushes.whole -= before.whole;
        flushes.pages -= before.pages;
    }
    println!(
        "{unmaps} times {pages} pages: {interrupts} interrupts, {FLUSH_REASONS:?} {flushes:?}"
    );
    Seen {
        flushes,
        interrupts,
    }
}

/// An emulated CPU may spend its turn in a thread of the kernel, and is then sent no interrupt.
fn assert_one_each(what: &str, flushes: u64, unmaps: u32) {
    let (least, most) = (if emulated() { 0.5 } else { 0.99 }, 1.01);
    let share = flushes as f64 / f64::from(unmaps);
    assert!(
        (least..most).contains(&share),
        "{flushes} {what} of {unmaps}"
    );
}

#[test]
fn each_unmap_shoots_down_the_other_thread() {
    let unmaps = sized(5_000);
    let seen = shootdowns(unmaps, 1, true);
    let [sent, received] = ["shootdown_sent", "shootdown_received"].map(|reason| seen.of(reason));
    // Some find nothing left to do, and are in neither count.
    assert_near(
        "interrupts",
        seen.interrupts as f64,
        sent.count as f64,
        0.05,
    );
    assert_near("received", received.count as f64, sent.count as f64, 0.05);
    assert_one_each("sent", sent.count, unmaps);
    for (what, flushes) in [("sent", sent), ("received", received)] {
        assert_near(what, flushes.pages as f64, flushes.count as f64, 0.01);
        assert!(flushes.whole <= 8, "{} {what} of all pages", flushes.whole);
    }
}

/// Beyond 33 pages (`tlb_single_page_flush_ceiling`) the kernel flushes them all.
#[test]
fn many_pages_are_flushed_as_a_whole() {
    let unmaps = sized(1_000);
    let some = shootdowns(unmaps, 8, true).of("shootdown_sent");
    assert_one_each("sent", some.count, unmaps);
    assert_near("pages", some.pages as f64, 8.0 * some.count as f64, 0.02);
    let many = shootdowns(unmaps, 64, true).of("shootdown_sent");
    assert_one_each("of all pages", many.whole, unmaps);
    assert!(many.pages <= 64, "{} pages named", many.pages);
}

#[test]
fn a_single_thread_shoots_nobody_down() {
    let seen = shootdowns(sized(5_000), 1, false);
    assert_eq!(seen.of("shootdown_sent").count, 0);
    // It flushes its own.
    let own = ["local_shootdown", "local_whole"].map(|reason| seen.of(reason).count);
    assert_one_each("of its own", own.iter().sum(), sized(5_000));
}
