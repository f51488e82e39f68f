//! The books of every task equal the kernel's own, and time is conserved.

#[path = "support/workload.rs"]
mod workload;

use probe_ebpf::sample::{REASONS, Sample, Totals};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};
use workload::*;

/// A watch, and the kernel's view of the moment it began: no task switched meanwhile.
fn watch_at_rest(workload: &Workload) -> (BTreeMap<u32, Kernel>, probe_ebpf::Watch) {
    for _ in 0..100 {
        let earlier = kernel_view(workload.pid);
        let watch = watch_books(workload.pid);
        if earlier == kernel_view(workload.pid) {
            return (earlier, watch);
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("the workload does not come to rest");
}

/// Sum and count of what was seen equal the growth of the kernel's counters exactly.
#[track_caller]
fn assert_equals_kernel(
    workload: &Workload,
    before: &BTreeMap<u32, Kernel>,
    watch: &mut probe_ebpf::Watch,
) {
    let (sample, after) = at_rest(workload.pid, watch);
    let (mut unseen, mut with_sleep) = (0, 0);
    for task in tasks(&sample) {
        let grown = after[&task.tid].since(before.get(&task.tid).copied().unwrap_or_default());
        let totals = task.totals;
        assert_eq!(
            totals.voluntary, grown.voluntary,
            "voluntary switches of {}",
            task.tid
        );
        assert_eq!(
            totals.involuntary, grown.involuntary,
            "involuntary switches of {}",
            task.tid
        );
        assert_wait(&sample, task.tid, totals.runnable, grown.wait_ns);
        with_sleep += u64::from(totals.runnable != grown.wait_ns);
        assert_eq!(totals.cpu, grown.run_ns, "CPU time of {}", task.tid);
        assert_eq!(totals.arrivals, grown.arrivals, "arrivals of {}", task.tid);
        unseen += totals.unseen;
    }
    assert_eq!(tasks(&sample).count(), after.len(), "every task is watched");
    let (count, wait) = all(&sample, |group| &group.run_queue_wait);
    let unknown = unknown_waits(&sample);
    eprintln!("{unknown} waits unknown, of {count}; the kernel's hold sleep of {with_sleep} tasks");
    assert!(with_sleep <= unknown, "{with_sleep} tasks, {unknown} waits");
    assert_eq!(
        count + unseen + unknown,
        sum(&sample).arrivals,
        "samples of run-queue wait"
    );
    assert_eq!(
        wait,
        sum(&sample).runnable,
        "sum of the run-queue wait histogram"
    );
    assert_eq!(unseen, 0, "switches no tracepoint showed, of {count}");
    // A task that is moved to another run queue without a sleep is on none for a moment.
    let sleeps: u64 = REASONS
        .iter()
        .enumerate()
        .map(|(reason, _)| all(&sample, |group| &group.blocked[reason]).0)
        .sum();
    let voluntary = sum(&sample).voluntary;
    assert!(
        sleeps <= voluntary,
        "{sleeps} sleeps, {voluntary} voluntary switches"
    );
    assert_eq!(lost(&sample), 0, "{:?}", sample.losses);
}

fn trips() -> u32 {
    sized(100_000)
}

#[test]
fn ping_pong_of_threads_on_one_cpu() {
    let mut workload = ping_pong_of_threads(trips());
    let (before, mut watch) = watch_at_rest(&workload);
    workload.run();
    assert_equals_kernel(&workload, &before, &mut watch);
    let seen = sum(&watch.read().expect("read"));
    assert_near(
        "switches of the ping-pong",
        (seen.voluntary + seen.involuntary) as f64,
        f64::from(2 * trips()),
        0.02,
    );
}

#[test]
fn ping_pong_of_processes_on_one_cpu() {
    let mut workload = ping_pong_of_processes(trips());
    let (before, mut watch) = watch_at_rest(&workload);
    assert_eq!(before.len(), 2);
    workload.run();
    assert_equals_kernel(&workload, &before, &mut watch);
}

/// Six busy and four sleeping tasks, threads and processes mixed, free to move between the CPUs.
fn mixed_crowd() -> impl FnOnce() {
    let work = |busy: usize, sleeping: usize| {
        crowd(
            busy + sleeping,
            Duration::from_secs(5),
            move |number, end| {
                while Instant::now() < end {
                    if number < busy {
                        burn(end.saturating_duration_since(Instant::now()));
                    } else {
                        thread::sleep(Duration::from_micros(300));
                        burn(Duration::from_micros(100));
                    }
                }
            },
        )
    };
    let children: Vec<Workload> = (0..2).map(|_| Workload::new(|| work(1, 1))).collect();
    let own = work(4, 2);
    move || {
        let mut children = children;
        children.iter_mut().for_each(Workload::start);
        own();
        children.iter_mut().for_each(Workload::finish);
        std::mem::forget(children);
    }
}

#[test]
fn an_oversubscribed_crowd_that_migrates() {
    let mut workload = Workload::new(mixed_crowd);
    let (before, mut watch) = watch_at_rest(&workload);
    assert_eq!(before.len(), 13, "ten tasks and three that wait for them");
    let begun = watch.read().expect("read");
    workload.start();
    thread::sleep(Duration::from_secs(3));
    assert_time_is_conserved(&watch.read().expect("read"), &begun);
    workload.finish();
    assert_equals_kernel(&workload, &before, &mut watch);
    assert_time_is_conserved(&watch.read().expect("read"), &begun);
}

/// Each time it forbids itself the CPU it is on: the kernel has to move it, awake or asleep.
#[test]
fn a_task_that_migrates_all_the_time() {
    // SAFETY: one atomic integer.
    let moves: &AtomicU64 = unsafe { shared() };
    let mut workload = Workload::new(|| {
        || {
            let end = Instant::now() + Duration::from_secs(3);
            while Instant::now() < end {
                (0..2).for_each(pin);
                moves.fetch_add(2, Relaxed);
            }
        }
    });
    let (before, mut watch) = watch_at_rest(&workload);
    let begun = watch.read().expect("read");
    workload.run();
    assert_equals_kernel(&workload, &before, &mut watch);
    let sample = watch.read().expect("read");
    assert_time_is_conserved(&sample, &begun);
    let arrivals = sum(&sample).arrivals - sum(&begun).arrivals;
    let moves = moves.load(Relaxed);
    assert!(moves > sized(10_000).into(), "{moves} moves");
    assert!(arrivals >= moves, "{arrivals} of {moves} moves");
}

/// Running, runnable and blocked make up the time between two samples, for each task.
#[track_caller]
fn assert_time_is_conserved(sample: &Sample, begun: &Sample) {
    let life = |totals: &Totals| totals.running + totals.runnable + totals.all_blocked();
    let before: BTreeMap<u32, (u64, u64)> = tasks(begun)
        .map(|task| (task.tid, (task.at_ns, life(&task.totals))))
        .collect();
    for task in tasks(sample) {
        let (at_ns, lived_before) = before[&task.tid];
        let elapsed = (task.at_ns - at_ns) as f64;
        let lived = (life(&task.totals) - lived_before) as f64;
        assert_near(&format!("the life of {}", task.tid), lived, elapsed, 0.001);
    }
}

#[test]
fn three_busy_loops_on_one_cpu() {
    let mut workload = Workload::new(|| {
        pin(1);
        alone_on_the_cpu();
        crowd(3, Duration::from_secs(3), |_, end| {
            burn(end.saturating_duration_since(Instant::now()));
        })
    });
    let (before, mut watch) = watch_at_rest(&workload);
    let stolen = count_stolen();
    workload.run();
    assert_equals_kernel(&workload, &before, &mut watch);
    let stolen = stolen();
    let sample = watch.read().expect("read");
    let after = kernel_view(workload.pid);
    for task in &sample.groups[THREAD].tasks {
        let totals = task.totals;
        let share = totals.runnable as f64 / (totals.runnable + totals.running) as f64;
        assert_near("share of time spent waiting", share, 2.0 / 3.0, 0.02);
        let run = after[&task.tid].since(before[&task.tid]).run_ns as f64;
        let slices = totals.running as f64;
        assert!(
            slices >= run * 0.99 && slices <= run * 1.01 + stolen,
            "slices {slices}, sum_exec_runtime {run}, stolen {stolen}"
        );
    }
}
