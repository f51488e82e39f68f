//! Single events: every switch of every watched task is among them, with what the books say; and what found no room is
//! counted, and is missing where it was.

#[path = "support/workload.rs"]
mod workload;

use probe_ebpf::{
    Assignment, Options, Watch,
    probes::timeline::{NO_ROOM, NOT_BOOKED, ring_bytes},
    sample::{
        REASONS, Sample, Totals,
        timeline::{Events, Left, Switch, Task},
    },
};
use std::{
    collections::{BTreeMap, HashMap},
    process::Command,
    thread,
    time::{Duration, Instant},
};
use workload::*;

/// What was handed over, put together.
#[derive(Default)]
struct Seen {
    tasks: HashMap<u32, Task>,
    switches: HashMap<u32, Vec<Switch>>,
    reasons: HashMap<u32, u8>,
    created: Vec<(u32, u64)>,
    sent: u64,
}

impl Seen {
    fn take(&mut self, watch: &mut Watch) {
        let timeline = watch.timeline().expect("a timeline");
        self.add(timeline.take().expect("it can be read"));
    }

    fn add(&mut self, events: Events) {
        for task in events.tasks {
            self.tasks.insert(task.number, task);
        }
        for it in events.standing {
            self.reasons.entry(it.task).or_insert(it.reason);
        }
        for it in events.switches {
            assert!(self.tasks.contains_key(&it.task), "told of before: {it:?}");
            self.switches.entry(it.task).or_default().push(it);
        }
        let created = events.creations.iter();
        self.created.extend(created.map(|it| (it.task, it.at_ns)));
        self.sent += events.shootdowns.iter().filter(|it| it.sent).count() as u64;
    }

    fn of_tid(&self, tid: u32, started_ns: u64) -> &[Switch] {
        let is_it = |task: &&Task| task.tid == tid && task.started_ns == started_ns;
        let task = self.tasks.values().find(is_it);
        let of_task = task.and_then(|task| self.switches.get(&task.number));
        of_task.map_or(&[], Vec::as_slice)
    }
}

fn begin(watch: &mut Watch, seen: &mut Seen) -> Sample {
    watch
        .timeline()
        .expect("a timeline")
        .begin()
        .expect("it begins");
    seen.take(watch);
    watch.read().expect("read")
}

/// Takes events for so long, as seldom as `connscope record` does.
fn follow(watch: &mut Watch, seen: &mut Seen, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(50));
        seen.take(watch);
    }
}

fn end(watch: &mut Watch, seen: &mut Seen) -> Sample {
    let last = watch.read().expect("read");
    watch.timeline().expect("a timeline").end();
    seen.take(watch);
    last
}

fn loss(sample: &Sample, what: &str) -> u64 {
    let losses = sample.losses.iter().filter(|it| it.what == what);
    losses.map(|it| it.count).sum()
}

fn options(bytes: u32) -> Options {
    let only = only(&["timeline", "tlb"]);
    Options {
        timeline_bytes: Some(bytes),
        only,
        ..Options::default()
    }
}

/// Two that crowd one CPU, one that sleeps on a timer, one that waits for a pipe, one that forks children which end,
/// one that unmaps memory beside the others; not pinned, but for the first two.
fn mixed() -> impl FnOnce() {
    crowd(6, Duration::from_millis(1_500), |number, end| {
        if number < 2 {
            pin(0);
        }
        let (mut reader, mut writer) = std::io::pipe().expect("pipe");
        thread::scope(|scope| {
            if number == 3 {
                scope.spawn(move || {
                    while Instant::now() < end {
                        thread::sleep(Duration::from_millis(3));
                        let _ = std::io::Write::write(&mut writer, b"x");
                    }
                });
            }
            while Instant::now() < end {
                match number {
                    0 | 1 => burn(Duration::from_millis(20)),
                    2 => thread::sleep(Duration::from_micros(700)),
                    3 => drop(std::io::Read::read(&mut reader, &mut [0])),
                    4 => drop(Command::new("true").status().expect("true runs")),
                    _ => {
                        drop(vec![1_u8; 4 << 20]);
                        thread::yield_now();
                    }
                }
            }
        });
    })
}

