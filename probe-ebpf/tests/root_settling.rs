//! Tasks that change to another group: nothing of what they do is lost, or counted in both.

#[path = "support/workload.rs"]
mod workload;

use probe_ebpf::{
    Assignment, GroupRule, Options, Watch,
    sample::{GroupSample, Sample, Totals, add_totals},
};
use std::{collections::BTreeMap, io::Read, time::Duration};
use workload::*;

/// The group that children change to.
const SETTLED: usize = 3;

/// Watches a process whose children are not settled.
fn watch_unsettled(pid: u32) -> Watch {
    let rule = GroupRule {
        thread_group: THREAD as u32,
        process_group: CHILD as u32,
        unsettled: 1,
    };
    let options = Options {
        only: only(&[]),
        ..Options::default()
    };
    let mut watch = Watch::load(&[rule; SETTLED + 1], &options).expect("probes load");
    let process = Assignment {
        pid,
        main_group: MAIN as u32,
        thread_group: THREAD as u32,
        process_group: CHILD as u32,
        unsettled: true,
    };
    watch.add(process).expect("the workload can be watched");
    watch
}

fn settle_children(watch: &mut Watch, which: impl Fn(u32) -> bool) {
    let settled = watch
        .settle(|task| (task.group == CHILD as u32 && which(task.tid)).then_some(SETTLED as u32));
    settled.expect("the kernel is told");
}

/// What the tasks of a group did as tasks of it. Times may be revised by a tick.
fn done(group: &GroupSample) -> Totals {
    let mut sum = group.ended;
    for task in &group.tasks {
        add_totals(&mut sum, &task.totals);
    }
    sum.voluntary -= group.joined.voluntary;
    sum.involuntary -= group.joined.involuntary;
    sum.arrivals -= group.joined.arrivals;
    sum.unseen -= group.joined.unseen;
    sum.cpu -= group.joined.cpu;
    sum
}

fn switches(sample: &Sample, group: usize) -> u64 {
    let done = done(&sample.groups[group]);
    done.voluntary + done.involuntary
}

