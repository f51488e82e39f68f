//! The requests of a load: from falling due over sending to the answer, or to giving up.

use rustix::io::Errno;

use super::{Offer, Phase};
use crate::load::client::{Pending, Received};
use crate::load::workload::Verdict;

/// Arrivals handled before events are looked at again.
const ARRIVALS_PER_TURN: usize = 32;

impl Offer<'_, '_> {
    /// Handles arrivals that are due; whether there are more.
    pub(super) fn arrivals(&mut self) -> bool {
        let Some(schedule) = self.schedule else {
            return false;
        };
        for _ in 0..ARRIVALS_PER_TURN {
            let due = schedule.due_ns(self.next);
            let now = self.plan.clock.now_ns();
            if due > now || !self.is_offered(due) {
                return false;
            }
            if self.in_window(due) {
                self.run.tally.offer(now - due);
            }
            let index = schedule.connection(self.next);
            self.next += 1;
            let client = &mut self.run.clients[index];
            client.due += 1;
            if client.alive && client.pending.is_none() {
                self.send_next(index, now);
            }
        }
        true
    }

    /// Sends the next request of a connection that is owed none. Without a schedule it is due
    /// `now`.
    pub(super) fn send_next(&mut self, index: usize, now: u64) {
        let run = &mut *self.run;
        let client = &mut run.clients[index];
        let (number, due_ns) = match self.schedule {
            Some(schedule) => {
                let arrival = schedule.index(index, client.sent);
                (schedule.number(arrival), schedule.due_ns(arrival))
            }
            None => {
                let turn = client.sent * run.share.connections_of_all() as u64;
                (run.share.number(index) as u64 + turn, now)
            }
        };
        let expected = run.traffic.request(number, &mut run.request);
        client.sent += 1;
        let sent = match self.churns {
            true => run.connect_again(index, now),
            false => client.send(&run.request),
        };
        let client = &mut run.clients[index];
        client.pending = Some(Pending { due_ns, expected });
        if self.outstanding == 0 {
            self.plan.progress(run.share.thread(), now);
        }
        self.outstanding += 1;
        if self.schedule.is_none() && self.in_window(due_ns) {
            self.run.tally.offer(0);
        }
        if let Err(error) = sent {
            self.lose(index, error);
        }
    }

    /// Takes in what a connection was found to have received at `seen`, right after the wait: what the
    /// generator then does for other connections is no part of this one's latency. A right answer is
    /// small and comes whole.
    pub(super) fn answer(&mut self, index: usize, seen: u64) {
        let run = &mut *self.run;
        let client = &mut run.clients[index];
        if !client.alive {
            return;
        }
        let pending = client.pending;
        let verdict = match client.receive() {
            Received::Nothing => return,
            Received::Closed => return self.lose(index, Errno::CONNRESET),
            Received::Reply(reply) => pending.map_or(Verdict::Wrong, |pending| {
                run.traffic.judge(pending.expected, reply)
            }),
        };
        client.clear();
        let Some(pending) = client.pending.take() else {
            run.tally.errors.wrong_answers += 1;
            return self.lose(index, Errno::CONNRESET);
        };
        if self.churns {
            self.leave(index, pending, verdict, seen);
        }
        self.finish(pending, verdict, seen);
        let client = &self.run.clients[index];
        if self.has_next(index, client.due > client.sent) {
            let now = match self.schedule {
                Some(_) => seen,
                None => self.plan.clock.now_ns(),
            };
            self.send_next(index, now);
        }
    }

    fn finish(&mut self, pending: Pending, verdict: Verdict, now: u64) {
        let counted = self.in_window(pending.due_ns);
        let arrived_in_window = self.in_window(now);
        self.outstanding -= 1;
        self.plan.progress(self.run.share.thread(), now);
        let tally = &mut self.run.tally;
        tally.finished += u64::from(counted);
        match verdict {
            Verdict::Right => {
                tally.answered_in_window += u64::from(arrived_in_window);
                if counted {
                    tally.answer(now.saturating_sub(pending.due_ns));
                }
            }
            Verdict::ErrorReply => tally.errors.error_replies += 1,
            Verdict::Wrong => tally.errors.wrong_answers += 1,
        }
    }

    /// Whether a connection just answered has another request to send.
    pub(super) fn has_next(&self, index: usize, queued: bool) -> bool {
        match self.schedule {
            None => self.phase < Phase::Draining,
            Some(schedule) => {
                let turn = self.run.clients[index].sent;
                queued && self.is_offered(schedule.due_ns(schedule.index(index, turn)))
            }
        }
    }

    /// A connection has ended, or cannot be made.
    pub(super) fn lose(&mut self, index: usize, error: Errno) {
        let client = &mut self.run.clients[index];
        if let Some(pending) = client.pending.take() {
            self.outstanding -= 1;
            self.give_up_one(pending.due_ns, self.plan.clock.now_ns());
        }
        self.run.tally.errors.count(error);
        if self.churns {
            self.run.clients[index].close();
            self.failed.push(index);
        } else {
            self.run.clients[index].alive = false;
            self.plan.lose();
        }
    }

    /// Gives up the requests of the window that were not answered: those sent, those that waited
    /// for their connection, and those that the generator never came to handle, which were offered
    /// late.
    pub(super) fn give_up(&mut self) {
        let now = self.plan.clock.now_ns();
        for index in 0..self.run.clients.len() {
            let client = &self.run.clients[index];
            let queued = client.sent..client.due;
            // Its answer may yet come.
            if let Some(pending) = client.pending {
                self.give_up_one(pending.due_ns, now);
            }
            let Some(schedule) = self.schedule else {
                continue;
            };
            for turn in queued {
                self.give_up_one(schedule.due_ns(schedule.index(index, turn)), now);
            }
        }
        let Some(schedule) = self.schedule else {
            return;
        };
        let first = self.next.max(schedule.arrivals_before(self.plan.opens_ns));
        for arrival in first..schedule.arrivals_before(self.plan.closes_ns.min(now)) {
            self.run.tally.never_handled(now - schedule.due_ns(arrival));
        }
    }

    fn give_up_one(&mut self, due_ns: u64, now: u64) {
        if self.in_window(due_ns) {
            self.run.tally.give_up(now.saturating_sub(due_ns));
        }
    }
}
