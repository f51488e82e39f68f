//! One run of the load generator: what its phases share.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use super::client::Client;
use super::control::{Control, Event};
use super::poller::Poller;
use super::schedule::Share;
use super::summary::Summary;
use super::tally::{Errors, Tally};
use super::trials::Trials;
use super::workload::{Traffic, Workload};
use crate::cli::Load;
use crate::errors::in_words;
use crate::limits::raise_open_files;

/// The part of the window's time from which on a thread of the generator had no more to give.
const CPU_USED_UP: f64 = 0.95;

/// Descriptors that are no connections, but those of threads.
const OTHER_DESCRIPTORS: u64 = 16;

/// A run in progress; while load is offered by several threads, what one of them has of it.
pub(crate) struct Run<'a> {
    /// What to do.
    pub(crate) options: &'a Load,
    /// All that is waited for.
    pub(crate) poller: Poller,
    /// Signals and the supervisor.
    pub(crate) control: Control,
    /// What it has of the connections of all threads; a connection's token is its number among these.
    pub(crate) share: Share,
    /// The connections, each at its index in the share.
    pub(crate) clients: Vec<Client>,
    /// Requests and judgements.
    pub(crate) traffic: Traffic,
    /// What was counted.
    pub(crate) tally: Tally,
    /// What was tried when the load was over.
    pub(crate) trials: Trials,
    /// The request being made.
    pub(crate) request: Vec<u8>,
    /// How far the measured window went, in nanoseconds.
    pub(crate) window_ns: u64,
    /// What it took in the window.
    pub(crate) effort: Effort,
}

/// What a thread had to do in the window to offer its load, or several had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effort {
    /// CPU time used.
    cpu: Duration,
    /// One could not have done more: it used up its CPU, or never came to handle some arrivals.
    was_bottleneck: bool,
    /// One was late for more of its arrivals than does no harm.
    was_late: bool,
}

impl Effort {
    /// Of a thread that used so much CPU time in so much time, and counted this.
    pub(crate) fn of(cpu: Duration, window_ns: u64, tally: &Tally) -> Self {
        let used_up = used_up_cpu(cpu.as_secs_f64(), window_ns as f64 / 1e9);
        Self {
            cpu,
            was_bottleneck: used_up || tally.unhandled > 0,
            was_late: tally.is_late(),
        }
    }

    /// Takes in that of other threads.
    pub(crate) fn add(&mut self, other: Self) {
        self.cpu += other.cpu;
        self.was_bottleneck |= other.was_bottleneck;
        self.was_late |= other.was_late;
    }
}

impl<'a> Run<'a> {
    /// A run without connections.
    ///
    /// # Errors
    /// When this process may not open so many connections, or cannot wait for them.
    pub(crate) fn new(options: &'a Load) -> Result<Self> {
        let wanted = u64::from(options.connections + options.threads) + OTHER_DESCRIPTORS;
        let limit = raise_open_files(wanted);
        if limit < wanted {
            let connections = options.connections;
            return Err(anyhow!(
                "cannot open {connections} connections: RLIMIT_NOFILE is {limit}; \
                 raise it with ulimit -n {wanted} or choose fewer with --connections"
            ));
        }
        let share = Share::whole(options.connections as usize);
        let traffic = Traffic::new(options.workload, options.booking);
        let mut run = Self::empty(options, share, traffic)?;
        run.control = Control::new(&run.poller, options.paced)?;
        Ok(run)
    }

    /// What a thread with that share begins with, which this one steers.
    ///
    /// # Errors
    /// When it cannot wait for connections.
    pub(crate) fn for_thread(&self, share: Share) -> Result<Self> {
        Self::empty(self.options, share, self.traffic.of_same_run())
    }

    fn empty(options: &'a Load, share: Share, traffic: Traffic) -> Result<Self> {
        Ok(Self {
            options,
            poller: Poller::new().context("cannot make an epoll instance")?,
            control: Control::none(),
            share,
            clients: Vec::with_capacity(share.connections()),
            traffic,
            tally: Tally::new(),
            trials: Trials::default(),
            request: Vec::with_capacity(256),
            window_ns: 0,
            effort: Effort::default(),
        })
    }

    /// Waits for events at most so long; answers how many.
    ///
    /// # Errors
    /// None that a correct program sees.
    pub(crate) fn poll(&mut self, timeout_ns: u64) -> Result<usize, String> {
        self.poller
            .wait(timeout_ns)
            .map_err(|error| format!("cannot wait: {}", in_words(error)))
    }