/// Forks children: each ends at once, or sleeps up to so many times before.
fn fork_sleepers(count: u32, sleeps: u32) {
    for number in 0..count {
        // SAFETY: the child sleeps, and leaves by _exit.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
        if pid == 0 {
            for _ in 0..sleeps * (number % 4) / 3 {
                std::thread::sleep(Duration::from_millis(1));
            }
            // SAFETY: ends the child.
            unsafe { libc::_exit(0) };
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Ended children that wait for their parent, with the switches that the kernel charges each.
fn reap() -> u64 {
    // SAFETY: no pointers are kept; getrusage fills the structure it is given.
    unsafe {
        while libc::wait(std::ptr::null_mut()) > 0 {}
        let mut usage = std::mem::zeroed::<libc::rusage>();
        assert_eq!(libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage), 0);
        (usage.ru_nvcsw + usage.ru_nivcsw) as u64
    }
}

#[test]
fn children_that_change_their_group_while_they_come_and_go() {
    const CHILDREN: u32 = 200;
    let said = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut workload = Workload::new(|| {
        || {
            fork_sleepers(CHILDREN, 150);
            std::thread::sleep(Duration::from_millis(600));
            std::fs::write(said.path(), reap().to_string()).expect("a temporary file");
        }
    });
    let mut watch = watch_unsettled(workload.pid);
    workload.start();
    let mut before = BTreeMap::new();
    let mut in_both = 0;
    for _ in 0..120 {
        let sample = watch.read().expect("read");
        for group in [CHILD, SETTLED] {
            let now = done(&sample.groups[group]);
            let earlier: Totals = before.insert(group, now).unwrap_or_default();
            assert!(
                now.voluntary >= earlier.voluntary,
                "group {group} went back"
            );
            assert!(now.arrivals >= earlier.arrivals, "group {group} went back");
            assert!(now.cpu >= earlier.cpu, "group {group} went back");
        }
        let populated = |group: usize| !sample.groups[group].tasks.is_empty();
        in_both += u32::from(populated(CHILD) && populated(SETTLED));
        // Not as they are read: some have ended by then, and some have run.
        std::thread::sleep(Duration::from_millis(3));
        settle_children(&mut watch, |tid| tid % 3 > 0);
    }
    workload.finish();
    let sample = watch.read().expect("read");
    let groups = [&sample.groups[CHILD], &sample.groups[SETTLED]];
    let ended: u64 = groups.iter().map(|group| group.ended_tasks).sum();
    assert_eq!(ended, CHILDREN.into());
    assert!(
        groups[1].ended_tasks > 30,
        "{} changed",
        groups[1].ended_tasks
    );
    assert!(in_both > 10, "in {in_both} samples only were both there");
    let by_kernel: u64 = std::fs::read_to_string(said.path())
        .expect("said")
        .parse()
        .expect("a number");
    let ours = switches(&sample, CHILD) + switches(&sample, SETTLED);
    assert_eq!(ours, by_kernel, "{:?}", sample.losses);
    // Samples are of the group that had the task then; the run in which a task was told is of either.
    let samples = |group: &GroupSample| group.run_queue_wait.count() + done(group).unseen;
    let (told, unknown) = (groups[1].ended_tasks, unknown_waits(&sample));
    for group in groups {
        let (samples, arrivals) = (samples(group), done(group).arrivals);
        assert!(
            samples.abs_diff(arrivals) <= told + unknown,
            "{samples} samples, {arrivals} arrivals, {unknown} unknown"
        );
    }
    let arrivals: u64 = groups.iter().map(|group| done(group).arrivals).sum();
    let samples: u64 = groups.into_iter().map(samples).sum();
    let without_sample = arrivals - samples;
    assert!(
        without_sample <= unknown,
        "{without_sample}, {unknown} unknown"
    );
}

#[test]
fn one_that_sleeps_is_of_its_new_group_at_once() {
    let mut workload = Workload::new(|| {
        || {
            let (mut reader, writer) = std::io::pipe().expect("pipe");
            // SAFETY: the child waits for a byte that comes when the parent says so, and leaves.
            if unsafe { libc::fork() } == 0 {
                drop(writer);
                let _ = reader.read(&mut [0]);
                std::thread::sleep(Duration::from_millis(20));
                // SAFETY: ends the child.
                unsafe { libc::_exit(0) };
            }
            std::thread::sleep(Duration::from_millis(400));
            drop(writer);
            std::thread::sleep(Duration::from_millis(100));
            reap();
        }
    });
    let mut watch = watch_unsettled(workload.pid);
    workload.start();
    std::thread::sleep(Duration::from_millis(100));
    let asleep = watch.read().expect("read");
    assert_eq!(asleep.groups[CHILD].tasks.len(), 1);
    settle_children(&mut watch, |_| true);
    let told = watch.read().expect("read");
    assert_eq!(
        (
            told.groups[CHILD].tasks.len(),
            told.groups[SETTLED].tasks.len()
        ),
        (0, 1)
    );
    assert_eq!(switches(&told, SETTLED), 0, "it has slept all the time");
    assert_eq!(switches(&told, CHILD), switches(&asleep, CHILD));
    workload.finish();
    let ended = watch.read().expect("read");
    let settled = &ended.groups[SETTLED];
    assert_eq!(
        (ended.groups[CHILD].ended_tasks, settled.ended_tasks),
        (0, 1)
    );
    // It woke, slept, woke and ended: two switches, and the samples of the runs before them.
    assert_eq!(switches(&ended, CHILD), switches(&asleep, CHILD));
    assert_eq!(switches(&ended, SETTLED), settled.run_queue_wait.count());
    assert!(switches(&ended, SETTLED) >= 2);
    assert!(
        watch
            .unsettled()
            .iter()
            .all(|task| task.group != CHILD as u32)
    );
}
