//! Tasks whose life is not simple: watched while they run, renamed by exec, in each other's way.

#[path = "support/workload.rs"]
mod workload;

use probe_ebpf::sample::{Loss, Sample, TaskSample};
use std::{thread, time::Duration};
use workload::*;

fn of_task(sample: &Sample, tid: u32) -> &TaskSample {
    tasks(sample)
        .find(|task| task.tid == tid)
        .expect("the task is watched")
}

#[test]
fn a_task_on_its_cpu_when_first_watched() {
    let mut workload = Workload::new(|| || burn(Duration::from_millis(1_500)));
    workload.start();
    thread::sleep(Duration::from_millis(300));
    let mut watch = watch_books(workload.pid);
    let stolen = count_stolen();
    let first = watch.read().expect("read");
    workload.finish();
    thread::sleep(Duration::from_secs(2));
    let last = watch.read().expect("read");
    let stolen = stolen();
    let (first, last) = (of_task(&first, workload.pid), of_task(&last, workload.pid));
    let running = (last.totals.running - first.totals.running) as f64;
    let blocked = (last.totals.all_blocked() - first.totals.all_blocked()) as f64;
    let cpu = (last.totals.cpu - first.totals.cpu) as f64;
    assert!(blocked > 1.9e9, "{blocked} ns asleep of 2 s");
    // Stamps of the running task are up to a tick old in the first sample; it is on its CPU, and not
    // charged for it, while the hypervisor has that.
    assert!(
        (running - cpu).abs() < 0.05 * cpu + 10e6 + stolen,
        "{running} ns on a CPU, {cpu} ns charged, {stolen} ns stolen"
    );
}

/// `de_thread()` gives the thread that calls exec the pid of its process.
#[test]
fn an_exec_from_a_thread_stays_watched() {
    let mut workload = Workload::new(|| {
        || {
            let count = sized(300_000);
            let script =
                format!("i=0; while [ $i -lt {count} ]; do i=$((i+1)); done; sleep 100; true");
            let script = std::ffi::CString::new(script).expect("no null in it");
            let exec = move || {
                let arguments = [
                    c"sh".as_ptr(),
                    c"-c".as_ptr(),
                    script.as_ptr(),
                    std::ptr::null(),
                ];
                // SAFETY: the arguments are C strings, and the list of them ends with a null.
                unsafe { libc::execv(c"/bin/sh".as_ptr(), arguments.as_ptr()) };
            };
            thread::spawn(exec).join().expect("exec replaces us");
        }
    });
    let mut watch = watch_books(workload.pid);
    workload.start();
    thread::sleep(Duration::from_millis(300));
    let (sample, kernel) = at_rest(workload.pid, &mut watch);
    // The thread was created under watch, so all the kernel charges it is ours.
    let seen = of_task(&sample, workload.pid).totals;
    let kernel = kernel[&workload.pid];
    assert!(
        kernel.run_ns > 50_000_000,
        "the shell counted for {} ns only",
        kernel.run_ns
    );
    assert_eq!(seen.cpu, kernel.run_ns);
    assert_wait(&sample, workload.pid, seen.runnable, kernel.wait_ns);
    assert_eq!(seen.arrivals, kernel.arrivals);
    assert_eq!(
        (seen.voluntary, seen.involuntary),
        (kernel.voluntary, kernel.involuntary)
    );
    assert!(
        !sample.groups[CHILD].tasks.is_empty(),
        "what it forks is watched too"
    );
    // The exec may end the main thread before it is back from pthread_create: a call without an end.
    let of_its_caller = |loss: &&Loss| loss.probe == "creation_latency";
    let never_returned: u64 = (sample.losses.iter().filter(of_its_caller))
        .map(|loss| loss.count)
        .sum();
    assert!(never_returned <= 1, "{:?}", sample.losses);
    assert_eq!(lost(&sample), never_returned, "{:?}", sample.losses);
}

/// Forks a child with a pid of our choice (needs CAP_CHECKPOINT_RESTORE); `None` if that is taken.
fn fork_as(pid: i32) -> Option<i32> {
    #[repr(C, align(8))]
    #[derive(Default)]
    struct CloneArgs {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
        set_tid: u64,
        set_tid_size: u64,
        cgroup: u64,
    }
    let arguments = CloneArgs {
        exit_signal: libc::SIGCHLD as u64,
        set_tid: std::ptr::from_ref(&pid) as u64,
        set_tid_size: 1,
        ..CloneArgs::default()
    };
    // SAFETY: a plain fork by another name; the structure outlives the call.
    let made = unsafe { libc::syscall(libc::SYS_clone3, &arguments, size_of::<CloneArgs>()) };
    (made >= 0).then_some(made as i32)
}

/// Runs, sleeps, and ends or stays until its parent ends.
fn live(ends: bool) -> ! {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .expect("prctl");
    burn_cpu(Duration::from_millis(100));
    thread::sleep(Duration::from_millis(300));
    if ends {
        // SAFETY: ends this process.
        unsafe { libc::_exit(0) };
    }
    loop {
        thread::park();
    }
}

/// Two tasks whose pids tell the same place of the array: one of them has its entry in its storage. The
/// upper halves of the pairs end, the lower ones stay.
#[test]
fn tasks_that_share_a_place() {
    const PLACES: i32 = 16_384;
    const PAIRS: usize = 4;
    let mut workload = Workload::new(|| {
        || {
            let mut ending = Vec::new();
            for low in 5_000..PLACES - 1 {
                let pair = [low, low + PLACES].map(|pid| {
                    let forked = fork_as(pid);
                    if forked == Some(0) {
                        live(pid > PLACES);
                    }
                    forked
                });
                // Where others have one of the two pids, there is no pair.
                ending.extend(pair[0].and(pair[1]));
                if ending.len() == PAIRS {
                    break;
                }
            }
            assert_eq!(ending.len(), PAIRS, "there are {PAIRS} free pairs of pids");
            for pid in ending {
                // SAFETY: takes no pointer but null.
                let ended = unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
                assert_eq!(ended, pid);
            }
        }
    });
    let mut watch = watch_books(workload.pid);
    workload.run();
    let (sample, kernel) = at_rest(workload.pid, &mut watch);
    let child = &sample.groups[CHILD];
    assert!(
        child.ended_tasks >= PAIRS as u64,
        "{} children ended",
        child.ended_tasks
    );
    assert!(
        child.tasks.len() >= PAIRS,
        "{} children live",
        child.tasks.len()
    );
    assert!(
        child.ended.cpu >= PAIRS as u64 * 10_000_000,
        "{} ns of the ended",
        child.ended.cpu
    );
    for task in &child.tasks {
        let kernel = kernel[&task.tid];
        assert_eq!(task.totals.cpu, kernel.run_ns);
        assert_wait(&sample, task.tid, task.totals.runnable, kernel.wait_ns);
        assert_eq!(
            (task.totals.voluntary, task.totals.involuntary),
            (kernel.voluntary, kernel.involuntary)
        );
    }
    assert_eq!(lost(&sample), 0, "{:?}", sample.losses);
}
