//! Callers of fork and its like, which time what they call and tell it through shared memory.
#![allow(dead_code, unreachable_pub)]

use super::workload::shared;
use probe_ebpf::sample::{CallKind, Calls, Histogram, Sample};
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// What callers in other processes tell: how many calls succeeded and failed, and the time of the
/// former as they saw it.
pub struct Told {
    pub calls: AtomicU64,
    pub failed: AtomicU64,
    pub ns: AtomicU64,
    /// How many batches may be begun, and how many are done.
    pub begun: AtomicU64,
    pub done: AtomicU64,
}

impl Told {
    pub fn new() -> &'static Self {
        // SAFETY: a struct of atomic integers alone.
        unsafe { shared() }
    }

    pub fn add(&self, begun: Instant, succeeded: bool) {
        let time = begun.elapsed().as_nanos() as u64;
        if succeeded {
            self.calls.fetch_add(1, Relaxed);
            self.ns.fetch_add(time, Relaxed);
        } else {
            self.failed.fetch_add(1, Relaxed);
        }
    }

    /// In the caller: batches, each when it may be begun.
    pub fn in_batches(&self, batches: u64, mut batch: impl FnMut()) {
        for number in 1..=batches {
            while self.begun.load(Relaxed) < number {
                std::thread::sleep(Duration::from_millis(1));
            }
            batch();
            self.done.store(number, Relaxed);
        }
    }

    /// In the test: has the next batch done.
    pub fn next_batch(&self) {
        let number = self.begun.fetch_add(1, Relaxed) + 1;
        while self.done.load(Relaxed) < number {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn mean_ns(&self) -> f64 {
        self.ns.load(Relaxed) as f64 / self.calls.load(Relaxed) as f64
    }
}

/// A child that ends at once.
pub fn fork() -> i32 {
    // SAFETY: the child ends at once.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: ends this process.
        unsafe { libc::_exit(0) };
    }
    pid
}

pub fn fork_and_wait(told: &Told) {
    let begun = Instant::now();
    let pid = fork();
    told.add(begun, pid > 0);
    wait(pid);
}

/// Through the C library's own function; the child, which its parent waits for within the call, sleeps first, if at all.
#[allow(deprecated)]
pub fn vfork_and_wait(sleep: Option<Duration>, told: &Told) {
    let request = sleep.map(|time| libc::timespec {
        tv_sec: 0,
        tv_nsec: time.subsec_nanos().into(),
    });
    let begun = Instant::now();
    // SAFETY: the child, on this stack, makes system calls alone, the first with a time that outlives it.
    let pid = unsafe { libc::vfork() };
    if pid == 0 {
        // SAFETY: see above.
        unsafe {
            if let Some(request) = &request {
                libc::syscall(libc::SYS_nanosleep, std::ptr::from_ref(request), 0);
            }
            libc::_exit(0);
        }
    }
    told.add(begun, pid > 0);
    wait(pid);
}

/// By the C library's `clone`: a child on a stack of its own, with a copy of the memory.
pub fn clone_and_wait(told: &Told) {
    extern "C" fn nothing(_: *mut libc::c_void) -> libc::c_int {
        0
    }
    let mut stack = vec![0_u8; 64 << 10];
    let begun = Instant::now();
    // SAFETY: the child has a copy of the stack, which grows down from its end.
    let pid = unsafe {
        let end = stack.as_mut_ptr().add(stack.len());
        libc::clone(nothing, end.cast(), libc::SIGCHLD, std::ptr::null_mut())
    };
    told.add(begun, pid > 0);
    wait(pid);
}

