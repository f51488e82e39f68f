//! Tasks whose lives are known, and what a record holds of them.

use super::super::around::Numbers;
use super::super::sample::{self, attach};
use super::{FROM, PTHREAD, TO};
use connscope::record::Entry;
use connscope::snapshot::timeline::{
    Begun, Creation, Ended, Events, Gap, Left, Part, Shootdown, Standing, Switch, Task as Named,
};
use connscope::snapshot::{Loss, REASONS, Role, Run, Snapshot, State, Task, Totals};

/// One turn of a task: asleep, waiting for a CPU, on it.
#[derive(Clone, Copy)]
pub(super) struct Turn {
    pub(super) blocked: u64,
    pub(super) reason: u8,
    pub(super) runnable: u64,
    pub(super) running: u64,
}

/// The life of a task from when it is first watched.
pub(super) struct Life {
    pub(super) tid: u32,
    pub(super) from: u64,
    pub(super) turns: Vec<Turn>,
    pub(super) ends: bool,
}

impl Life {
    /// Turns of random length, one after another until the time is over.
    pub(super) fn random(tid: u32, from: u64, to: u64, numbers: &mut Numbers) -> Self {
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
    pub(super) fn at(&self, now: u64) -> (Totals, State) {
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

    pub(super) fn end(&self) -> u64 {
        let turns = self.turns.iter();
        self.from
            + turns
                .map(|it| it.blocked + it.runnable + it.running)
                .sum::<u64>()
    }

    pub(super) fn switches(&self) -> Vec<Switch> {
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
                    gap: Some(Gap {
                        ns: 700,
                        own_ns: 100,
                    }),
                };
                done
            })
            .collect()
    }

    pub(super) fn named(&self) -> Named {
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

pub(super) fn snapshot(lives: &[Life], at_ns: u64, lost: u64) -> Snapshot {
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
pub(super) fn crowd() -> Vec<Life> {
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
pub(super) fn entries(lives: &[Life], is_lost: impl Fn(&Switch) -> bool) -> Vec<Entry> {
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
        super::super::records::origin(&sample::recording("record", Vec::new())),
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
