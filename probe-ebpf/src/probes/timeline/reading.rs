//! Records of the ring, made into events: tasks get numbers in place of their addresses, and one clock.

use crate::{
    abi::{
        self, Plain, group_number, reason, timeline_creation, timeline_kind, timeline_left,
        timeline_shootdown, timeline_switch,
    },
    sample::timeline::{Creation, Events, Gap, Left, Shootdown, Standing, Switch, Task},
};
use std::{borrow::Cow, collections::HashMap, ffi::CStr, mem};

/// A task, as far as records have told of it.
struct Known {
    task: Task,
    /// Of its last switch: the run-queue clock, and all that it had done.
    clock: u64,
    lived: u64,
}

/// What records have said so far.
#[derive(Default)]
pub(super) struct Reading {
    /// By address. One that has ended is no more here.
    tasks: HashMap<u64, Known>,
    numbered: u32,
    /// `CLOCK_MONOTONIC` less the run-queue clock, as the timeline began: the two may drift apart.
    offset: i64,
    /// The same, as of the last batch in which there was a switch; for stamps that are not the scheduler's.
    offset_now: i64,
    events: Events,
    /// Stamps of the batch, by `CLOCK_MONOTONIC` so far, and how far that is ahead.
    ahead: Option<i64>,
}

impl Reading {
    /// The two clocks at one instant.
    pub(super) fn begin(&mut self, clock: u64, monotonic: u64) {
        self.offset = monotonic.wrapping_sub(clock) as i64;
        self.offset_now = self.offset;
    }

    /// A record of the ring.
    pub(super) fn record(&mut self, bytes: &[u8]) {
        fn read<T: Plain>(bytes: &[u8], each: impl FnOnce(&T)) {
            if let Some(record) = abi::from_bytes(bytes) {
                each(&record);
            }
        }
        match abi::from_bytes(bytes).map(timeline_kind) {
            Some(timeline_kind::TIMELINE_SWITCH) => read(bytes, |it| self.switch(it)),
            Some(timeline_kind::TIMELINE_CREATION) => read(bytes, |it| self.creation(it)),
            Some(timeline_kind::TIMELINE_SHOOTDOWN) => read(bytes, |it| self.shootdown(it)),
            _ => {}
        }
    }

    /// What is known of a task that has not switched since.
    pub(super) fn standing(&mut self, record: &timeline_switch) {
        let task = self.number_of(record);
        self.events.standing.push(Standing {
            task,
            cpu: record.cpu,
            reason: reason_of(record.reason),
        });
    }

    /// All of it so far.
    pub(super) fn take(&mut self) -> Events {
        if let Some(ahead) = self.ahead.take() {
            self.offset_now = ahead;
        }
        let mut events = mem::take(&mut self.events);
        let shift = self.offset - self.offset_now;
        let shifted = |at: &mut u64| *at = at.wrapping_add_signed(shift);
        events
            .creations
            .iter_mut()
            .for_each(|it| shifted(&mut it.at_ns));
        events
            .shootdowns
            .iter_mut()
            .for_each(|it| shifted(&mut it.at_ns));
        events
    }

    fn switch(&mut self, record: &timeline_switch) {
        let task = self.number_of(record);
        // The stamp is later than the clock's reading: the least difference is the nearest to the truth.
        let ahead = record.at.wrapping_sub(record.clock) as i64;
        self.ahead = Some(self.ahead.map_or(ahead, |least| least.min(ahead)));
        let left = match timeline_left(record.left) {
            timeline_left::LEFT_ASLEEP => Left::Asleep,
            timeline_left::LEFT_UNINTERRUPTIBLE => Left::Uninterruptible,
            timeline_left::LEFT_FOR_GOOD => Left::Ended,
            _ => Left::Runnable,
        };
        let sleeps = matches!(left, Left::Asleep | Left::Uninterruptible);
        self.events.switches.push(Switch {
            task,
            cpu: record.cpu,
            at_ns: record.clock.wrapping_add_signed(self.offset),
            running_ns: record.running,
            runnable_ns: record.runnable,
            blocked_ns: record.blocked,
            arrivals: record.arrivals,
            left,
            reason: sleeps.then(|| reason_of(record.reason)),
            gap: (record.gap_ns > 0).then_some(Gap {
                ns: record.gap_ns,
                own_ns: record.own_ns,
            }),
        });
        if left == Left::Ended {
            self.tasks.remove(&record.task);
        }
    }

