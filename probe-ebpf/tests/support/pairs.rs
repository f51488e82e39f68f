//! Tasks that pass bytes to each other through pipes.

use super::{Workload, pin};
use std::{
    io::{PipeReader, PipeWriter, Read, Write},
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

/// Passes a byte there and back; both ends see every write of the other.
pub struct Pair {
    pub near: (PipeReader, PipeWriter),
    pub far: (PipeReader, PipeWriter),
}

impl Pair {
    pub fn new() -> Self {
        let (far_reads, near_writes) = std::io::pipe().expect("pipe");
        let (near_reads, far_writes) = std::io::pipe().expect("pipe");
        Self {
            near: (near_reads, near_writes),
            far: (far_reads, far_writes),
        }
    }
}

pub fn serve((mut from, mut to): (PipeReader, PipeWriter)) {
    let mut byte = [0];
    while from.read(&mut byte).unwrap_or(0) == 1 {
        to.write_all(&byte).expect("the other end is there");
    }
}

/// Leaves the pipes open, so that the far end stays as it is.
pub fn call((mut from, mut to): (PipeReader, PipeWriter), trips: u32) {
    let mut byte = [1];
    for _ in 0..trips {
        to.write_all(&byte).expect("the other end is there");
        from.read_exact(&mut byte).expect("the other end is there");
    }
    std::mem::forget((from, to));
}

/// A byte goes to and fro between two threads on one CPU.
pub fn ping_pong_of_threads(trips: u32) -> Workload {
    Workload::new(|| {
        pin(0);
        let pair = Pair::new();
        let far = pair.far;
        std::thread::spawn(move || serve(far));
        move || call(pair.near, trips)
    })
}

/// The same between two processes.
pub fn ping_pong_of_processes(trips: u32) -> Workload {
    Workload::new(|| {
        pin(0);
        let pair = Pair::new();
        // SAFETY: the child runs `serve` alone, and ends with its parent's end of the pipes.
        if unsafe { libc::fork() } == 0 {
            drop(pair.near);
            serve(pair.far);
            // SAFETY: ends the child.
            unsafe { libc::_exit(0) };
        }
        drop(pair.far);
        let near = pair.near;
        move || call(near, trips)
    })
}

/// So many threads that all do their `work`, by their number and until the time that it is given,
/// when the body runs; then they stay.
pub fn crowd(
    threads: usize,
    time: Duration,
    work: impl Fn(usize, Instant) + Clone + Send + 'static,
) -> impl FnOnce() {
    let gate = Arc::new(Barrier::new(threads + 1));
    for number in 0..threads {
        let (gate, work) = (gate.clone(), work.clone());
        thread::spawn(move || {
            gate.wait();
            work(number, Instant::now() + time);
            gate.wait();
            loop {
                thread::park();
            }
        });
    }
    move || {
        gate.wait();
        gate.wait();
    }
}
