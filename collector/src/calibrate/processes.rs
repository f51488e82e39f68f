//! Creation of processes, as the creator sees it: the time until the call returns to it.

use super::{
    NOTHING,
    child::{exit_now, wait},
    mapping::{Mapping, PAGE, Pages, resident_bytes},
    stopwatch::{Stopwatch, Took},
    worker::{Bench, Variant},
};
use anyhow::{Context, Result, bail};
use procfs::Current;
use std::{
    ffi::{c_int, c_void},
    io, ptr,
};

const MB: usize = 1_000_000;
/// Memory that the parent holds in pages of 4 KB; with --quick not the largest, which takes as long as all others.
const FORK_SIZES: [usize; 6] = [MB, 10 * MB, 50 * MB, 100 * MB, 500 * MB, 1000 * MB];
const QUICK_SIZES: usize = 5;
/// Where what the parent holds should not matter: enough to see if it does.
const OTHER_SIZES: [usize; 2] = [MB, 100 * MB];
/// The size at which the parent writes to all its pages between two forks.
const REWRITTEN: usize = 50 * MB;
/// A size is left out if it is more than this part of the memory that is free.
const PART_OF_FREE: u64 = 4;
const STACK: usize = 64 << 10;

/// `fork(2)`; the child ends at once. Untouched between two forks, the parent's pages stay
/// write-protected: what is measured is the copying of page tables.
pub(crate) fn fork(bench: &mut Bench) -> Result<()> {
    let stopwatch = Stopwatch::of_thread();
    let sizes = match bench.budget.quick {
        true => &FORK_SIZES[..QUICK_SIZES],
        false => &FORK_SIZES,
    };
    let fitting = fitting(bench, sizes)?;
    let most = fitting.last().copied().unwrap_or(0);
    inheriting(bench, &stopwatch, &fitting, most)?;
    if most < REWRITTEN {
        return Ok(());
    }
    let memory = Mapping::new(REWRITTEN, Pages::Small)?;
    memory.touch_all(PAGE);
    let resident = resident_bytes()?;
    let rewrite = || memory.touch_all(PAGE);
    let sampled = bench
        .budget
        .singles(&stopwatch, || fork_once(&stopwatch, rewrite))?;
    let variant = Variant::new(format!("{}, rewritten in between", size(REWRITTEN)))
        .with("resident_bytes", resident as f64)
        .with("written_bytes", REWRITTEN as f64);
    bench.tell(variant, sampled)
}

/// Forks with memory of each size in turn. One after the other, a small process would have its page tables in the CPU's
/// caches from the fork before, a large one would not, and a slow minute of the host would be one size's: the sizes
/// would differ in more than their pages. They are parts of the same memory; of what is more than a size, its fork copies
/// nothing and reads no page table. Before each, all of the memory is forked once, so that what the caches hold of it is
/// alike.
fn inheriting(bench: &Bench, stopwatch: &Stopwatch, sizes: &[usize], most: usize) -> Result<()> {
    let memory = Mapping::new(most, Pages::Small)?;
    let besides = resident_bytes()?;
    memory.touch_all(PAGE);
    let of = |bytes: usize| {
        memory.pass_on(bytes)?;
        fork_once(stopwatch, || {})
    };
    let once = |place: usize| of(most).and_then(|_| of(sizes[place]));
    let in_turn = bench.budget.singles_in_turn(stopwatch, sizes.len(), once)?;
    for (&bytes, sampled) in sizes.iter().zip(in_turn) {
        let resident = besides + bytes.next_multiple_of(PAGE) as u64;
        let variant = Variant::new(size(bytes)).with("resident_bytes", resident as f64);
        bench.tell(variant, sampled)?;
    }
    Ok(())
}

/// `clone(CLONE_VM | CLONE_VFORK)`, as vfork(2) does: returns once the child has ended.
pub(crate) fn vfork(bench: &mut Bench) -> Result<()> {
    let stack = Mapping::new(STACK, Pages::Small)?;
    over_sizes(bench, || vfork_once(&stack))
}

