//! As many forks and switches in each second as asked for, evenly: what a busy machine delays is made up
//! for, as far as it can.
#![allow(unreachable_pub)]

use super::workload::{Pair, pin, serve, shared};
use std::{
    collections::VecDeque,
    io::{PipeReader, PipeWriter, Read, Write},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

/// In a second.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    pub forks: u32,
    pub switches: u32,
}

/// What the storm tells, in memory that is shared with its processes.
#[derive(Debug, Default)]
pub struct Told {
    forks: AtomicU64,
    ns: AtomicU64,
    voluntary: AtomicU64,
    involuntary: AtomicU64,
    cpu_us: AtomicU64,
}

/// What the kernel counted of the children waited for, which do not switch any more.
#[derive(Clone, Copy, Debug)]
pub struct Children {
    pub voluntary: u64,
    pub involuntary: u64,
    pub cpu: Duration,
}

impl Told {
    pub fn new() -> &'static Self {
        // SAFETY: a struct of atomic integers alone.
        unsafe { shared() }
    }

    pub fn forks(&self) -> u64 {
        self.forks.load(Relaxed)
    }

    /// How long the storm took.
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.ns.load(Relaxed))
    }

    pub fn children(&self) -> Children {
        Children {
            voluntary: self.voluntary.load(Relaxed),
            involuntary: self.involuntary.load(Relaxed),
            cpu: Duration::from_micros(self.cpu_us.load(Relaxed)),
        }
    }

    fn add_children(&self) {
        let usage = usage(libc::RUSAGE_CHILDREN);
        let us = |time: libc::timeval| (time.tv_sec * 1_000_000 + time.tv_usec) as u64;
        let cpu_us = us(usage.ru_utime) + us(usage.ru_stime);
        self.voluntary.store(usage.ru_nvcsw as u64, Relaxed);
        self.involuntary.store(usage.ru_nivcsw as u64, Relaxed);
        self.cpu_us.store(cpu_us, Relaxed);
    }
}

/// What begins when all are told to, does its work at an even rate, and says when it is done.
struct Part {
    told: &'static Told,
    go: PipeReader,
    done: PipeWriter,
    time: Duration,
}

impl Part {
    /// Does what is due, so many in a second, and says how many that were; never more at once than in
    /// some milliseconds, and what is late as soon as it can.
    fn run(&mut self, rate: u32, mut work: impl FnMut(u64) -> u64) {
        self.go.read_exact(&mut [0]).expect("told to go");
        let begun = Instant::now();
        let (mut elapsed, mut did) = (Duration::ZERO, 0);
        while elapsed < self.time {
            let due = (elapsed.as_secs_f64() * f64::from(rate)) as u64;
            if due > did {
                did += work((due - did).min(u64::from(rate) / 200 + 1));
            } else {
                thread::sleep(Duration::from_millis(1));
            }
            elapsed = begun.elapsed();
        }
        let took = elapsed.as_nanos() as u64;
        self.told.ns.fetch_max(took, Relaxed);
    }

    fn done(mut self) {
        self.done.write_all(b"d").expect("who waits for it");
    }
}

/// Two threads on one CPU that yield it to each other, the least that switches: involuntarily.
fn yielding(cpu: usize, switches: u32, part: impl Fn() -> Part) {
    for mut part in [part(), part()] {
        thread::spawn(move || {
            pin(cpu);
            // Who yields to nobody does not switch.
            let mut last = own_switches();
            part.run(switches / 2, |due| {
                (0..due).for_each(|_| thread::yield_now());
                let now = own_switches();
                now - std::mem::replace(&mut last, now)
            });
            part.done();
            loop {
                thread::park();
            }
        });
    }
}

fn own_switches() -> u64 {
    let usage = usage(libc::RUSAGE_THREAD);
    (usage.ru_nvcsw + usage.ru_nivcsw) as u64
}

fn usage(of: libc::c_int) -> libc::rusage {
    // SAFETY: getrusage fills the structure it is given, of which all zeros is a value.
    unsafe {
        let mut usage = std::mem::zeroed();
        assert_eq!(libc::getrusage(of, &mut usage), 0);
        usage
    }
}

/// Two processes on one CPU, of which one calls the other through pipes; they stay open.
fn calling(cpu: usize, switches: u32, mut part: Part) {
    let pair = Pair::new();
    fork_to(|| {
        pin(cpu);
        serve(pair.far);
    });
    fork_to(|| {
        pin(cpu);
        let (mut from, mut to) = pair.near;
        part.run(switches / 2, |due| {
            for _ in 0..due {
                to.write_all(&[1]).expect("the other end is there");
                from.read_exact(&mut [0]).expect("the other end is there");
            }
            due
        });
        part.done();
        std::mem::forget((from, to));
    });
}

/// Forks a child that stays, until its parent ends.
fn fork_to(body: impl FnOnce()) {
    // SAFETY: the child runs code of this file alone, and does not return.
    if unsafe { libc::fork() } == 0 {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
            .expect("prctl");
        body();
        loop {
            thread::park();
        }
    }
}

fn wait(pid: i32) {
    // SAFETY: a child of ours; takes no pointer but null.
    let waited = unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    assert_eq!(waited, pid);
}

/// Without the C library, whose own work at a fork is several times that of the kernel's least.
fn fork_and_end(told: &Told) -> i32 {
    // SAFETY: a plain fork; the child, on a copy of this stack, makes one system call.
    unsafe {
        let child = libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0);
        if child == 0 {
            libc::syscall(libc::SYS_exit_group, 0);
        }
        assert!(child > 0, "fork: {}", std::io::Error::last_os_error());
        told.forks.fetch_add(1, Relaxed);
        child as i32
    }
}

/// Forks children that end at once. Each is waited for half a second later, when it has made its last
/// switch: then the kernel's account of children is complete.
fn forking(forks: u32, mut part: Part) {
    const LATER: Duration = Duration::from_millis(500);
    let (told, mut children) = (part.told, VecDeque::new());
    part.run(forks, |due| {
        children.extend((0..due).map(|_| (fork_and_end(told), Instant::now())));
        while children.front().is_some_and(|(_, at)| at.elapsed() > LATER) {
            let (pid, _) = children.pop_front().expect("it has a front");
            wait(pid);
        }
        due
    });
    thread::sleep(LATER);
    children.into_iter().for_each(|(pid, _)| wait(pid));
    told.add_children();
    part.done();
}

/// A process that forks on any CPU, and tasks on each of two CPUs that switch to each other.
pub fn storm(told: &'static Told, rates: Rates, time: Duration) -> impl FnOnce() {
    let (go, mut says_go) = std::io::pipe().expect("pipe");
    let (mut done, says_done) = std::io::pipe().expect("pipe");
    let part = || Part {
        told,
        go: go.try_clone().expect("dup"),
        done: says_done.try_clone().expect("dup"),
        time,
    };
    fork_to(|| forking(rates.forks, part()));
    calling(1, rates.switches / 4, part());
    yielding(0, rates.switches / 2, part);
    yielding(1, rates.switches / 4, part);
    move || {
        says_go.write_all(&[1; 6]).expect("who waits for it");
        done.read_exact(&mut [0; 6]).expect("all end");
    }
}
