//! A timeline to be drawn: from the parts of one, and the snapshots at its beginning and its end, to what each task was
//! at and when. It is made as parts come, in memory for the tasks that live.
//!
//! The window is that of the two snapshots. A task's time between two switches is what its books have grown by, in the
//! one order that there is: asleep, waiting for a CPU, on a CPU. What was under way as the window opened counts from
//! then, by the books of the first snapshot, and what was as it closed counts until then, by those of the last. So for
//! each task and state what is drawn sums to what the snapshots differ by, which is what reports say; but for switches
//! that are not recorded, whose time is not told apart.

mod lane;
mod mark;

pub use mark::{Mark, State, Summary, TaskName};

use crate::snapshot::{
    REASONS, Run, Snapshot, Task, Totals,
    timeline::{Creation, Events, Left, Part, Shootdown, Standing, Switch, Task as Named},
};
use lane::{Known, Lane, Spent};
use std::{collections::HashMap, sync::Arc};

/// The probe's name, in losses.
const PROBE: &str = "timeline";
const CLONE_VM: u64 = 0x100;
const CLONE_VFORK: u64 = 0x4000;
const CLONE_THREAD: u64 = 0x10000;

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// There was none so far.
    #[default]
    Before,
    /// The next snapshot opens the window.
    Opening,
    Open,
    /// The next snapshot closes it.
    Closing,
    /// The window is closed; events up to then are still to come.
    Closed,
    Over,
}

/// A task in snapshots.
type Key = (u32, u64);

/// What is known of a timeline so far.
#[derive(Default)]
pub struct Timeline {
    phase: Phase,
    targets: Vec<Arc<str>>,
    lanes: HashMap<u32, Lane>,
    /// Lanes of living tasks, by their number in the record and by what they are in snapshots.
    by_number: HashMap<u32, u32>,
    by_key: HashMap<Key, u32>,
    made: u32,
    /// Tasks in the last snapshot since the window opened, and what they had done.
    last: HashMap<Key, Totals>,
    lost_before: u64,
    summary: Summary,
    marks: Vec<Mark>,
}