/// Growth of a task's totals.
fn grown(after: &Totals, before: &Totals) -> Totals {
    let mut grown = *after;
    grown.voluntary -= before.voluntary;
    grown.involuntary -= before.involuntary;
    for (after, before) in grown.blocked.iter_mut().zip(before.blocked) {
        *after = after.saturating_sub(before);
    }
    grown
}

/// Sleeps by reason, by a task's switches between two samples.
fn slept(
    switches: &[Switch],
    reason: Option<u8>,
    before: &Totals,
    after: &Totals,
) -> [u64; REASONS.len()] {
    let mut slept = [0; REASONS.len()];
    let (mut reason, mut so_far) = (reason, before.all_blocked());
    let ends = [(after.all_blocked(), None)];
    let switches = switches.iter().map(|it| (it.blocked_ns, it.reason));
    for (blocked, next) in switches.chain(ends) {
        if blocked > so_far {
            // Moved between run queues without a sleep.
            let other = REASONS.len() as u8 - 1;
            slept[usize::from(reason.unwrap_or(other))] += blocked - so_far;
        }
        (reason, so_far) = (next, blocked);
    }
    slept
}

#[test]
fn every_switch_is_there_with_what_the_books_say() {
    let mut workload = Workload::new(mixed);
    let mut late = Workload::new(|| || burn(Duration::from_millis(900)));
    let mut watch = watch_with(workload.pid, &options(ring_bytes()));
    let mut seen = Seen::default();
    let first = begin(&mut watch, &mut seen);
    workload.start();
    follow(&mut watch, &mut seen, Duration::from_millis(500));
    // In the middle of its life, and of a run on a CPU.
    late.start();
    thread::sleep(Duration::from_millis(100));
    let process = Assignment {
        pid: late.pid,
        main_group: MAIN as u32,
        thread_group: THREAD as u32,
        process_group: CHILD as u32,
        unsettled: false,
    };
    watch.add(process).expect("it can be watched");
    follow(&mut watch, &mut seen, Duration::from_millis(1_300));
    workload.finish();
    late.finish();
    let last = end(&mut watch, &mut seen);
    for what in [NO_ROOM, NOT_BOOKED] {
        assert_eq!(loss(&last, what), 0, "{what}");
    }
    let before: BTreeMap<u32, Totals> = tasks(&first).map(|it| (it.tid, it.totals)).collect();
    let mut drawn = [0; REASONS.len()];
    for task in tasks(&last) {
        let switches = seen.of_tid(task.tid, task.started_ns);
        let before = before.get(&task.tid).copied().unwrap_or_default();
        let grown = grown(&task.totals, &before);
        assert_eq!(
            switches.len() as u64,
            grown.voluntary + grown.involuntary,
            "switches of {} ({})",
            task.tid,
            task.comm
        );
        let number = (seen.tasks.values()).find(|it| it.tid == task.tid);
        let standing = number.and_then(|it| seen.reasons.get(&it.number).copied());
        let slept = slept(switches, standing, &before, &task.totals);
        for (place, reason) in REASONS.iter().enumerate() {
            let (seen, booked) = (slept[place], grown.blocked[place]);
            assert!(
                seen.abs_diff(booked) <= 20_000 + booked / 1000,
                "{reason} of {}: {seen}, in the books {booked}",
                task.comm
            );
            drawn[place] += seen;
        }
    }
    // The clock and the books agree, switch by switch.
    for switches in seen.switches.values() {
        for pair in switches.windows(2) {
            let lived = |it: &Switch| it.running_ns + it.runnable_ns + it.blocked_ns;
            assert_eq!(
                pair[1].at_ns - pair[0].at_ns,
                lived(&pair[1]) - lived(&pair[0]),
                "{pair:?}"
            );
            // None of one that was preempted on its way to sleep: the kernel does not count it.
            assert!(pair[1].arrivals - pair[0].arrivals <= 1, "{pair:?}");
        }
    }
    let reason = |name: &str| drawn[REASONS.iter().position(|it| *it == name).expect("a reason")];
    assert!(reason("timer") > 700_000_000, "{drawn:?}");
    assert!(reason("pipe") > 500_000_000, "{drawn:?}");
    assert!(reason("child") > 100_000_000, "{drawn:?}");
    let (ended, created) = (last.groups[CHILD].ended_tasks, seen.created.len() as u64);
    assert!(ended > 20, "{ended} children ended");
    // And the thread that writes into the pipe.
    assert_eq!(created, ended + 1, "created");
    let gone = seen
        .switches
        .values()
        .flatten()
        .filter(|it| it.left == Left::Ended);
    assert_eq!(gone.count() as u64, ended + 1);
    assert!(seen.sent > 0, "shootdowns");
    let gaps = seen.switches.values().flatten().filter_map(|it| it.gap);
    let mut gaps: Vec<u64> = gaps
        .map(|it| u64::from(it.ns.saturating_sub(it.own_ns)))
        .collect();
    gaps.sort_unstable();
    if watch
        .measures()
        .iter()
        .any(|it| it.method.contains("gaps of switches to tp_btf"))
    {
        let median = gaps[gaps.len() / 2];
        // An emulated CPU takes the time of its emulation.
        let most = if emulated() { 1_000_000 } else { 20_000 };
        assert!((50..most).contains(&median), "{median} ns");
        eprintln!("{} gaps, median {median} ns", gaps.len());
    }
}

