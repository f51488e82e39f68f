//! What looking at page faults costs: each fault of a task that is not watched, inside a window and
//! between windows, and the duty cycle of windows by itself. Medians of interleaved blocks of faults.

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
/// What a fault of a task not watched may cost more inside a window.
const INSIDE_LIMIT: f64 = 0.15;
/// Between windows nothing is attached to the path of minor faults: no more than noise.
const BETWEEN_LIMIT: f64 = 0.03;
/// Share of one core that the default windows may take, with those on switches.
const DUTY_LIMIT: f64 = 0.01;
const DUTY_TIME: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    pin(0);
    let inside = with_windows("inside a window", 1.0, INSIDE_LIMIT);
    let between = with_windows("between windows", 0.000_001, BETWEEN_LIMIT);
    let duty = duty_cycle();
    if inside && between && duty {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The kinds of fault a server has most of, each with windows and without.
fn with_windows(what: &str, share: f64, limit: f64) -> bool {
    println!(
        "cost of a page fault of a task not watched, {what} (medians of {BLOCKS} blocks of {PAGES}):"
    );
    let zero_fill = compared("zero_fill", zero_fill, share, limit);
    let cow_reuse = compared("cow_reuse", cow_reuse, share, limit);
    zero_fill && cow_reuse
}

fn compared(kind: &str, block: fn() -> f64, share: f64, limit: f64) -> bool {
    let (mut without, mut with) = (Vec::new(), Vec::new());
    // In turn, so that both see the same noise.
    for _ in 0..TURNS {
        without.extend((0..BLOCKS / TURNS).map(|_| block()));
        let watch = nobody(share);
        std::thread::sleep(Duration::from_millis(20));
        with.extend((0..BLOCKS / TURNS).map(|_| block()));
        drop(watch);
    }
    let (without, with) = (median(without), median(with));
    let more = with / without - 1.0;
    let verdict = if more <= limit { "within" } else { "ABOVE" };
    println!(
        "  {kind:<10} {without:6.0} ns, {with:6.0} ns: {:+5.1} %  {verdict} the limit of {:.0} %",
        more * 100.0,
        limit * 100.0
    );
    more <= limit
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

/// Nanoseconds for a write to a page that was shared with a child which is gone.
fn cow_reuse() -> f64 {
    let start = block();
    timed_writes(start);
    // SAFETY: the child does nothing and leaves by _exit.
    unsafe {
        let pid = libc::fork();
        assert!(pid >= 0, "fork");
        if pid == 0 {
            libc::_exit(0);
        }
        libc::waitpid(pid, ptr::null_mut(), 0);
    }
    timed_writes(start)
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
