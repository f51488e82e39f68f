//! What a page fault of a task that is not watched costs without the probes, with them between windows
//! and in a window, and the duty cycle of windows by itself. Medians of interleaved blocks of faults.
//!
//! A window adds the same to each fault, the way into two hooks, which is the larger a part of it the less
//! the kernel does. So its limit holds for one fault of each kind together, and each is shown. Between
//! windows nothing is attached to minor faults; but a copy flushes a TLB entry, which is a hook of its own.

#[path = "../tests/support/workload.rs"]
mod workload;

use probe_ebpf::{GroupRule, Options, Watch};
use std::{
    process::ExitCode,
    ptr,
    time::{Duration, Instant},
};
use workload::*;

/// Pages written in a block, and blocks for each figure.
const PAGES: usize = 256;
const BLOCKS: usize = 1_500;
const TURNS: usize = 50;
/// A share of windows so small that all but the first, in which it is tried, open for an instant.
const SELDOM: f64 = 0.000_001;
/// What faults of a task not watched may cost more inside a window than between windows.
const INSIDE_LIMIT: f64 = 0.15;
/// What faults may cost more between windows than without probes, copies aside: no more than noise.
const BETWEEN_LIMIT: f64 = 0.03;
/// Share of one core that the default windows may take, with those on switches.
const DUTY_LIMIT: f64 = 0.01;
const DUTY_TIME: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    pin(0);
    let within = faults();
    let duty = duty_cycle();
    if within && duty {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

type Block = fn() -> f64;
/// The kinds of fault a server has most of.
const KINDS: [(&str, Block); 3] = [
    ("zero_fill", zero_fill),
    ("cow_reuse", cow_reuse),
    ("cow_copy", cow_copy),
];

fn faults() -> bool {
    println!(
        "cost of a page fault of a task not watched, ns (medians of {BLOCKS} blocks of {PAGES}):\n  \
         {:<11} {:>8} {:>24} {:>24}",
        "", "without", "between windows", "inside a window"
    );
    let costs = KINDS.map(|(kind, block)| {
        let [without, between, inside] = compared(block);
        println!(
            "  {kind:<11} {without:8.0} {between:15.0} ({:+5.1} %) {inside:15.0} ({:+5.1} %)",
            percent(without, between),
            percent(between, inside)
        );
        [without, between, inside]
    });
    let sum = |costs: &[[f64; 3]], state: usize| costs.iter().map(|cost| cost[state]).sum::<f64>();
    let between = percent(sum(&costs[..2], 0), sum(&costs[..2], 1));
    let inside = percent(sum(&costs, 1), sum(&costs, 2));
    let between = judged(
        "a zero_fill and a cow_reuse, between windows",
        between,
        BETWEEN_LIMIT,
    );
    judged("one of each, inside a window", inside, INSIDE_LIMIT) && between
}

fn judged(what: &str, percent: f64, limit: f64) -> bool {
    let limit = limit * 100.0;
    let within = percent <= limit;
    let verdict = if within { "within" } else { "ABOVE" };
    println!("  {what}: {percent:+.1} %  {verdict} the limit of {limit:.0} %");
    within
}

/// How much more, in percent.
fn percent(before: f64, after: f64) -> f64 {
    (after / before - 1.0) * 100.0
}

/// Nanoseconds a fault: without probes, between windows and inside one.
fn compared(block: Block) -> [f64; 3] {
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    // In turn, so that all see the same noise.
    for _ in 0..TURNS {
        for (share, times) in [None, Some(SELDOM), Some(1.0)].into_iter().zip(&mut times) {
            let watch = share.map(nobody);
            std::thread::sleep(Duration::from_millis(20));
            times.extend((0..BLOCKS / TURNS).map(|_| block()));
            drop(watch);
        }
    }
    times.map(median)
}

fn nobody(fault_share: f64) -> Watch {
    let options = Options {
        fault_share,
        ..Options::NO_WINDOWS
    };
    let watch = Watch::load(&[GroupRule::default()], &options).expect("probes load");
    for unavailable in watch.unavailable() {
        assert_ne!(unavailable.measure, "fault_classes", "{unavailable:?}");
    }
    watch
}

/// CPU time of the threads that open and close windows, opening and closing included.
fn duty_cycle() -> bool {
    let watch = nobody(Options::default().fault_share);
    let before = cpu();
    std::thread::sleep(DUTY_TIME);
    let share = (cpu() - before).as_secs_f64() / DUTY_TIME.as_secs_f64();
    drop(watch);
    let verdict = if share <= DUTY_LIMIT {
        "within"
    } else {
        "ABOVE"
    };
    println!(
        "default windows, to open and close: {:.2} % of a core  {verdict} the limit of {:.0} %",
        share * 100.0,
        DUTY_LIMIT * 100.0
    );
    share <= DUTY_LIMIT
}

fn cpu() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}

/// Nanoseconds for the first write to a page that was there before, so that the host backs it.
fn zero_fill() -> f64 {
    let start = block();
    // SAFETY: the block is ours, and has so many pages.
    unsafe { libc::madvise(start.cast(), PAGES * 4096, libc::MADV_DONTNEED) };
    timed_writes(start)
}

/// Nanoseconds for a write to a page that is shared with a child.
fn cow_copy() -> f64 {
    let start = block();
    timed_writes(start);
    let [(leave, left), (ready, waits)] = [0; 2].map(|_| rustix::pipe::pipe().expect("a pipe"));
    // SAFETY: the child only reads and writes, and leaves by _exit.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork");
    if pid == 0 {
        drop(left);
        let _ = rustix::io::write(&waits, &[0]);
        // Until the parent has written.
        let _ = rustix::io::read(&leave, &mut [0]);
        // SAFETY: nothing runs but this.
        unsafe { libc::_exit(0) };
    }
    drop(waits);
    // On the same CPU: it does nothing more before the parent sleeps.
    assert_eq!(rustix::io::read(&ready, &mut [0]), Ok(1), "a child");
    std::thread::sleep(Duration::from_micros(1));
    let time = timed_writes(start);
    drop(left);
    wait_for(pid);
    time
}

/// Nanoseconds for a write to a page that was shared with a child which is gone.
fn cow_reuse() -> f64 {
    let start = block();
    timed_writes(start);
    // SAFETY: the child does nothing and leaves by _exit.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork");
    if pid == 0 {
        // SAFETY: nothing runs but this.
        unsafe { libc::_exit(0) };
    }
    wait_for(pid);
    timed_writes(start)
}

fn wait_for(pid: i32) {
    // SAFETY: a child of ours.
    unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
}

fn timed_writes(start: *mut u8) -> f64 {
    let began = Instant::now();
    for page in 0..PAGES {
        // SAFETY: the block has so many pages, for writing.
        unsafe { start.add(page * 4096).write_volatile(1) };
    }
    began.elapsed().as_nanos() as f64 / PAGES as f64
}

/// The same small pages each time.
fn block() -> *mut u8 {
    static BLOCK: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    let map = || {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, which the advice is for.
        unsafe {
            let start = libc::mmap(ptr::null_mut(), PAGES * 4096, protection, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED, "mmap");
            libc::madvise(start, PAGES * 4096, libc::MADV_NOHUGEPAGE);
            start as usize
        }
    };
    *BLOCK.get_or_init(map) as *mut u8
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