impl Timeline {
    /// Whether there is one.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.phase != Phase::Before
    }

    /// Whom it is of.
    pub fn targets(&mut self, targets: &[Run]) {
        self.targets = targets.iter().map(|run| run.name.as_str().into()).collect();
    }

    /// Takes in snapshots of the targets; returns what is to be drawn.
    pub fn snapshots(&mut self, snapshots: &[Snapshot]) -> Vec<Mark> {
        match self.phase {
            Phase::Opening => {
                self.open(snapshots);
                self.phase = Phase::Open;
            }
            Phase::Open => self.note(snapshots),
            Phase::Closing => {
                self.note(snapshots);
                self.phase = Phase::Closed;
            }
            Phase::Before | Phase::Closed | Phase::Over => {}
        }
        std::mem::take(&mut self.marks)
    }

    /// Takes in a part; returns what is to be drawn.
    pub fn part(&mut self, part: &Part) -> Vec<Mark> {
        match part {
            Part::Begun(begun) if self.phase == Phase::Before => {
                self.marks.push(Mark::Begins(*begun));
                self.phase = Phase::Opening;
            }
            Part::Events(events) => self.events(events),
            Part::Closing if self.phase == Phase::Open => self.phase = Phase::Closing,
            Part::Ended(ended)
                if matches!(self.phase, Phase::Open | Phase::Closing | Phase::Closed) =>
            {
                self.summary.early.clone_from(&ended.early);
                self.close();
            }
            Part::Begun(_) | Part::Closing | Part::Ended(_) => {}
        }
        std::mem::take(&mut self.marks)
    }

    /// The record ends; returns what is still to be drawn, and what the timeline held. Of one that ends early it closes
    /// with the last snapshot that is there.
    #[must_use]
    pub fn end(mut self) -> (Vec<Mark>, Summary) {
        if matches!(self.phase, Phase::Open | Phase::Closing | Phase::Closed) {
            self.summary.early = Some("the record ends early".to_owned());
            self.close();
        }
        (self.marks, self.summary)
    }

    fn open(&mut self, snapshots: &[Snapshot]) {
        let at_ns = snapshots.first().map_or(0, |snapshot| snapshot.at_ns);
        (self.summary.from_ns, self.summary.to_ns) = (at_ns, at_ns);
        self.lost_before = lost(snapshots);
        for (target, snapshot) in snapshots.iter().enumerate() {
            for role in &snapshot.roles {
                for task in &role.tasks {
                    let lane = self.lane_in_snapshot(task, target, &role.name);
                    self.lanes.entry(lane).and_modify(|it| {
                        it.known = Known::of(&task.totals);
                        it.in_first = true;
                    });
                }
            }
        }
        self.note(snapshots);
    }

    /// Keeps what the tasks had done until now.
    fn note(&mut self, snapshots: &[Snapshot]) {
        self.summary.to_ns = snapshots.first().map_or(0, |snapshot| snapshot.at_ns);
        self.summary.lost = lost(snapshots).saturating_sub(self.lost_before);
        let roles = snapshots.iter().flat_map(|snapshot| &snapshot.roles);
        let tasks = roles.flat_map(|role| &role.tasks);
        self.last = tasks
            .map(|task| ((task.tid, task.started_ns), task.totals))
            .collect();
    }

    fn lane_in_snapshot(&mut self, task: &Task, target: usize, role: &str) -> u32 {
        if let Some(lane) = self.by_key.get(&(task.tid, task.started_ns)) {
            return *lane;
        }
        self.new_lane(Named {
            number: 0,
            pid: task.pid,
            tid: task.tid,
            started_ns: task.started_ns,
            target: target as u32,
            role: role.into(),
            comm: task.comm.clone(),
        })
    }

    fn new_lane(&mut self, task: Named) -> u32 {
        self.made += 1;
        let lane = self.made;
        self.summary.tasks += 1;
        let target = self.targets.get(task.target as usize).cloned();
        self.marks.push(Mark::Task(TaskName {
            lane,
            pid: task.pid,
            tid: task.tid,
            comm: task.comm,
            target: target.unwrap_or_else(|| "".into()),
            role: task.role,
        }));
        let key = (task.tid, task.started_ns);
        self.by_key.insert(key, lane);
        self.lanes.insert(lane, Lane::new(lane, key));
        lane
    }

    fn events(&mut self, events: &Events) {
        if matches!(self.phase, Phase::Before | Phase::Over) {
            return;
        }
        events.tasks.iter().for_each(|task| self.task(task));
        events.creations.iter().for_each(|it| self.creation(it));
        events.switches.iter().for_each(|it| self.switch(it));
        events.standing.iter().for_each(|it| self.standing(it));
        events.shootdowns.iter().for_each(|it| self.shootdown(it));
    }

    fn task(&mut self, task: &Named) {
        let key = (task.tid, task.started_ns);
        let known = self.by_number.get(&task.number).or(self.by_key.get(&key));
        let lane = match known {
            Some(lane) => *lane,
            None => self.new_lane(task.clone()),
        };
        self.by_number.insert(task.number, lane);
        // An exec by a thread gives it the ids of its process.
        if let Some(it) = self.lanes.get_mut(&lane)
            && it.key != key
        {
            self.by_key.remove(&it.key);
            self.by_key.insert(key, lane);
            it.key = key;
        }
    }

    fn standing(&mut self, it: &Standing) {
        if let Some(lane) = self.lane_of(it.task) {
            lane.cpu = it.cpu;
            lane.reason.get_or_insert(it.reason);
        }
    }

    fn lane_of(&mut self, number: u32) -> Option<&mut Lane> {
        self.lanes.get_mut(self.by_number.get(&number)?)
    }

    /// Whether that is within the window. After it has closed some events are yet to come that are not.
    fn is_within(&self, at_ns: u64) -> bool {
        let closed = self.phase == Phase::Closed && at_ns > self.summary.to_ns;
        self.phase != Phase::Opening && !closed && at_ns >= self.summary.from_ns
    }

    fn creation(&mut self, it: &Creation) {
        let lanes = (
            self.by_number.get(&it.creator),
            self.by_number.get(&it.task),
        );
        let (Some(&lane), Some(&child)) = lanes else {
            return;
        };
        if !self.is_within(it.at_ns) {
            return;
        }
        self.summary.creations += 1;
        self.marks.push(Mark::Created {
            lane,
            child,
            at_ns: it.at_ns,
            how: how(it),
        });
        self.lanes.entry(child).and_modify(|it| it.newborn = true);
    }

    fn shootdown(&mut self, it: &Shootdown) {
        let Some(&lane) = self.by_number.get(&it.task) else {
            return;
        };
        if !self.is_within(it.at_ns) {
            return;
        }
        self.summary.shootdowns += 1;
        self.marks.push(Mark::Shootdown {
            lane,
            at_ns: it.at_ns,
            sent: it.sent,
            pages: it.pages,
        });
    }

    fn switch(&mut self, it: &Switch) {
        let (phase, last) = (self.phase, &self.last);
        let Some(&number) = self.by_number.get(&it.task) else {
            return;
        };
        let Some(lane) = self.lanes.get_mut(&number) else {
            return;
        };
        let now = Known::at(it);
        // It ended before the first snapshot had come to it, which has it among those that have ended.
        let began_ns = it.at_ns.saturating_sub(now.lived());
        if !lane.in_first && phase != Phase::Opening && began_ns < self.summary.from_ns {
            return;
        }
        let opened = matches!(phase, Phase::Open | Phase::Closing | Phase::Closed);
        let after_close = phase == Phase::Closed
            && match last.get(&lane.key) {
                Some(totals) => now.lived() > Known::of(totals).lived(),
                None => it.at_ns > self.summary.to_ns,
            };
        if !after_close && opened && now.lived() > lane.known.lived() {
            lane.cpu = it.cpu;
            lane.draw(it, now, &mut self.summary, &mut self.marks);
        }
        if !after_close {
            lane.reason = it.reason;
        }
        // Its next record would be another task's.
        if it.left == Left::Ended && !after_close {
            let key = lane.key;
            self.lanes.remove(&number);
            self.by_number.remove(&it.task);
            self.by_key.remove(&key);
        }
    }

    /// Draws what is under way as the window closes.
    fn close(&mut self) {
        let mut numbers: Vec<u32> = self.lanes.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            let Some(lane) = self.lanes.get_mut(&number) else {
                continue;
            };
            let end_ns = self.summary.to_ns;
            match self.last.get(&lane.key) {
                Some(totals) => {
                    let spent = Spent::between(&lane.known, &Known::of(totals));
                    lane.draw_to_end(spent, end_ns, &mut self.marks);
                }
                // Its end is among what is not recorded; or it was created after the window.
                None => lane.lose_sight(&mut self.marks),
            }
        }
        self.phase = Phase::Over;
        self.marks.push(Mark::Ends(self.summary.clone()));
    }
}

/// What the kernel half lost.
fn lost(snapshots: &[Snapshot]) -> u64 {
    let losses = snapshots.first().into_iter().flat_map(|it| &it.losses);
    let ours = losses.filter(|loss| loss.probe == PROBE);
    ours.map(|loss| loss.count).sum()
}

/// By the flags of clone(2).
fn how(it: &Creation) -> &'static str {
    match it.clone_flags {
        _ if it.io_worker => "io_uring worker",
        flags if flags & CLONE_THREAD != 0 => "thread",
        flags if flags & CLONE_VFORK != 0 => "vfork",
        flags if flags & CLONE_VM != 0 => "clone with memory shared",
        _ => "fork",
    }
}

/// What a sleep is on, by its place among the reasons; one that a later version knows is another.
fn reason(place: Option<u8>) -> &'static str {
    let place = place.map(usize::from);
    place
        .and_then(|place| REASONS.get(place))
        .unwrap_or(&"other")
}