    /// Tells the supervisor.
    ///
    /// # Errors
    /// When it does not listen.
    pub(crate) fn report(&self, event: &Event<'_>) -> Result<(), String> {
        self.control
            .report(event)
            .map_err(|error| format!("{error:#}"))
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check_control(&self) -> Result<(), String> {
        match self.control.stop_reason() {
            Some(reason) => Err(reason.to_owned()),
            None => Ok(()),
        }
    }

    /// The result; `ended` says why the run ended early, if it did.
    pub(crate) fn summarize(&mut self, ended: Result<(), String>) -> Summary {
        self.tally.errors.wrong_answers += self.traffic.wrong_in_the_whole();
        let Self {
            options,
            tally,
            traffic,
            trials,
            effort,
            ..
        } = self;
        let seconds = self.window_ns as f64 / 1e9;
        let idle = options.workload == Workload::Idle;
        let reason = ended.err().or_else(|| failure(tally, idle));
        Summary {
            workload: options.workload.name(),
            mode: if options.closed {
                "closed-loop"
            } else {
                "open-loop"
            },
            connections: self.clients.len() as u32,
            complete: reason.is_none(),
            reason,
            duration_seconds: seconds,
            offered_per_second: (!options.closed && !idle).then_some(options.rate),
            requests: tally.answers,
            answered_in_window: tally.answered_in_window,
            throughput_per_second: match seconds > 0.0 {
                true => tally.answered_in_window as f64 / seconds,
                false => 0.0,
            },
            latency: tally.latency(),
            set_up_latency: tally.set_up_latency(),
            send_lateness: tally.lateness().filter(|_| !options.closed),
            late_sends: tally.late_sends,
            late_send_max_seconds: tally.late_max_ns as f64 / 1e9,
            generator_was_bottleneck: effort.was_bottleneck,
            latency_in_doubt: effort.was_bottleneck || effort.was_late,
            offered: tally.offered,
            errors: tally.errors,
            unanswered: tally.offered - tally.finished,
            oversold_seats: traffic.oversold(),
            booking_retries: traffic.booking_retries(),
            trials: *trials,
            threads: options.threads,
            cpu_seconds: effort.cpu.as_secs_f64(),
        }
    }
}

/// Whether a thread could not have done more in the window.
fn used_up_cpu(cpu_seconds: f64, window_seconds: f64) -> bool {
    window_seconds > 0.0 && cpu_seconds >= CPU_USED_UP * window_seconds
}

/// Why a run that went to its end failed all the same. Requests left unanswered are no reason:
/// that is what overload looks like.
fn failure(tally: &Tally, idle: bool) -> Option<String> {
    let Errors {
        reset,
        error_replies,
        wrong_answers,
        ..
    } = tally.errors;
    let kinds = [
        (wrong_answers, "wrong answer", "wrong answers"),
        (error_replies, "error reply", "error replies"),
        (reset, "connection was lost", "connections were lost"),
    ];
    let reasons: Vec<String> = kinds
        .into_iter()
        .filter(|&(count, ..)| count > 0)
        .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }))
        .collect();
    if !reasons.is_empty() {
        return Some(reasons.join(", "));
    }
    (!idle && tally.answers == 0 && tally.answered_in_window == 0)
        .then(|| "no request was answered rightly".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_bottleneck_from_95_percent_of_its_cpu_on() {
        assert!(used_up_cpu(4.75, 5.0));
        assert!(!used_up_cpu(4.74, 5.0));
        assert!(!used_up_cpu(0.0, 0.0), "a window that never opened");
    }

    #[test]
    fn one_thread_that_is_short_of_time_is_enough() {
        let window = Duration::from_secs(5);
        let effort = |cpu_ms, late_of_100| {
            let mut tally = Tally::new();
            (0..100).for_each(|at| tally.offer(if at < late_of_100 { 2_000_000 } else { 0 }));
            let cpu = Duration::from_millis(cpu_ms);
            Effort::of(cpu, window.as_nanos() as u64, &tally)
        };
        let mut all = effort(2_000, 0);
        all.add(effort(2_000, 1));
        assert_eq!((all.was_bottleneck, all.was_late), (false, false));
        assert_eq!(all.cpu, Duration::from_secs(4));
        // 80 % of two threads, and 1.3 % of all arrivals.
        all.add(effort(4_900, 0));
        all.add(effort(10, 3));
        assert_eq!((all.was_bottleneck, all.was_late), (true, true));
    }
}
