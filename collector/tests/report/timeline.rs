//! Timelines of tasks whose lives are known: what is drawn is what they did, and sums to what reports say.

use std::collections::BTreeMap;

use connscope::export::pftrace::Writer;
use connscope::report::timeline::{Summary, Timeline};
use connscope::snapshot::timeline::{
    Begun, Creation, Ended, Events, Left, Part, Shootdown, Standing, Switch, Task as Named,
};
use connscope::snapshot::{Loss, REASONS, Role, Run, Snapshot, State, Task, Totals};

use super::around::Numbers;
use super::pftrace::{
    self, ASLEEP, DEAD, DESTROYED, NOT_RECORDED, RUNNABLE, RUNNING, Trace, UNINTERRUPTIBLE,
};
use super::records::{read, written};
use super::sample::{self, attach};
use connscope::record::{Entry, Reader};

const FROM: u64 = 50_000_000_000;
const TO: u64 = 52_000_000_000;
const PTHREAD: u64 = 0x003d_0f00;

/// One turn of a task: asleep, waiting for a CPU, on it.
#[derive(Clone, Copy)]
struct Turn {
    blocked: u64,
    reason: u8,
    runnable: u64,
    running: u64,
}

/// The life of a task from when it is first watched.
struct Life {
    tid: u32,
    from: u64,
    turns: Vec<Turn>,
    ends: bool,
}

impl Life {
    /// Turns of random length, one after another until the time is over.
    fn random(tid: u32, from: u64, to: u64, numbers: &mut Numbers) -> Self {
        let mut life = Self {
            tid,
            from,
            turns: Vec::new(),
            ends: false,
        };
        let mut now = from;
        while now < to {
            let sleeps = numbers.unit() < 0.7;
            let turn = Turn {
                blocked: if sleeps { numbers.exponential(3e6) } else { 0 },
                reason: (numbers.unit() * REASONS.len() as f64) as u8,
                runnable: if numbers.unit() < 0.8 {
                    numbers.exponential(4e5)
                } else {
                    0
                },
                running: 1 + numbers.exponential(1e6),
            };
            now += turn.blocked + turn.runnable + turn.running;
            life.turns.push(turn);
        }
        life
    }

    /// What it had done by then, as the books have it, and what it was at.
    fn at(&self, now: u64) -> (Totals, State) {
        let mut totals = Totals::default();
        let mut left = now.saturating_sub(self.from);
        for turn in &self.turns {
            let mut part = |whole: u64| {
                let part = left.min(whole);
                left -= part;
                (part, part < whole)
            };
            let (blocked, asleep) = part(turn.blocked);
            totals.blocked_ns[usize::from(turn.reason)] += blocked;
            if asleep {
                return (totals, State::Blocked);
            }
            let (runnable, waits) = part(turn.runnable);
            totals.runnable_ns += runnable;
            if waits {
                return (totals, State::Runnable);
            }
            let (running, runs) = part(turn.running);
            totals.arrivals += 1;
            totals.running_ns += running;
            if runs {
                return (totals, State::Running);
            }
        }
        (totals, State::Blocked)
    }

    fn end(&self) -> u64 {
        let turns = self.turns.iter();
        self.from
            + turns
                .map(|it| it.blocked + it.runnable + it.running)
                .sum::<u64>()
    }

    fn switches(&self) -> Vec<Switch> {
        let mut now = self.from;
        let mut done = Switch::default();
        let next = self.turns.iter().skip(1).map(Some).chain([None]);
        let turns = self.turns.iter().zip(next);
        turns
            .map(|(turn, next)| {
                now += turn.blocked + turn.runnable + turn.running;
                let sleeps = next.is_some_and(|next| next.blocked > 0);
                let left = match next {
                    None if self.ends => Left::Ended,
                    _ if sleeps && turn.reason == 5 => Left::Uninterruptible,
                    _ if sleeps => Left::Asleep,
                    _ => Left::Runnable,
                };
                done = Switch {
                    task: self.tid,
                    cpu: self.tid % 4,
                    at_ns: now,
                    running_ns: done.running_ns + turn.running,
                    runnable_ns: done.runnable_ns + turn.runnable,
                    blocked_ns: done.blocked_ns + turn.blocked,
                    arrivals: done.arrivals + 1,
                    left,
                    reason: next.filter(|_| sleeps).map(|next| next.reason),
                    gap: Some((700, 100)),
                };
                done
            })
            .collect()
    }

