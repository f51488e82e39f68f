//! Creation of threads: by the library, and by the system call below it.

use super::{
    mapping::{Mapping, PAGE, Pages, resident_bytes},
    stopwatch::{Stopwatch, Took},
    worker::{Bench, Variant},
};
use crate::errors::in_words;
use anyhow::{Result, bail};
use rustix::thread::futex;
use std::{
    ffi::{c_int, c_void},
    io, mem, ptr,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Stack of a bare thread, which does nothing.
const STACK: usize = 64 << 10;
/// Where what the process holds should not matter: a fork would take ten times as long with it.
const HELD: usize = 20_000_000;
/// Threads created after that has changed, until one is timed.
const UNTIMED: usize = 30;
/// Without and with it.
const HOLDING: [&str; 2] = [
    "pthread_create returns, 20 MB given back",
    "pthread_create returns, holding 20 MB",
];

/// `pthread_create(3)` with default attributes, also of a process with memory of its own, and the bare `clone(2)` of a
/// thread.
pub(crate) fn thread_create(bench: &mut Bench) -> Result<()> {
    let (thread, wall) = (Stopwatch::of_thread(), Stopwatch::Wall);
    let variants = [
        ("pthread_create returns", &thread),
        ("until the thread runs", &wall),
        ("until it has been joined", &wall),
    ];
    for (figure, (name, stopwatch)) in variants.into_iter().enumerate() {
        let once = || Ok(create_once(stopwatch)?[figure]);
        bench.tell(Variant::new(name), bench.budget.singles(stopwatch, once)?)?;
    }
    let stack = Mapping::new(STACK, Pages::Small)?;
    let sampled = bench
        .budget
        .singles(&thread, || clone_once(&thread, &stack))?;
    bench.tell(Variant::new("bare clone returns"), sampled)?;
    with_memory(bench, &thread)
}

/// In turn of a process that holds memory and of the same that has given it back. Threads are created untimed before, so
/// that what has just been touched or given back is no more in the CPU's caches or among the free pages taken first.
fn with_memory(bench: &Bench, thread: &Stopwatch) -> Result<()> {
    let memory = Mapping::new(HELD, Pages::Small)?;
    let mut resident = [0; HOLDING.len()];
    let once = |holding: usize| {
        memory.touch_all(PAGE);
        if holding == 0 {
            memory.forget()?;
        }
        resident[holding] = resident_bytes()?;
        for _ in 0..UNTIMED {
            create_once(thread)?;
        }
        Ok(create_once(thread)?[0])
    };
    let sampled = bench.budget.singles_in_turn(thread, HOLDING.len(), once)?;
    for ((name, resident), sampled) in HOLDING.into_iter().zip(resident).zip(sampled) {
        let variant = Variant::new(name).with("resident_bytes", resident as f64);
        bench.tell(variant, sampled)?;
    }
    Ok(())
}

/// What a new thread needs to say when it runs.
struct Birth {
    begun: Instant,
    first_run_ns: AtomicU64,
}

/// Times since the call of `pthread_create`: until it returned, until the thread ran, until it was
/// joined.
fn create_once(stopwatch: &Stopwatch) -> Result<[Took; 3]> {
    let mut thread = mem::MaybeUninit::<libc::pthread_t>::uninit();
    let begun = stopwatch.begin();
    let birth = Birth {
        begun: Instant::now(),
        first_run_ns: AtomicU64::new(0),
    };
    let argument = (&raw const birth).cast_mut().cast();
    // SAFETY: `birth` lives until the thread is joined, below.
    let error =
        unsafe { libc::pthread_create(thread.as_mut_ptr(), ptr::null(), say_first_run, argument) };
    let call = stopwatch.end(begun);
    if error != 0 {
        let error = io::Error::from_raw_os_error(error);
        bail!("cannot create a thread: {}", in_words(&error));
    }
    // SAFETY: it was created, and is joined once.
    unsafe { libc::pthread_join(thread.assume_init(), ptr::null_mut()) };
    let first_run = Duration::from_nanos(birth.first_run_ns.load(Ordering::Acquire));
    Ok([call, Took::of(first_run), stopwatch.end(begun)])
}

extern "C" fn say_first_run(birth: *mut c_void) -> *mut c_void {
    // SAFETY: whoever created this thread keeps it until the thread is joined.
    let birth = unsafe { &*birth.cast::<Birth>() };
    let first_run_ns = birth.begun.elapsed().as_nanos() as u64;
    birth.first_run_ns.store(first_run_ns, Ordering::Release);
    ptr::null_mut()
}

/// A thread that ends at once and has no storage of its own: it must not use any.
fn clone_once(stopwatch: &Stopwatch, stack: &Mapping) -> Result<Took> {
    let flags = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM
        | libc::CLONE_CHILD_CLEARTID;
    const ALIVE: u32 = 1;
    let alive = AtomicU32::new(ALIVE);
    let nothing = ptr::null_mut::<c_void>();
    let begun = stopwatch.begin();
    // SAFETY: the thread has the stack for itself until `alive` says it ended, which we wait for.
    let tid = unsafe {
        let end = stack.end().cast();
        libc::clone(
            end_at_once,
            end,
            flags,
            nothing,
            nothing,
            nothing,
            alive.as_ptr(),
        )
    };
    let took = stopwatch.end(begun);
    if tid < 0 {
        bail!("cannot clone: {}", in_words(&io::Error::last_os_error()));
    }
    // The kernel clears it and wakes us, by a futex that is not private.
    while alive.load(Ordering::Acquire) == ALIVE {
        let _ = futex::wait(&alive, futex::Flags::empty(), ALIVE, None);
    }
    Ok(took)
}

extern "C" fn end_at_once(_: *mut c_void) -> c_int {
    0
}
