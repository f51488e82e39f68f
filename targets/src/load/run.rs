//! One run of the load generator: what its phases share.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::time::{ClockId, clock_gettime};

use super::client::Client;
use super::control::{Control, Event};
use super::poller::Poller;
use super::summary::Summary;
use super::tally::{Errors, Tally};
use super::trials::Trials;
use super::workload::{Traffic, Workload};
use crate::cli::Load;
use crate::errors::in_words;
use crate::limits::raise_open_files;

/// The part of the window's time from which on the generator's one thread had no more to give.
const CPU_USED_UP: f64 = 0.95;

/// Descriptors that are no connections.
const OTHER_DESCRIPTORS: u64 = 16;

/// A run in progress.
pub(crate) struct Run<'a> {
    /// What to do.
    pub(crate) options: &'a Load,
    /// All that is waited for.
    pub(crate) poller: Poller,
    /// Signals and the supervisor.
    pub(crate) control: Control,
    /// The connections.
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
    /// CPU time used in the window.
    pub(crate) cpu: Duration,
}

impl<'a> Run<'a> {
    /// A run without connections.
    ///
    /// # Errors
    /// When this process may not open so many connections, or cannot wait for them.
    pub(crate) fn new(options: &'a Load) -> Result<Self> {
        let wanted = u64::from(options.connections) + OTHER_DESCRIPTORS;
        let limit = raise_open_files(wanted);
        if limit < wanted {
            let connections = options.connections;
            return Err(anyhow!(
                "cannot open {connections} connections: RLIMIT_NOFILE is {limit}; \
                 raise it with ulimit -n {wanted} or choose fewer with --connections"
            ));
        }
        let poller = Poller::new().context("cannot make an epoll instance")?;
        let control = Control::new(&poller, options.paced)?;
        Ok(Self {
            options,
            poller,
            control,
            clients: Vec::with_capacity(options.connections as usize),
            traffic: Traffic::new(options.workload, options.booking),
            tally: Tally::new(),
            trials: Trials::default(),
            request: Vec::with_capacity(256),
            window_ns: 0,
            cpu: Duration::ZERO,
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
        self.tally.errors.wrong_answers += self.traffic.lost_updates();
        let Self {
            options,
            tally,
            traffic,
            trials,
            ..
        } = self;
        let seconds = self.window_ns as f64 / 1e9;
        let cpu_seconds = self.cpu.as_secs_f64();
        let idle = options.workload == Workload::Idle;
        let reason = ended.err().or_else(|| failure(tally, idle));
        let generator_was_bottleneck = used_up_cpu(cpu_seconds, seconds) || tally.unhandled > 0;
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
            generator_was_bottleneck,
            latency_in_doubt: generator_was_bottleneck || tally.is_late(),
            offered: tally.offered,
            errors: tally.errors,
            unanswered: tally.offered - tally.finished,
            oversold_seats: traffic.oversold(),
            trials: *trials,
            cpu_seconds,
        }
    }
}

/// Whether the generator, which has one thread, could not have done more in the window.
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

/// Nanoseconds since a moment: the time of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Time 0 is now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since time 0.
    pub(crate) fn now_ns(self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// CPU time that this process has used.
pub(crate) fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
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
}