    fn named(&self) -> Named {
        Named {
            number: self.tid,
            pid: 100,
            tid: self.tid,
            started_ns: self.from,
            target: 0,
            role: "thread".into(),
            comm: "worker".into(),
        }
    }
}

fn snapshot(lives: &[Life], at_ns: u64, lost: u64) -> Snapshot {
    let mut role = Role {
        name: "thread".to_owned(),
        ..Role::default()
    };
    for life in lives.iter().filter(|life| life.from <= at_ns) {
        let (totals, state) = life.at(at_ns);
        if life.ends && life.end() <= at_ns {
            continue;
        }
        role.tasks.push(Task {
            pid: 100,
            tid: life.tid,
            started_ns: life.from,
            comm: "worker".into(),
            state,
            totals,
            ..Task::default()
        });
    }
    Snapshot {
        at_ns,
        roles: vec![role],
        losses: vec![Loss {
            probe: "timeline".to_owned(),
            what: "events".to_owned(),
            count: lost,
        }],
        ..Snapshot::default()
    }
}

/// A crowd: some there from the beginning, one watched in the middle of its life, one that ends, one that sleeps all
/// the time, one created in the window.
fn crowd() -> Vec<Life> {
    let mut numbers = Numbers(7);
    let mut lives: Vec<Life> = (1..=6)
        .map(|tid| Life::random(tid, FROM - 300_000_000, TO + 9_000_000, &mut numbers))
        .collect();
    lives.push(Life::random(
        7,
        FROM + 400_000_000,
        TO + 9_000_000,
        &mut numbers,
    ));
    let ends = Life::random(8, FROM - 50_000_000, FROM + 900_000_000, &mut numbers);
    lives.push(Life { ends: true, ..ends });
    let sleeper = Turn {
        blocked: 5_000_000_000,
        reason: 1,
        runnable: 0,
        running: 1,
    };
    lives.push(Life {
        tid: 9,
        from: FROM - 300_000_000,
        turns: vec![sleeper],
        ends: false,
    });
    let mut child = Life::random(10, FROM + 700_000_000, TO + 9_000_000, &mut numbers);
    child.turns[0].blocked = 0;
    lives.push(child);
    lives
}

/// As `record --timeline` keeps it: events in parts, those near the end behind the last snapshot.
fn entries(lives: &[Life], is_lost: impl Fn(&Switch) -> bool) -> Vec<Entry> {
    let watched = Run {
        name: "a server".to_owned(),
        ..attach().runs.remove(0)
    };
    let mut switches: Vec<Switch> = lives.iter().flat_map(Life::switches).collect();
    switches.sort_by_key(|it| it.at_ns);
    let lost = switches.iter().filter(|it| is_lost(it)).count() as u64;
    switches.retain(|it| it.at_ns > FROM - 20_000_000 && !is_lost(it));
    let late = switches.split_off(switches.partition_point(|it| it.at_ns < TO - 30_000_000));
    let old = |life: &&Life| life.from < FROM;
    let standing = lives.iter().filter(old).map(|life| Standing {
        task: life.tid,
        cpu: life.tid % 4,
        // That of the sleep under way, or the last one, before the first switch that is recorded.
        reason: life.turns[life.at(FROM - 20_000_000).0.arrivals as usize % life.turns.len()]
            .reason,
    });
    let first = Events {
        tasks: lives.iter().filter(old).map(Life::named).collect(),
        standing: standing.collect(),
        ..Events::default()
    };
    let newcomers = lives.iter().filter(|life| life.from >= FROM);
    let mut parts = vec![Events {
        tasks: newcomers.map(Life::named).collect(),
        creations: vec![Creation {
            creator: 1,
            task: 10,
            at_ns: FROM + 699_990_000,
            clone_flags: PTHREAD,
            io_worker: false,
        }],
        shootdowns: vec![Shootdown {
            task: 2,
            at_ns: FROM + 5_000_000,
            cpu: 2,
            sent: true,
            pages: Some(3),
        }],
        ..Events::default()
    }];
    parts.extend(switches.chunks(50).map(|part| Events {
        switches: part.to_vec(),
        ..Events::default()
    }));
    let event = |events| Entry::Timeline(Part::Events(events));
    let begun = Begun {
        at_ns: FROM - 1_000,
        boottime_ns: FROM + 5,
        realtime_ns: 1_700_000_000_000_000_000,
    };
    let mut entries = vec![
        super::records::origin(&sample::recording("record", Vec::new())),
        Entry::Watched(vec![watched]),
        Entry::Timeline(Part::Begun(begun)),
        event(first),
        Entry::Snapshots(vec![snapshot(lives, FROM, 0)]),
    ];
    entries.extend(parts.into_iter().map(event));
    entries.extend([
        Entry::Timeline(Part::Closing),
        Entry::Snapshots(vec![snapshot(lives, TO, lost)]),
        event(Events {
            switches: late,
            ..Events::default()
        }),
        Entry::Timeline(Part::Ended(Ended::default())),
    ]);
    entries
}

