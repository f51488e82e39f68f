//! Offering load: warm-up, the measured window, and the answers still to come after it.

mod churn;
mod requests;

use std::time::Duration;

use super::client::Client;
use super::control::{Event, FIRST_CONTROL_TOKEN};
use super::plan::Plan;
use super::run::{Effort, Run};
use super::schedule::Schedule;
use super::tally::Tally;
use super::workload::Workload;
use crate::work::thread_cpu;

/// How long nothing may be answered while requests are outstanding, beyond what the longest
/// request takes by its own wish.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest wait, so that the end of patience is noticed, and what other threads say, in nanoseconds.
const LONGEST_WAIT_NS: u64 = 100_000_000;

/// The shortest sleep, in nanoseconds. At high rates a timer for each arrival would cost more CPU
/// than the requests do, which the server on the same machine then lacks; what arrives meanwhile
/// is sent so much later, and its latency counts it.
const SHORTEST_WAIT_NS: u64 = 40_000;

/// How far the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    WarmUp,
    Measuring,
    /// The window has closed and the supervisor has not said that it is done: load goes on.
    Lingering,
    /// No more load; answers are waited for until this time.
    Draining,
}

/// The load being offered by a thread. Times are in nanoseconds of the run.
struct Offer<'r, 'o> {
    run: &'r mut Run<'o>,
    plan: &'r Plan,
    /// `None` in a closed loop and for `idle`.
    schedule: Option<Schedule>,
    phase: Phase,
    drained_ns: u64,
    /// The next arrival.
    next: u64,
    /// Requests sent and not answered, on all its connections.
    outstanding: u64,
    /// Each request has a connection of its own.
    churns: bool,
    /// Clients without a request that have lost a connection, maybe with more requests due.
    failed: Vec<usize>,
    cpu_at_opening: Duration,
    cpu: Duration,
}

impl Run<'_> {
    /// Offers the load to its share of the connections. The plan says why it ended early, if it did.
    pub(super) fn offer_share(&mut self, plan: &Plan) {
        let options = self.options;
        let paced_by_schedule = !options.closed && options.workload != Workload::Idle;
        let mut offer = Offer {
            plan,
            schedule: paced_by_schedule.then(|| Schedule::new(options.rate, self.share)),
            phase: Phase::WarmUp,
            drained_ns: 0,
            next: 0,
            outstanding: 0,
            churns: options.workload == Workload::Churn,
            failed: Vec::new(),
            cpu_at_opening: Duration::ZERO,
            cpu: Duration::ZERO,
            run: self,
        };
        if let Err(reason) = offer.go() {
            plan.stop(reason);
        }
        if offer.phase == Phase::Measuring {
            offer.close_window();
        }
        offer.give_up();
        let cpu = offer.cpu;
        self.effort = Effort::of(cpu, self.window_ns, &self.tally);
    }
}

impl Offer<'_, '_> {
    fn go(&mut self) -> Result<(), String> {
        if self.churns {
            self.run.clients.iter_mut().for_each(Client::close);
        }
        if self.run.options.closed && self.run.options.workload != Workload::Idle {
            for index in 0..self.run.clients.len() {
                self.send_next(index, self.plan.clock.now_ns());
            }
        }
        let mut now = self.plan.clock.now_ns();
        loop {
            self.plan.check()?;
            self.change_phase(now)?;
            if self.phase == Phase::Draining && (self.all_finished() || now >= self.drained_ns) {
                return Ok(());
            }
            self.check_progress(now)?;
            let more_due = self.arrivals();
            let timeout = if more_due { 0 } else { self.timeout() };
            let events = self.run.poll(timeout)?;
            now = self.plan.clock.now_ns();
            for event in 0..events {
                let (token, flags) = self.run.poller.event(event);
                if token >= FIRST_CONTROL_TOKEN {
                    self.run.control.take(token);
                    continue;
                }
                let index = self.run.share.index(token as usize);
                if !self.churns || self.is_made(index, flags) {
                    self.answer(index, now);
                }
            }
            self.try_again(now);
            self.run.check_control()?;
        }
    }

    fn change_phase(&mut self, now: u64) -> Result<(), String> {
        if self.phase == Phase::WarmUp && now >= self.plan.opens_ns {
            self.phase = Phase::Measuring;
            self.cpu_at_opening = thread_cpu();
            self.run.report(&Event::Measuring)?;
        }
        if self.phase == Phase::Measuring && now >= self.plan.closes_ns {
            self.close_window();
            self.phase = Phase::Lingering;
            self.run.report(&Event::Measured)?;
        }
        if self.phase == Phase::Lingering {
            if !self.run.options.paced || self.run.control.take_last_line() {
                self.plan.drain(now);
            }
            if let Some(until) = self.plan.drained_ns() {
                self.phase = Phase::Draining;
                self.drained_ns = until;
            }
        }
        Ok(())
    }

    fn close_window(&mut self) {
        self.run.window_ns = self.plan.clock.now_ns().min(self.plan.closes_ns) - self.plan.opens_ns;
        self.cpu = thread_cpu() - self.cpu_at_opening;
    }

    /// Whether a request due at that time is still to be sent: without a supervisor nothing is
    /// due after the window, and after the supervisor's word only the window's requests matter.
    fn is_offered(&self, due_ns: u64) -> bool {
        let beyond = self.run.options.paced && self.phase < Phase::Draining;
        beyond || due_ns < self.plan.closes_ns
    }

    fn in_window(&self, time_ns: u64) -> bool {
        (self.plan.opens_ns..self.plan.closes_ns).contains(&time_ns)
    }

    /// Whether no request of the window is left to be handled or answered.
    fn all_finished(&self) -> bool {
        let handled = self
            .schedule
            .is_none_or(|schedule| !self.is_offered(schedule.due_ns(self.next)));
        let Tally {
            finished, offered, ..
        } = self.run.tally;
        handled && (finished == offered || self.outstanding == 0)
    }

    fn check_progress(&self, now: u64) -> Result<(), String> {
        if self.plan.has_lost_all() {
            return Err("the server closed all connections".to_owned());
        }
        let patience = PATIENCE + self.run.options.workload.longest_request();
        let silent = |since: u64| Duration::from_nanos(now.saturating_sub(since)) > patience;
        // Others are answered where a server is slow with some connections only.
        if self.outstanding > 0
            && silent(self.plan.last_progress(self.run.share.thread()))
            && silent(self.plan.last_progress_of_all())
        {
            let outstanding = self.outstanding;
            return Err(format!(
                "the server answered nothing for {PATIENCE:?} with {outstanding} requests outstanding"
            ));
        }
        Ok(())
    }

    /// Nanoseconds until something is to be done without an event.
    fn timeout(&self) -> u64 {
        let phase_ns = match self.phase {
            Phase::WarmUp => self.plan.opens_ns,
            Phase::Measuring => self.plan.closes_ns,
            Phase::Lingering => u64::MAX,
            Phase::Draining => self.drained_ns,
        };
        let arrival_ns = self
            .schedule
            .map(|schedule| schedule.due_ns(self.next))
            .filter(|&due| self.is_offered(due))
            .unwrap_or(u64::MAX);
        let now = self.plan.clock.now_ns();
        let until_arrival = arrival_ns.saturating_sub(now).max(SHORTEST_WAIT_NS);
        until_arrival
            .min(phase_ns.saturating_sub(now))
            .min(LONGEST_WAIT_NS)
    }
}
