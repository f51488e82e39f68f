//! The machine that the tests run on: its CPUs, their time, and whose turn it is.
#![allow(dead_code, unreachable_pub)]

use std::{
    fs::File,
    io::Read,
    time::{Duration, Instant},
};

pub fn pin(cpu: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).expect("the CPU is there");
}

/// The size of a workload. An emulated machine is twenty times slower than a real one and gets a
/// tenth of the work, so that it ends before it is taken to hang.
pub fn sized(count: u32) -> u32 {
    if emulated() { count / 10 } else { count }
}

/// How long a workload goes on of which more time would only be more of the same: a third on an emulated
/// machine.
pub fn lasting(time: Duration) -> Duration {
    if emulated() { time / 3 } else { time }
}

pub fn emulated() -> bool {
    std::env::var_os("CONNSCOPE_EMULATED").is_some()
}

/// CPU time of this thread since it began.
pub fn cpu_time_of_thread() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

pub fn burn(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// The same of CPU time of this thread, however busy the machine is.
pub fn burn_cpu(time: Duration) {
    let end = cpu_time_of_thread() + time;
    while cpu_time_of_thread() < end {
        std::hint::spin_loop();
    }
}

/// The machine's other work gets next to nothing of the CPU that this process runs on. Of a child: where
/// sessions share the CPU first (sched_autogroup), it is kept apart from ours, which gets as little.
pub fn alone_on_the_cpu() {
    rustix::process::setpriority_process(None, -20).expect("root may");
    rustix::process::setsid().expect("a forked child leads no session");
    prefer_this_session();
}

/// Of this thread, and of the children it forks from now on: neither waits for the machine's other work.
pub fn ahead_of_others() {
    rustix::process::setpriority_process(None, -20).expect("root may");
    // A shell may have made this process the leader of a group: its session then stays what it is.
    if rustix::process::setsid().is_ok() {
        prefer_this_session();
    }
}

fn prefer_this_session() {
    if let Err(error) = std::fs::write("/proc/self/autogroup", "-20") {
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
    }
}

/// Begins to count stolen time; the function tells how much it was since, in nanoseconds.
pub fn count_stolen() -> impl Fn() -> f64 {
    let before = stolen();
    move || (stolen() - before).as_nanos() as f64
}

/// Stolen time of all CPUs since boot.
fn stolen() -> Duration {
    let mut stat = String::new();
    File::open("/proc/stat")
        .expect("proc")
        .read_to_string(&mut stat)
        .expect("proc");
    let ticks: u64 = stat
        .split_whitespace()
        .nth(8)
        .and_then(|field| field.parse().ok())
        .expect("steal");
    Duration::from_millis(ticks * 10)
}

/// A value of zeros that is shared with the processes forked from now on; never freed.
///
/// # Safety
/// `T` is made of atomic integers alone.
pub unsafe fn shared<T>() -> &'static T {
    let (protection, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_ANONYMOUS | libc::MAP_SHARED,
    );
    // SAFETY: a new shared mapping, zeroed, large enough and aligned for the value.
    unsafe {
        let start = libc::mmap(
            std::ptr::null_mut(),
            size_of::<T>(),
            protection,
            flags,
            -1,
            0,
        );
        assert_ne!(start, libc::MAP_FAILED, "mmap");
        &*start.cast::<T>()
    }
}