fn drawn(entries: &[Entry]) -> (Trace, Summary) {
    let mut timeline = Timeline::default();
    let mut writer = Writer::begin(Vec::new());
    // By way of a file, as it comes.
    for entry in Reader::begin(&written(entries)[..]).unwrap() {
        let marks = match entry.unwrap() {
            Entry::Watched(targets) => {
                timeline.targets(&targets);
                continue;
            }
            Entry::Snapshots(snapshots) => timeline.snapshots(&snapshots),
            Entry::Timeline(part) => timeline.part(&part),
            _ => continue,
        };
        writer.put(&marks).unwrap();
    }
    let (marks, summary) = timeline.end();
    writer.put(&marks).unwrap();
    (pftrace::read(&writer.finish().unwrap()), summary)
}

/// Of a thread: running, runnable, blocked, and blocked by reason.
fn expected(life: &Life) -> (u64, u64, [u64; REASONS.len()]) {
    let (before, after) = (life.at(FROM).0, life.at(TO).0);
    let mut blocked = after.blocked_ns;
    for (after, before) in blocked.iter_mut().zip(before.blocked_ns) {
        *after -= before;
    }
    (
        after.running_ns - before.running_ns,
        after.runnable_ns - before.runnable_ns,
        blocked,
    )
}

/// States of one moment are a nanosecond apart.
#[track_caller]
fn assert_near(what: &str, seen: u64, expected: u64, switches: usize) {
    assert!(
        seen.abs_diff(expected) <= 3 * switches as u64,
        "{what}: {seen}, not {expected}"
    );
}

#[track_caller]
fn assert_sums(trace: &Trace, life: &Life) {
    let tid = u64::from(life.tid);
    let states = trace.time_in_state(tid, TO);
    let of = |state: u64| states.get(&state).copied().unwrap_or(0);
    let (running, runnable, blocked) = expected(life);
    let turns = life.turns.len();
    assert_near(&format!("running of {tid}"), of(RUNNING), running, turns);
    assert_near(&format!("runnable of {tid}"), of(RUNNABLE), runnable, turns);
    let asleep = of(ASLEEP) + of(UNINTERRUPTIBLE);
    assert_near(
        &format!("asleep of {tid}"),
        asleep,
        blocked.iter().sum(),
        turns,
    );
    for (place, reason) in REASONS.iter().enumerate() {
        let seen = trace.time_of(tid, reason);
        assert_near(&format!("{reason} of {tid}"), seen, blocked[place], turns);
    }
}

#[test]
fn what_is_drawn_sums_to_what_the_snapshots_differ_by() {
    let lives = crowd();
    let (trace, summary) = drawn(&entries(&lives, |_| false));
    assert_eq!(trace.window(), (FROM, TO));
    for life in &lives {
        assert_sums(&trace, life);
    }
    assert_eq!(
        (summary.lost, summary.missing, summary.unexplained_ns),
        (0, 0, 0)
    );
    assert_eq!((summary.tasks, summary.early), (lives.len() as u64, None));
    let switched = lives.iter().flat_map(Life::switches);
    let within = switched
        .filter(|it| it.at_ns > FROM && it.at_ns <= TO)
        .count() as u64;
    assert_eq!(summary.switches, within);
    assert_eq!(trace.named("switch").len() as u64, summary.gaps);
    assert!(
        trace
            .named("switch")
            .iter()
            .all(|it| it.to_ns - it.from_ns == 600)
    );
    // The one that ended is gone for good, and its time with it.
    let ended = &trace.states[&8];
    let states: Vec<u64> = ended[ended.len() - 2..].iter().map(|it| it.state).collect();
    assert_eq!(states, [DEAD, DESTROYED]);
    assert_eq!(trace.processes[&100], "worker (a server, thread)");
}