/// `posix_spawn(3)` of a program that ends at once: returns once it is being executed.
pub(crate) fn posix_spawn(bench: &mut Bench) -> Result<()> {
    over_sizes(bench, spawn_once)
}

/// Samples with more and more memory, by the clock on the wall, as far as the host has room for it.
fn over_sizes(bench: &Bench, mut once: impl FnMut() -> Result<Took>) -> Result<()> {
    let fitting = fitting(bench, &OTHER_SIZES)?;
    let memory = Mapping::new(fitting.last().copied().unwrap_or(0), Pages::Small)?;
    let mut filled = 0;
    for bytes in fitting {
        memory.touch(filled..bytes, PAGE);
        filled = bytes.next_multiple_of(PAGE);
        let resident = resident_bytes()?;
        let sampled = bench.budget.singles(&Stopwatch::Wall, &mut once)?;
        let variant = Variant::new(size(bytes)).with("resident_bytes", resident as f64);
        bench.tell(variant, sampled)?;
    }
    Ok(())
}

/// Those of these sizes that the host has room for; of the others it is told that it has none.
fn fitting(bench: &Bench, sizes: &[usize]) -> Result<Vec<usize>> {
    let free = free_bytes()?;
    let (fitting, others): (Vec<usize>, Vec<usize>) = sizes
        .iter()
        .partition(|&&bytes| bytes as u64 <= free / PART_OF_FREE);
    for bytes in others {
        let reason = format!(
            "more than a quarter of the {} MB that are free",
            free / MB as u64
        );
        bench.missing(Some(size(bytes)), reason)?;
    }
    Ok(fitting)
}

fn size(bytes: usize) -> String {
    format!("{} MB", bytes / MB)
}

/// What can be had without swapping, by the kernel's estimate.
fn free_bytes() -> Result<u64> {
    let memory = procfs::Meminfo::current().context("cannot read /proc/meminfo")?;
    memory
        .mem_available
        .context("/proc/meminfo does not say what is available")
}

fn fork_once(stopwatch: &Stopwatch, before: impl FnOnce()) -> Result<Took> {
    before();
    let begun = stopwatch.begin();
    // SAFETY: there is one thread, and the child only ends.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        exit_now(0);
    }
    let took = stopwatch.end(begun);
    created(pid)?;
    Ok(took)
}

fn vfork_once(stack: &Mapping) -> Result<Took> {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let begun = Stopwatch::Wall.begin();
    // SAFETY: the child has the stack for itself until it ends, and we do nothing until then.
    let pid = unsafe { libc::clone(end_at_once, stack.end().cast(), flags, ptr::null_mut()) };
    let took = Stopwatch::Wall.end(begun);
    created(pid)?;
    Ok(took)
}

extern "C" fn end_at_once(_: *mut c_void) -> c_int {
    0
}

fn spawn_once() -> Result<Took> {
    let name = |text: &'static std::ffi::CStr| text.as_ptr().cast_mut();
    let arguments = [
        name(c"connscope"),
        name(super::WORKER_C),
        name(NOTHING),
        ptr::null_mut(),
    ];
    let environment = [ptr::null_mut()];
    let mut pid = 0;
    let begun = Stopwatch::Wall.begin();
    // SAFETY: both lists end with a null pointer, and their strings are static.
    let error = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            c"/proc/self/exe".as_ptr(),
            ptr::null(),
            ptr::null(),
            arguments.as_ptr(),
            environment.as_ptr(),
        )
    };
    let took = Stopwatch::Wall.end(begun);
    if error != 0 {
        let error = io::Error::from_raw_os_error(error);
        bail!("cannot spawn: {}", crate::errors::in_words(&error));
    }
    wait(pid)?;
    Ok(took)
}

/// Waits for a child that ends by itself; `pid` as fork returned it.
fn created(pid: libc::pid_t) -> Result<()> {
    if pid < 0 {
        let error = io::Error::last_os_error();
        bail!(
            "cannot create a process: {}",
            crate::errors::in_words(&error)
        );
    }
    wait(pid)
}