/// With next to no room, and nobody who empties it.
#[test]
fn what_finds_no_room_is_counted_and_missing_where_it_was() {
    let trips = sized(2_000);
    let mut workload = Workload::new(|| {
        let pair = Pair::new();
        let far = pair.far;
        thread::spawn(move || serve(far));
        move || call(pair.near, trips)
    });
    let mut watch = watch_with(workload.pid, &options(4096 * 4));
    let mut seen = Seen::default();
    let first = begin(&mut watch, &mut seen);
    workload.run();
    seen.take(&mut watch);
    // There is room again: each has a record behind what is missing.
    thread::sleep(Duration::from_millis(10));
    let last = watch.read().expect("read");
    let lost = loss(&last, NO_ROOM);
    let total = sum(&last).arrivals - sum(&first).arrivals;
    let there: usize = seen.switches.values().map(Vec::len).sum();
    eprintln!("{there} of {total} switches are there, {lost} lost");
    assert!(lost > u64::from(trips), "{lost}");
    assert_eq!(there as u64 + lost, total, "{there} there, {lost} lost");
    drop(workload);
    thread::sleep(Duration::from_millis(50));
    end(&mut watch, &mut seen);
    let mut missing = 0;
    for switches in seen.switches.values() {
        missing += switches
            .windows(2)
            .map(|pair| (pair[1].arrivals - pair[0].arrivals).saturating_sub(1))
            .sum::<u64>();
    }
    assert_eq!(missing, lost);
}

/// Not asked for, it is not there; and where the end of a switch is not seen, nothing is said of how long it takes.
#[test]
fn it_is_there_if_asked_for_only() {
    let mut workload =
        Workload::new(|| || (0..50).for_each(|_| thread::sleep(Duration::from_millis(1))));
    let mut plain = watch_books(workload.pid);
    assert!(plain.timeline().is_none());
    assert!(plain.measures().iter().all(|it| it.name != "timeline"));
    drop(plain);
    let mut watch = watch_with(
        workload.pid,
        &Options {
            without: &["sched_exit_tp"],
            ..options(ring_bytes())
        },
    );
    let mut seen = Seen::default();
    begin(&mut watch, &mut seen);
    workload.run();
    end(&mut watch, &mut seen);
    let switches = seen.of_tid(
        workload.pid,
        seen.tasks.values().next().expect("a task").started_ns,
    );
    assert!(switches.len() >= 50, "{}", switches.len());
    assert!(switches.iter().all(|it| it.gap.is_none()));
    let method = watch
        .measures()
        .into_iter()
        .find(|it| it.name == "timeline");
    assert!(method.expect("a method").method.contains("no gaps"));
}
