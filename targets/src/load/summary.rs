//! The result of a run, and its forms.

use std::fmt::Write as _;

use super::tally::{Errors, Latency, Lateness};
use super::trials::Trials;

/// The result of a run. Times are in seconds.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Summary {
    /// The workload's name.
    pub(crate) workload: String,
    /// `open-loop` or `closed-loop`.
    pub(crate) mode: &'static str,
    /// Connections held, or made at a time by `churn`.
    pub(crate) connections: u32,
    /// The run went to its end with every connection, and no answer was wrong or an error.
    pub(crate) complete: bool,
    /// Why it is not complete.
    pub(crate) reason: Option<String>,
    /// Length of the window as far as it went.
    pub(crate) duration_seconds: f64,
    /// Requests that fell due per second; null where no schedule says.
    pub(crate) offered_per_second: Option<f64>,
    /// Right answers to requests that were due in the window.
    pub(crate) requests: u64,
    /// Right answers that arrived in the window, whenever their requests were due.
    pub(crate) answered_in_window: u64,
    /// `answered_in_window` per second of the window.
    pub(crate) throughput_per_second: f64,
    /// Null without a request.
    pub(crate) latency: Option<Latency>,
    /// From the beginning of connecting to the answer; null where connections are held.
    pub(crate) set_up_latency: Option<Latency>,
    /// How late the generator handled the arrivals of the window; null where no schedule says when
    /// they are due.
    pub(crate) send_lateness: Option<Lateness>,
    /// Arrivals that the generator itself handled more than 1 ms late.
    pub(crate) late_sends: u64,
    /// The latest of all arrivals.
    pub(crate) late_send_max_seconds: f64,
    /// The generator itself limited the load: one of its threads used up its CPU, 95 % of the window's
    /// time or more, or never came to handle some arrivals.
    pub(crate) generator_was_bottleneck: bool,
    /// Latencies may be the generator's own rather than the server's: it was the bottleneck, or more
    /// than 1 % of a thread's arrivals were handled more than 1 ms late, for whatever reason.
    pub(crate) latency_in_doubt: bool,
    /// Requests that fell due in the window.
    #[serde(skip)]
    pub(crate) offered: u64,
    /// Failures in the whole run.
    pub(crate) errors: Errors,
    /// Requests due in the window and not answered within 1 s of its end.
    pub(crate) unanswered: u64,
    /// Seats sold to more than one customer; null but for `booking`.
    pub(crate) oversold_seats: Option<u64>,
    /// How often customers began anew, since another had bought the seat meanwhile; null but for
    /// `booking`.
    pub(crate) booking_retries: Option<u64>,
    /// What was tried when the load was over.
    #[serde(flatten)]
    pub(crate) trials: Trials,
    /// Threads that offered the load.
    pub(crate) threads: u32,
    /// CPU time of all of them in the window.
    pub(crate) cpu_seconds: f64,
}

impl Summary {
    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<14}{value}");
        };
        line("workload", format!("{}, {}", self.workload, self.mode));
        line("connections", self.connections.to_string());
        if let Some(reason) = &self.reason {
            line("failed", reason.clone());
        }
        line("window", format!("{:.3} s", self.duration_seconds));
        if let Some(offered) = self.offered_per_second {
            line("offered", format!("{offered:.1} requests/s"));
        }
        line(
            "answered",
            format!(
                "{:.1} requests/s ({} requests)",
                self.throughput_per_second, self.requests
            ),
        );
        if let Some(latency) = &self.latency {
            line("latency", latency_line(latency));
            if latency.is_bound {
                line(
                    "",
                    "or longer: unanswered requests were given up".to_owned(),
                );
            }
        }
        if let Some(latency) = &self.set_up_latency {
            line("set-up", latency_line(latency));
        }
        let Errors {
            refused,
            reset,
            error_replies,
            wrong_answers,
            timeouts,
        } = self.errors;
        line(
            "errors",
            format!(
                "{refused} refused, {reset} reset, {error_replies} error replies, \
                 {wrong_answers} wrong answers, {timeouts} timeouts"
            ),
        );
        line("unanswered", self.unanswered.to_string());
        if let Some(oversold) = self.oversold_seats {
            line("oversold", format!("{oversold} seats"));
        }
        if let Some(retries) = self.booking_retries {
            line("retries", format!("{retries} of a purchase"));
        }
        for (name, text) in self.trials.lines() {
            line(name, text);
        }
        if let Some(lateness) = &self.send_lateness {
            line("send lateness", self.lateness_line(lateness));
        }
        line("generator", self.generator_line());
        text
    }

    fn lateness_line(&self, lateness: &Lateness) -> String {
        format!(
            "p50 {:.3} ms, p99 {:.3} ms, max {:.3} ms; more than 1 ms late: {} ({:.3} %)",
            lateness.p50_seconds * 1e3,
            lateness.p99_seconds * 1e3,
            lateness.max_seconds * 1e3,
            self.late_sends,
            self.late_sends as f64 * 100.0 / self.offered.max(1) as f64,
        )
    }

    fn generator_line(&self) -> String {
        let threads = match self.threads {
            1 => String::new(),
            threads => format!(", {threads} threads"),
        };
        let share = match self.duration_seconds > 0.0 {
            true => format!(
                " ({:.0} % of one{threads})",
                self.cpu_seconds * 100.0 / self.duration_seconds
            ),
            false => String::new(),
        };
        let bottleneck = match self.generator_was_bottleneck {
            true => "; it was the bottleneck",
            false => "",
        };
        let doubt = match self.latency_in_doubt {
            true => "; latency is in doubt",
            false => "",
        };
        format!("{:.3} s of CPU{share}{bottleneck}{doubt}", self.cpu_seconds)
    }
}

fn latency_line(latency: &Latency) -> String {
    format!(
        "p50 {:.3} ms, p90 {:.3} ms, p99 {:.3} ms, p99.9 {:.3} ms, max {:.3} ms",
        latency.p50_seconds * 1e3,
        latency.p90_seconds * 1e3,
        latency.p99_seconds * 1e3,
        latency.p99_9_seconds * 1e3,
        latency.max_seconds * 1e3,
    )
}