/// Runs a program without arguments, and waits for its end.
pub fn spawn_and_wait(program: &std::ffi::CStr, told: &Told) {
    let arguments = [program.as_ptr().cast_mut(), std::ptr::null_mut()];
    let environment = [std::ptr::null_mut()];
    let mut pid = 0;
    let begun = Instant::now();
    // SAFETY: strings that end with a null, in arrays that end with a null.
    let refused = unsafe {
        libc::posix_spawn(
            &mut pid,
            program.as_ptr(),
            std::ptr::null(),
            std::ptr::null(),
            arguments.as_ptr(),
            environment.as_ptr(),
        )
    };
    told.add(begun, refused == 0);
    if refused == 0 {
        wait(pid);
    }
}

pub fn wait(pid: i32) {
    if pid > 0 {
        // SAFETY: a child of ours.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    }
}

pub fn thread_and_join(told: &Told) {
    extern "C" fn nothing(argument: *mut libc::c_void) -> *mut libc::c_void {
        argument
    }
    let mut thread = 0;
    let begun = Instant::now();
    // SAFETY: the thread returns at once, and is joined.
    let refused = unsafe {
        libc::pthread_create(&mut thread, std::ptr::null(), nothing, std::ptr::null_mut())
    };
    told.add(begun, refused == 0);
    if refused == 0 {
        // SAFETY: the thread was made above and is joined once.
        unsafe { libc::pthread_join(thread, std::ptr::null_mut()) };
    }
}

/// A program of a few instructions, of no C library, that waits for ever.
pub fn tiny_program() -> Vec<u8> {
    const CODE: [u8; 9] = [0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7]; // pause() for ever
    const BASE: u64 = 0x40_0000;
    let mut elf = Vec::new();
    elf.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]); // ET_EXEC, x86-64
    for number in [BASE + 120, 64, 0] {
        elf.extend(number.to_le_bytes()); // entry, program headers, no sections
    }
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]); // PT_LOAD, read and execute
    let size = 120 + CODE.len() as u64;
    for number in [0, BASE, BASE, size, size, 0x1000] {
        elf.extend(number.to_le_bytes());
    }
    elf.extend(CODE);
    elf
}

/// Of one kind, in the group that calls.
pub fn calls(sample: &Sample, group: usize, kind: CallKind) -> &Calls {
    let calls = sample.groups[group].calls.as_ref();
    let calls = calls.expect("the C library was probed");
    calls
        .iter()
        .find(|calls| calls.kind == kind)
        .expect("all kinds")
}

pub const PAGE: usize = 4096;

/// So many private pages, each by itself, written.
pub fn touch(pages: usize) {
    // SAFETY: a new anonymous mapping, written within its bounds.
    unsafe {
        let start = libc::mmap(
            std::ptr::null_mut(),
            pages * PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_ANONYMOUS | libc::MAP_PRIVATE,
            -1,
            0,
        );
        assert_ne!(start, libc::MAP_FAILED, "mmap");
        libc::madvise(start, pages * PAGE, libc::MADV_NOHUGEPAGE);
        std::ptr::write_bytes(start.cast::<u8>(), 1, pages * PAGE);
    }
}

/// The shortest, at the middle of its bucket: the one in which least came between.
pub fn shortest_ns(histogram: &Histogram) -> f64 {
    let bucket = histogram.counts.iter().position(|count| *count > 0);
    let (bucket, sub) = (bucket.expect("samples"), 1 << Histogram::SUB_BITS);
    match bucket < sub {
        true => bucket as f64,
        false => ((sub + bucket % sub) as f64 + 0.5) * (1_u64 << (bucket / sub - 1)) as f64,
    }
}

/// Samples since an earlier reading.
pub fn since(after: &Histogram, before: &Histogram) -> Histogram {
    let counts = after.counts.iter().zip(&before.counts);
    Histogram {
        sum: after.sum - before.sum,
        max: after.max,
        counts: counts.map(|(after, before)| after - before).collect(),
    }
}

/// A field of /proc/PID/status.
pub fn status_bytes(pid: u32, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line
        .expect("a field of status")
        .trim()
        .trim_end_matches(" kB");
    kilobytes.parse::<f64>().expect("a number") * 1024.0
}
