//! Stacks: all the time of the tasks is in them, whatever happens to the stacks themselves.

#[path = "support/workload.rs"]
mod workload;

use probe_ebpf::{
    Assignment, Watch,
    sample::Totals,
    stack_sample::{StackCount, StackId, StackLosses, StackOf, StackOptions, TakenStacks},
};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};
use workload::*;

/// Of the workload.
const TIME: Duration = Duration::from_secs(2);

fn busy_for(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// Tasks that run, sleep, wait for a lock and for a CPU, and such that come and go, on all CPUs.
fn crowded() -> Workload {
    Workload::new(|| {
        let lock = Arc::new(Mutex::new(()));
        crowd(6, TIME, move |number, until| {
            while Instant::now() < until {
                match number % 4 {
                    0 => busy_for(Duration::from_millis(5)),
                    1 => {
                        thread::sleep(Duration::from_micros(500));
                        busy_for(Duration::from_micros(100));
                    }
                    2 => {
                        let _held = lock.lock();
                        thread::sleep(Duration::from_millis(2));
                    }
                    _ => {
                        let short = thread::spawn(|| busy_for(Duration::from_millis(3)));
                        short.join().expect("it ends");
                    }
                }
            }
        })
    })
}

/// What was seen, and what the books say.
struct Seen {
    counts: Vec<StackCount>,
    kept: HashSet<u64>,
    losses: StackLosses,
    /// Of the time within that in which stacks were taken, of the same, and of all around it.
    within: Totals,
    books: Totals,
    around: Totals,
}

impl Seen {
    fn add(&mut self, taken: TakenStacks) {
        self.counts.extend(taken.counts);
        self.kept
            .extend(taken.stacks.iter().map(|(number, _)| *number));
        self.losses = taken.losses;
    }

    fn time(&self, of: impl Fn(&StackCount) -> bool) -> u64 {
        let counts = self.counts.iter().filter(|count| of(count));
        counts.map(|count| count.asleep_ns + count.waiting_ns).sum()
    }
}

fn watched(options: &StackOptions) -> Seen {
    let mut workload = crowded();
    let mut watch: Watch = watch_books(workload.pid);
    watch.load_stacks(options).expect("the programs load");
    workload.start();
    thread::sleep(Duration::from_millis(200));
    let read = |watch: &mut Watch| {
        let sample = watch.read().expect("read");
        assert_eq!(lost(&sample), 0, "{:?}", sample.losses);
        sum(&sample)
    };
    let mut taken = Vec::new();
    let before = read(&mut watch);
    watch.begin_stacks().expect("they are attached");
    let first = read(&mut watch);
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(300));
        taken.push(watch.take_stacks().expect("read"));
    }
    let last = read(&mut watch);
    taken.push(watch.end_stacks().expect("read"));
    let after = read(&mut watch);
    let mut seen = Seen {
        counts: Vec::new(),
        kept: HashSet::new(),
        losses: StackLosses::default(),
        within: since(last, &first),
        books: since(after, &first),
        around: since(after, &before),
    };
    taken.into_iter().for_each(|taken| seen.add(taken));
    seen
}

fn since(after: Totals, before: &Totals) -> Totals {
    let mut grown = Totals {
        cpu: after.cpu - before.cpu,
        running: after.running - before.running,
        runnable: after.runnable - before.runnable,
        ..after
    };
    let blocked = grown.blocked.iter_mut().zip(before.blocked);
    blocked.for_each(|(after, before)| *after -= before);
    grown
}

/// Time off a CPU is that of the books: what the one has seen between two programs, the other saw too. On an emulated
/// CPU it takes a good part of the time to read them.
#[track_caller]
fn assert_all_time(seen: &Seen) {
    let assert_of_books = |what, of: fn(&StackCount) -> u64, books: fn(&Totals) -> u64, share| {
        let sum = seen.counts.iter().map(of).sum::<u64>() as f64;
        let (least, most) = (books(&seen.within) as f64, books(&seen.around) as f64);
        assert!(
            sum >= 0.99 * least && sum <= 1.01 * most,
            "{what}: {sum} is not in {least} to {most}"
        );
        if !emulated() {
            assert_near(what, sum, books(&seen.books) as f64, share);
        }
    };
    assert_of_books("asleep", |it| it.asleep_ns, Totals::all_blocked, 0.02);
    assert_of_books("waiting", |it| it.waiting_ns, |it| it.runnable, 0.03);
    let losses = seen.losses;
    assert_eq!(losses.sleeps + losses.tasks + losses.order, 0, "{losses:?}");
}

#[test]
fn all_stacks_of_all_time() {
    let options = StackOptions {
        budget_hz: 0,
        ..StackOptions::default()
    };
    let seen = watched(&options);
    assert_all_time(&seen);
    assert_eq!(seen.losses, StackLosses::default());
    let on_cpu = |count: &&StackCount| count.of == StackOf::OnCpu;
    let samples: u64 = seen.counts.iter().filter(on_cpu).map(|it| it.times).sum();
    let sampled = samples * options.period_ns();
    if !emulated() {
        // A count of samples has a standard deviation of its root.
        let allowed = 0.03 + 3.0 / (samples as f64).sqrt();
        // A clock that the hypervisor holds up ticks less, and not as much less as is charged.
        let (least, most) = (seen.books.cpu as f64, seen.books.running as f64);
        let sampled = sampled as f64;
        assert!(
            sampled >= least * (1.0 - allowed) && sampled <= most * (1.0 + allowed),
            "{sampled} ns sampled, {least} to {most} by the books"
        );
    }
    for count in &seen.counts {
        match count.stack {
            StackId::Taken(number) => assert!(seen.kept.contains(&number), "{count:?}"),
            StackId::Before | StackId::New => {}
            _ => panic!("{count:?}"),
        }
    }
    // All but what was under way as it began, and the waits of tasks that were new.
    let with_stack = seen.time(|count| matches!(count.stack, StackId::Taken(_)));
    let all = seen.time(|_| true);
    assert!(
        with_stack as f64 > 0.7 * all as f64,
        "{with_stack} of {all}"
    );
}