#[test]
fn who_was_created_begins_where_the_arrow_ends() {
    let (trace, summary) = drawn(&entries(&crowd(), |_| false));
    let (created, first) = (trace.named("thread"), trace.named("first run"));
    let ([created], [first]) = (&created[..], &first[..]) else {
        panic!("{created:?}, {first:?}");
    };
    assert_eq!((summary.creations, created.flows.len()), (1, 1));
    assert_eq!(created.flows, first.ending_flows);
    assert_eq!(trace.tid_of(created.track), Some(1));
    assert_eq!(trace.tid_of(first.track), Some(10));
    assert!(created.from_ns < first.from_ns && first.from_ns < first.to_ns);
    let runs = trace.states[&10].iter().find(|it| it.state == RUNNING);
    assert_eq!(runs.unwrap().at_ns, first.from_ns);
    let sent = trace.named("TLB shootdown sent");
    assert_eq!((sent.len(), sent[0].notes["pages"]), (1, 3));
}

/// What is not recorded is shown as such, counted, and in nobody's time.
#[test]
fn switches_that_are_lost_leave_a_gap_and_nothing_wrong() {
    let lives = crowd();
    let lost =
        |it: &Switch| it.task == 3 && (FROM + 500_000_000..FROM + 600_000_000).contains(&it.at_ns);
    let all = lives[2].switches();
    let dropped: Vec<&Switch> = all.iter().filter(|it| lost(it)).collect();
    let after = all
        .iter()
        .find(|it| it.at_ns > dropped[dropped.len() - 1].at_ns);
    let before = all.iter().rfind(|it| it.at_ns < dropped[0].at_ns);
    let (trace, summary) = drawn(&entries(&lives, lost));
    let many = dropped.len() as u64;
    assert!(many > 5, "{many}");
    assert_eq!((summary.missing, summary.lost), (many, many));
    let gap = trace.named("not recorded");
    assert_eq!(gap.len(), 1);
    assert_eq!(gap[0].notes["switches not recorded"], many);
    let (from, to) = (before.unwrap().at_ns, after.unwrap().at_ns);
    assert_eq!((gap[0].from_ns, gap[0].to_ns), (from, to));
    let states = trace.time_in_state(3, TO);
    assert_near("not told apart", states[&NOT_RECORDED], to - from, 2);
    assert_eq!(states.values().sum::<u64>(), TO - trace.states[&3][0].at_ns);
    for life in lives.iter().filter(|life| life.tid != 3) {
        assert_sums(&trace, life);
    }
    assert_eq!(
        trace.named("timeline ends")[0].notes["switches missing"],
        many
    );
}

/// Who wrote it was killed: it is drawn as far as it goes.
#[test]
fn a_timeline_that_is_cut_off_is_drawn_as_far_as_it_goes() {
    let mut entries = entries(&crowd(), |_| false);
    let closing = entries
        .iter()
        .position(|it| matches!(it, Entry::Timeline(Part::Closing)));
    entries.truncate(closing.unwrap());
    let (trace, summary) = drawn(&entries);
    assert_eq!(summary.early.as_deref(), Some("the record ends early"));
    assert!(summary.switches > 1_000, "{}", summary.switches);
    let ends = trace.named("timeline ends")[0].notes["ended early"];
    assert_eq!(ends, u64::MAX, "in words");
    let expected: BTreeMap<u64, usize> = crowd().iter().map(|it| (it.tid.into(), 1)).collect();
    assert!(trace.states.len() + 1 >= expected.len());
}

#[test]
fn records_hold_timelines_and_reports_do_not_mind() {
    let mut with = entries(&crowd(), |_| false);
    let record = read(&written(&with)).unwrap();
    with.retain(|it| !matches!(it, Entry::Timeline(_)));
    let without = read(&written(&with)).unwrap();
    let runs = |record: connscope::record::Record| match record.content {
        connscope::record::Content::Recording(it) => format!("{:?}", it.runs),
        other => panic!("{other:?}"),
    };
    assert_eq!(runs(record), runs(without));
}
