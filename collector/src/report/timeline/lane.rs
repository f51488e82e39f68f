//! One task of a timeline.

use super::{Mark, State, Summary, reason};
use crate::snapshot::{
    Totals,
    timeline::{Gap, Left, Switch},
};

/// What a task had done at some moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    running_ns: u64,
    runnable_ns: u64,
    blocked_ns: u64,
    arrivals: u64,
}

impl Known {
    pub(super) fn of(totals: &Totals) -> Self {
        Self {
            running_ns: totals.running_ns,
            runnable_ns: totals.runnable_ns,
            blocked_ns: totals.blocked_ns.iter().sum(),
            arrivals: totals.arrivals,
        }
    }

    pub(super) fn at(switch: &Switch) -> Self {
        Self {
            running_ns: switch.running_ns,
            runnable_ns: switch.runnable_ns,
            blocked_ns: switch.blocked_ns,
            arrivals: switch.arrivals,
        }
    }

    pub(super) fn lived(&self) -> u64 {
        self.running_ns
            .saturating_add(self.runnable_ns)
            .saturating_add(self.blocked_ns)
    }
}

/// What it did between two moments, in this order if it did not switch between them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent {
    blocked_ns: u64,
    runnable_ns: u64,
    running_ns: u64,
}

impl Spent {
    /// A state under way is read by a clock that may lag a little, so it may have been taken for longer than it was.
    pub(super) fn between(from: &Known, to: &Known) -> Self {
        Self {
            blocked_ns: to.blocked_ns.saturating_sub(from.blocked_ns),
            runnable_ns: to.runnable_ns.saturating_sub(from.runnable_ns),
            running_ns: to.running_ns.saturating_sub(from.running_ns),
        }
    }

    fn all_ns(&self) -> u64 {
        self.blocked_ns
            .saturating_add(self.runnable_ns)
            .saturating_add(self.running_ns)
    }
}

/// A task, as far as it is drawn.
pub(super) struct Lane {
    number: u32,
    /// What it is in snapshots: thread id and time of creation.
    pub(super) key: (u32, u64),
    /// It is in the snapshots that opened the window.
    pub(super) in_first: bool,
    /// What it had done at the last moment that is known.
    pub(super) known: Known,
    /// When that was, if it was a switch in the window.
    known_ns: Option<u64>,
    /// What it sleeps on, or slept on last.
    pub(super) reason: Option<u8>,
    /// Where it was last.
    pub(super) cpu: u32,
    /// No signal wakes it.
    uninterruptible: bool,
    /// Created in the window, and not seen on a CPU yet.
    pub(super) newborn: bool,
    /// What was drawn last.
    state: Option<(State, u64)>,
}

impl Lane {
    pub(super) fn new(number: u32, key: (u32, u64)) -> Self {
        Self {
            number,
            key,
            in_first: false,
            known: Known::default(),
            known_ns: None,
            reason: None,
            cpu: 0,
            uninterruptible: false,
            newborn: false,
            state: None,
        }
    }

    /// Draws what it did until it left its CPU.
    pub(super) fn draw(
        &mut self,
        it: &Switch,
        now: Known,
        summary: &mut Summary,
        marks: &mut Vec<Mark>,
    ) {
        let spent = Spent::between(&self.known, &now);
        let mut from_ns = it.at_ns.saturating_sub(spent.all_ns());
        if let Some(known_ns) = self.known_ns {
            summary.unexplained_ns += from_ns.abs_diff(known_ns);
            from_ns = from_ns.max(known_ns);
        }
        let arrivals = now.arrivals.saturating_sub(self.known.arrivals);
        if arrivals > 1 {
            let missing = arrivals - 1;
            summary.missing += missing;
            self.not_recorded(from_ns, it.at_ns, missing, marks);
        } else {
            self.stretch(from_ns, spent, marks);
        }
        summary.switches += 1;
        if let Some(Gap { ns, own_ns }) = it.gap
            && arrivals <= 1
        {
            summary.gaps += 1;
            marks.push(Mark::Gap {
                cpu: it.cpu,
                at_ns: it.at_ns.saturating_sub(spent.running_ns),
                ns,
                own_ns,
            });
        }
        self.known = now;
        self.known_ns = Some(it.at_ns);
        self.uninterruptible = it.left == Left::Uninterruptible;
        let left = match it.left {
            Left::Runnable => State::Runnable,
            Left::Asleep => State::Asleep,
            Left::Uninterruptible => State::Uninterruptible,
            Left::Ended => State::Ended,
        };
        self.state(left, it.at_ns, marks);
    }

    /// Draws what it did until the last snapshot came to it, a moment after others; nothing is known of it from there on.
    pub(super) fn draw_to_end(&mut self, spent: Spent, end_ns: u64, marks: &mut Vec<Mark>) {
        let from_ns = match self.known_ns {
            Some(known_ns) => known_ns,
            None => end_ns.saturating_sub(spent.all_ns()),
        };
        self.stretch(from_ns, spent, marks);
        let end_ns = from_ns.saturating_add(spent.all_ns());
        self.state(State::NotRecorded, end_ns, marks);
    }

    /// Nothing is known of it from here on.
    pub(super) fn lose_sight(&mut self, marks: &mut Vec<Mark>) {
        if let Some(known_ns) = self.known_ns {
            self.state(State::NotRecorded, known_ns, marks);
        }
    }

    fn sleeping(&self) -> State {
        match self.uninterruptible {
            true => State::Uninterruptible,
            false => State::Asleep,
        }
    }

    /// Asleep, then waiting, then on a CPU.
    fn stretch(&mut self, from_ns: u64, spent: Spent, marks: &mut Vec<Mark>) {
        let awake_ns = from_ns.saturating_add(spent.blocked_ns);
        let arrived_ns = awake_ns.saturating_add(spent.runnable_ns);
        if spent.blocked_ns > 0 {
            self.state(self.sleeping(), from_ns, marks);
            marks.push(Mark::Slept {
                lane: self.number,
                from_ns,
                to_ns: awake_ns,
                reason: reason(self.reason),
            });
        }
        if spent.runnable_ns > 0 {
            self.state(State::Runnable, awake_ns, marks);
        }
        if spent.running_ns > 0 {
            self.state(State::Running(self.cpu), arrived_ns, marks);
            if std::mem::take(&mut self.newborn) {
                marks.push(Mark::FirstRun {
                    lane: self.number,
                    from_ns: arrived_ns,
                    to_ns: arrived_ns.saturating_add(spent.running_ns),
                });
            }
        }
    }

    fn not_recorded(&mut self, from_ns: u64, to_ns: u64, switches: u64, marks: &mut Vec<Mark>) {
        self.newborn = false;
        self.state(State::NotRecorded, from_ns, marks);
        marks.push(Mark::NotRecorded {
            lane: self.number,
            from_ns,
            to_ns,
            switches,
        });
    }

    /// From that moment on it is at that. Readers take two states of one moment for an error: so the later one begins a
    /// nanosecond later.
    fn state(&mut self, state: State, at_ns: u64, marks: &mut Vec<Mark>) {
        let at_ns = match self.state {
            Some((before, _)) if before == state => return,
            Some((_, before_ns)) => at_ns.max(before_ns + 1),
            None => at_ns,
        };
        self.state = Some((state, at_ns));
        marks.push(Mark::State {
            lane: self.number,
            at_ns,
            state,
        });
    }
}
