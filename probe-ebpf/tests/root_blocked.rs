//! Known waits: each is counted under the right reason, for the time that it took.

#[path = "support/waits.rs"]
mod waits;
#[path = "support/workload.rs"]
mod workload;

use probe_ebpf::sample::{REASONS, Sample, Totals};
use std::{
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use workload::*;

/// A thread that is busy until told to begin, waits, says how long it slept, and is busy again.
fn waiter<Wait: FnOnce() + Send + 'static>(
    prepare: impl FnOnce() -> Wait,
) -> (Workload, std::io::PipeReader) {
    let (result, mut tell) = std::io::pipe().expect("pipe");
    let workload = Workload::new(move || {
        let wait = prepare();
        let begin = Arc::new(AtomicBool::new(false));
        let may_begin = begin.clone();
        let busy = move || {
            while !may_begin.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
            let slept = waits::time_asleep(wait);
            // To another CPU: a sleep is in the histogram when the task next leaves its CPU.
            pin(0);
            pin(1);
            std::io::Write::write_all(&mut tell, &slept.to_ne_bytes()).expect("test is there");
            loop {
                std::hint::spin_loop();
            }
        };
        thread::Builder::new()
            .name("waiter".into())
            .spawn(busy)
            .expect("a thread");
        move || begin.store(true, Ordering::Relaxed)
    });
    (workload, result)
}

fn of_waiter(sample: &Sample) -> Totals {
    let waiter = tasks(sample).find(|task| &*task.comm == "waiter");
    waiter.expect("the waiter is watched").totals
}

/// The wait is under this reason, within 1 %, and nothing to speak of is under any other. By the caller's
/// account it slept while interrupts or the hypervisor had its CPU, by the run queue's it ran. What the
/// hypervisor takes from the task that moves it to another CPU lengthens its sleep there.
#[track_caller]
fn assert_waits_on<Wait: FnOnce() + Send + 'static>(reason: &str, prepare: impl FnOnce() -> Wait) {
    let (mut workload, mut result) = waiter(prepare);
    let mut watch = watch_books(workload.pid);
    let before = of_waiter(&watch.read().expect("read"));
    let stolen = count_stolen();
    workload.start();
    let mut slept = [0; 8];
    result.read_exact(&mut slept).expect("the workload waits");
    let sample = watch.read().expect("read");
    let after = of_waiter(&sample);
    let stolen = stolen();
    let slept = u64::from_ne_bytes(slept) as f64;
    // A switch itself takes milliseconds on an emulated CPU.
    let allowed = if emulated() { 0.05 } else { 0.01 };
    let taken = (after.running - before.running).saturating_sub(after.cpu - before.cpu) as f64;
    for (place, name) in REASONS.iter().enumerate() {
        let seen = (after.blocked[place] - before.blocked[place]) as f64;
        if *name == reason {
            assert!(
                seen <= (1.0 + allowed) * slept && seen >= (1.0 - allowed) * slept - taken,
                "{seen} ns of {slept} blocked on {name}, {taken} taken from its CPU"
            );
            let sleeps = &sample.groups[THREAD].blocked[place];
            assert!(
                sleeps.sum as f64 >= (1.0 - allowed) * slept - taken,
                "histogram of {name}"
            );
        } else {
            assert!(
                seen < allowed * slept + stolen,
                "{seen} ns of {slept} blocked on {name}, not {reason}, {stolen} stolen"
            );
        }
    }
    assert_eq!(lost(&sample), 0, "{:?}", sample.losses);
}

#[test]
fn timers() {
    assert_waits_on("timer", || waits::nanosleep);
    assert_waits_on("timer", waits::timerfd);
}

#[test]
fn locks() {
    assert_waits_on("lock", || waits::futex);
    assert_waits_on("lock", waits::file_lock);
}

#[test]
fn events() {
    assert_waits_on("event_wait", waits::epoll);
    assert_waits_on("event_wait", || waits::poll);
    assert_waits_on("event_wait", waits::eventfd);
}

#[test]
fn semaphores() {
    assert_waits_on("semaphore", || waits::semop);
}

#[test]
fn pipes_and_sockets_behind_the_same_read() {
    assert_waits_on("pipe", waits::pipe);
    assert_waits_on("socket", waits::socket_read);
    assert_waits_on("socket", waits::socket_receive);
    assert_waits_on("socket", waits::accept);
}

/// A process with more descriptors than its first table holds.
#[test]
fn a_pipe_behind_a_large_descriptor() {
    assert_waits_on("pipe", || {
        let other: Vec<_> = (0..300)
            .map(|_| std::fs::File::open("/dev/null").expect("open"))
            .collect();
        let wait = waits::pipe();
        move || {
            wait();
            drop(other);
        }
    });
}

#[test]
fn children() {
    assert_waits_on("child", || waits::child);
}

#[test]
fn io_uring() {
    assert_waits_on("io_uring", || waits::io_uring);
}

#[test]
fn page_faults() {
    assert_waits_on("page_fault", waits::page_fault);
}

/// The virtual machine's only file system is in memory and never waits.
#[test]
fn disk() {
    if !emulated() {
        // A busy machine would keep it off its CPU after each of its hundreds of sleeps.
        ahead_of_others();
        assert_waits_on("disk", waits::fsync);
    }
}

/// A sleep that began before the watch has its reason all the same, from where it was first seen.
#[test]
fn a_sleep_that_began_before_the_watch() {
    let (mut workload, mut result) = waiter(|| || thread::sleep(Duration::from_secs(2)));
    workload.start();
    thread::sleep(waits::TIME);
    let begun = Instant::now();
    let mut watch = watch_books(workload.pid);
    let watched = begun.elapsed();
    result.read_exact(&mut [0; 8]).expect("the workload waits");
    let slept = begun.elapsed();
    let last = of_waiter(&watch.read().expect("read"));
    let timer = REASONS.iter().position(|name| *name == "timer");
    let seen = Duration::from_nanos(last.blocked[timer.expect("a reason")]);
    // It told us when it had got a CPU again.
    let awake = Duration::from_nanos(last.running + last.runnable + last.all_blocked()) - seen;
    assert!(
        seen <= slept && seen + watched + awake >= slept.mul_f64(0.99),
        "{seen:?} of {slept:?}, of which {watched:?} until it was watched"
    );
}
