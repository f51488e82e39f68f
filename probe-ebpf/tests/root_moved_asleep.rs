//! Since Linux 6.12 a task that goes to sleep may stay on its run queue for a while. Moved to another CPU then, it
//! is taken by the kernel for one that waits, and `sched_info.run_delay` holds its sleep. Ours do not, and say
//! how many waits are not known for it.

#[path = "support/workload.rs"]
mod workload;

use probe_ebpf::{
    Watch,
    sample::{Sample, State, TaskSample},
};
use rustix::{
    process::Pid,
    thread::{CpuSet, sched_setaffinity},
    time::{ClockId, clock_gettime},
};
use std::{
    io::{PipeWriter, Read, Write},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};
use workload::*;

const ROUNDS: usize = 8;
const SLEEP: Duration = Duration::from_millis(300);

/// What the sleeper tells.
struct Told {
    /// Once it wants to sleep: since when, by CLOCK_MONOTONIC.
    asleep_since: AtomicU64,
    /// Rounds that are over.
    rounds: AtomicU64,
}

fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32).as_nanos() as u64
}

/// A process that sleeps in each round on a CPU where it has run more than its share: beside a thread that
/// never sleeps, and with a sixtieth of its weight. The kernel keeps it queued until the thread has caught up.
fn sleeper(told: &'static Told) -> (Workload, PipeWriter) {
    let (mut begin, begin_here) = std::io::pipe().expect("pipe");
    let workload = Workload::new(move || {
        let neighbour = thread::spawn(|| {
            pin(0);
            burn(Duration::MAX / 4);
        });
        std::mem::forget(neighbour);
        rustix::process::setpriority_process(None, 19).expect("anyone may");
        move || {
            while begin.read(&mut [0]).unwrap_or(0) == 1 {
                burn_cpu(Duration::from_millis(2));
                told.asleep_since.store(now(), Relaxed);
                thread::sleep(SLEEP);
                told.asleep_since.store(0, Relaxed);
                told.rounds.fetch_add(1, Relaxed);
            }
        }
    });
    (workload, begin_here)
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("waited a minute: {what}");
}

fn is_asleep(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    stat.rsplit(") ")
        .next()
        .is_some_and(|rest| rest.starts_with('S'))
}

fn move_to(cpu: usize, pid: u32) {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(Pid::from_raw(pid as i32), &set).expect("root may");
}

fn task(sample: &Sample, pid: u32) -> &TaskSample {
    let found = tasks(sample).find(|task| task.tid == pid);
    found.expect("it is watched")
}

/// The sleeper asleep, in one moment of both views. Its neighbour runs on.
fn at_rest(pid: u32, watch: &mut Watch) -> (Sample, Kernel) {
    for _ in 0..1_000 {
        let earlier = Kernel::of(pid, pid);
        let sample = watch.read().expect("read");
        let state = task(&sample, pid).state;
        if is_asleep(pid) && earlier == Kernel::of(pid, pid) && state == State::Blocked {
            return (sample, earlier);
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("process {pid} does not come to rest");
}

/// One round; returns how long the sleep lasted at least after it was moved, or none if that came too late.
fn sleep_and_move(told: &Told, begin: &mut PipeWriter, pid: u32, watch: &mut Watch) -> Option<u64> {
    let rounds = told.rounds.load(Relaxed);
    move_to(0, pid);
    begin.write_all(b"r").expect("the sleeper is there");
    wait_until("it sleeps", || {
        told.asleep_since.load(Relaxed) > 0 && is_asleep(pid) || told.rounds.load(Relaxed) > rounds
    });
    let since = told.asleep_since.load(Relaxed);
    move_to(1, pid);
    let moved = now();
    let sample = watch.read().expect("read");
    let wakes = since + SLEEP.as_nanos() as u64;
    let slept_then = since > 0 && now() < wakes;
    if slept_then {
        assert_eq!(
            task(&sample, pid).state,
            State::Blocked,
            "asleep, if queued"
        );
    }
    wait_until("it wakes", || told.rounds.load(Relaxed) > rounds);
    slept_then.then(|| wakes - moved)
}

fn sleeps_on_the_run_queue() -> bool {
    let btf = std::fs::read("/sys/kernel/btf/vmlinux").expect("BTF");
    let name = b"\0sched_delayed\0";
    btf.windows(name.len()).any(|bytes| bytes == name)
}

#[test]
fn a_sleep_is_no_wait_though_the_kernel_takes_it_for_one() {
    // SAFETY: a struct of atomic integers alone.
    let told: &Told = unsafe { shared() };
    let (mut workload, mut begin) = sleeper(told);
    let pid = workload.pid;
    let mut watch = watch_books(pid);
    workload.start();
    let (first, kernel_first) = at_rest(pid, &mut watch);
    let (mut before, mut kernel_before) = (first.clone(), kernel_first);
    let mut mistaken = 0;
    for round in 0..ROUNDS {
        let slept = sleep_and_move(told, &mut begin, pid, &mut watch);
        let (after, kernel_after) = at_rest(pid, &mut watch);
        let unknown = unknown_waits(&after) - unknown_waits(&before);
        let (ours, earlier) = (task(&after, pid).totals, task(&before, pid).totals);
        let wait = ours.runnable - earlier.runnable;
        let blocked = ours.all_blocked() - earlier.all_blocked();
        let kernels = kernel_after.since(kernel_before);
        eprintln!(
            "round {round}: wait {wait} ns, {unknown} unknown, the kernel's {} ns; slept {blocked} ns, {slept:?} after the move",
            kernels.wait_ns
        );
        let slept = slept.unwrap_or(0);
        assert!(blocked >= slept, "slept {slept} ns, seen {blocked} ns");
        match unknown {
            0 => assert_eq!(wait, kernels.wait_ns),
            _ => assert!(
                kernels.wait_ns >= wait + slept,
                "{wait} and {slept} of {kernels:?}"
            ),
        }
        mistaken += u64::from(unknown > 0 && slept > 0);
        (before, kernel_before) = (after, kernel_after);
    }
    assert_eq!(mistaken > 0, sleeps_on_the_run_queue(), "{mistaken} rounds");
    assert_every_arrival_is_told_of(&before, pid);
    assert_time_is_conserved(&first, &before, pid);
}

/// In a sample or as an unknown wait; the task that runs meanwhile has one to come.
fn assert_every_arrival_is_told_of(sample: &Sample, sleeper: u32) {
    let samples = sample.groups[MAIN].run_queue_wait.count();
    let totals = task(sample, sleeper).totals;
    let unseen = totals.unseen;
    assert_eq!(samples + unseen + unknown_waits(sample), totals.arrivals);
}

fn assert_time_is_conserved(first: &Sample, last: &Sample, pid: u32) {
    let life = |sample| {
        let totals = task(sample, pid).totals;
        (totals.running + totals.runnable + totals.all_blocked()) as f64
    };
    let elapsed = (task(last, pid).at_ns - task(first, pid).at_ns) as f64;
    assert_near("its life", life(last) - life(first), elapsed, 0.001);
}