#[test]
fn beyond_the_budget_the_time_alone_is_known() {
    let options = StackOptions {
        budget_hz: 50,
        ..StackOptions::default()
    };
    let seen = watched(&options);
    assert_all_time(&seen);
    let is_taken = |count: &&StackCount| {
        count.of != StackOf::OnCpu && matches!(count.stack, StackId::Taken(_))
    };
    let taken: u64 = seen.counts.iter().filter(is_taken).map(|it| it.times).sum();
    let cpus = thread::available_parallelism().expect("known").get() as f64;
    let most = cpus * (64.0 + 50.0 * 2.0 * TIME.as_secs_f64());
    assert!(taken > 0 && (taken as f64) < most, "{taken} stacks, {most}");
    // An emulated machine may do less than that.
    let over = seen.time(|count| count.stack == StackId::OverBudget);
    assert!(over > 0 || emulated(), "{:?}", seen.counts);
}

#[test]
fn stacks_without_room_are_counted_and_their_time_is_kept() {
    let options = StackOptions {
        budget_hz: 0,
        room: 1,
        ..StackOptions::default()
    };
    let seen = watched(&options);
    assert_all_time(&seen);
    assert!(seen.losses.stacks > 0, "{:?}", seen.losses);
    let lost = seen.time(|count| count.stack == StackId::Lost);
    assert!(lost > 0, "{:?}", seen.counts);
    // At most one for each reading.
    assert!(seen.kept.len() <= 6, "{:?}", seen.kept);
}

/// A process that sleeps as it comes to the watch, and goes on sleeping: it never leaves a CPU.
#[test]
fn the_time_of_tasks_that_are_added_later_counts_from_then_on() {
    let [first, later] = [(); 2].map(|()| Workload::new(|| || {}));
    let mut watch = watch_books(first.pid);
    watch
        .load_stacks(&StackOptions::default())
        .expect("the programs load");
    watch.begin_stacks().expect("they are attached");
    thread::sleep(Duration::from_millis(300));
    let group = THREAD as u32;
    let later = Assignment {
        pid: later.pid,
        main_group: group,
        thread_group: group,
        process_group: group,
        unsettled: false,
    };
    watch.add(later).expect("it is there");
    thread::sleep(TIME);
    let sample = watch.read().expect("read");
    let taken = watch.end_stacks().expect("read");
    let books: u64 = sample.groups[THREAD]
        .tasks
        .iter()
        .map(|task| task.totals.all_blocked())
        .sum();
    assert_near("books", books as f64, TIME.as_nanos() as f64, 0.05);
    let counts = taken.counts.iter().filter(|count| count.group == group);
    let asleep: u64 = counts.map(|count| count.asleep_ns).sum();
    assert_near("asleep", asleep as f64, books as f64, 0.02);
    assert_eq!(taken.losses, StackLosses::default());
}

/// A task that was created under watch and has had no CPU when it ends.
#[test]
fn the_wait_of_a_task_that_has_not_run_yet_counts() {
    let mut workload = Workload::new(|| {
        pin(0);
        move || {
            thread::spawn(|| busy_for(10 * TIME));
            // SAFETY: it only asks.
            let parent = unsafe { libc::getpid() };
            for _ in 0..10 {
                // Behind the other, which wants all of the CPU.
                // SAFETY: the child runs nothing but this.
                let child = unsafe { libc::fork() };
                if child == 0 {
                    // SAFETY: it only asks.
                    while unsafe { libc::getppid() } == parent {}
                    // SAFETY: ends the child.
                    unsafe { libc::_exit(0) };
                }
                let idle = libc::sched_param { sched_priority: 0 };
                // SAFETY: a child of this process.
                unsafe { libc::sched_setscheduler(child, libc::SCHED_IDLE, &raw const idle) };
            }
        }
    });
    let mut watch = watch_books(workload.pid);
    watch
        .load_stacks(&StackOptions {
            budget_hz: 0,
            ..StackOptions::default()
        })
        .expect("the programs load");
    watch.begin_stacks().expect("they are attached");
    let first = sum(&watch.read().expect("read"));
    workload.start();
    thread::sleep(Duration::from_millis(300));
    let sample = watch.read().expect("read");
    let taken = watch.end_stacks().expect("read");
    let after = watch.read().expect("read");
    let books = |sample| since(sum(sample), &first).runnable as f64;
    let (least, most) = (books(&sample), books(&after));
    assert!(least > 1e9, "{least} ns waited by ten children");
    let waited: u64 = taken.counts.iter().map(|count| count.waiting_ns).sum();
    // They go on waiting, ten at once, between the readings.
    assert!(
        waited as f64 >= 0.99 * least && waited as f64 <= 1.01 * most,
        "{waited} is not in {least} to {most}"
    );
}