    fn creation(&mut self, record: &timeline_creation) {
        // A creator of which nothing was told: its record found no room.
        let Some(creator) = self.tasks.get(&record.creator) else {
            return;
        };
        if record.group == group_number::NO_GROUP.0 {
            return;
        }
        let creator = creator.task.number;
        let task = Task {
            number: self.next_number(),
            pid: record.pid,
            tid: record.tid,
            started_ns: record.started,
            group: record.group,
            comm: comm_of(&record.comm.map(|byte| byte as u8)).into(),
        };
        self.events.creations.push(Creation {
            creator,
            task: task.number,
            at_ns: record.at,
            clone_flags: record.flags,
            io_worker: record.io_worker != 0,
        });
        let (clock, lived) = (0, 0);
        self.know(record.task, Known { task, clock, lived });
    }

    fn next_number(&mut self) -> u32 {
        self.numbered += 1;
        self.numbered
    }

    /// Tells of a new task, which is known from now on.
    fn know(&mut self, address: u64, known: Known) {
        self.events.tasks.push(known.task.clone());
        self.tasks.insert(address, known);
    }

    fn shootdown(&mut self, record: &timeline_shootdown) {
        let Some(known) = self.tasks.get(&record.task) else {
            return;
        };
        self.events.shootdowns.push(Shootdown {
            task: known.task.number,
            at_ns: record.at,
            cpu: record.cpu,
            sent: record.sent != 0,
            pages: (record.pages != u64::MAX).then_some(record.pages),
        });
    }

    /// The number of the task that a record is of. One that is new, or has changed, is told.
    fn number_of(&mut self, record: &timeline_switch) -> u32 {
        let lived = record.running + record.runnable + record.blocked;
        let bytes = record.comm.map(|byte| byte as u8);
        let comm = comm_of(&bytes);
        let same = |known: &&mut Known| {
            known.task.started_ns == record.started
                || known.clock > 0
                    // An exec by a thread: it has the ids and the age of its process from now on, and its own books.
                    && record.clock.wrapping_sub(known.clock) == lived.wrapping_sub(known.lived)
        };
        if let Some(known) = self.tasks.get_mut(&record.task).filter(same) {
            (known.clock, known.lived) = (record.clock, lived);
            if known.renamed(record, &comm) {
                self.events.tasks.push(known.task.clone());
            }
            return known.task.number;
        }
        let number = self.next_number();
        let task = Task {
            number,
            pid: record.pid,
            tid: record.tid,
            started_ns: record.started,
            group: record.group,
            comm: comm.into(),
        };
        let clock = record.clock;
        self.know(record.task, Known { task, clock, lived });
        number
    }
}

impl Known {
    /// Takes over what has changed; says whether anything has.
    fn renamed(&mut self, record: &timeline_switch, comm: &str) -> bool {
        let task = &mut self.task;
        let kept = |now: u32, before: u32| if now == 0 { before } else { now };
        let ids = (kept(record.pid, task.pid), kept(record.tid, task.tid));
        let now = (ids, record.started, record.group, comm);
        if (
            (task.pid, task.tid),
            task.started_ns,
            task.group,
            &*task.comm,
        ) == now
        {
            return false;
        }
        ((task.pid, task.tid), task.started_ns, task.group) = (ids, record.started, record.group);
        task.comm = comm.into();
        true
    }
}

/// What a task sleeps on. What is not known, or stopped in a call, counts as other, as in the books.
fn reason_of(number: u32) -> u8 {
    number.min(reason::REASON_OTHER.0) as u8
}

fn comm_of(bytes: &[u8; 16]) -> Cow<'_, str> {
    CStr::from_bytes_until_nul(bytes)
        .unwrap_or_default()
        .to_string_lossy()
}
