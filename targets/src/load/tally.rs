//! What is counted in the measured window.

mod latencies;

use hdrhistogram::Histogram;
use rustix::io::Errno;

pub(crate) use self::latencies::Latency;
use self::latencies::{Latencies, add, histogram, quantile};

/// An arrival handled so much after it was due is late, in nanoseconds.
pub(crate) const LATE_NS: u64 = 1_000_000;
/// Counts of requests whose intended start lies in the window.
#[derive(Debug)]
pub(crate) struct Tally {
    latencies: Latencies,
    /// From the beginning of connecting to the first answer, where each request has a connection of
    /// its own.
    set_ups: Latencies,
    /// How late the generator handled each arrival.
    lateness: Histogram<u64>,
    /// Requests that fell due.
    pub(crate) offered: u64,
    /// Of these, those answered in any way.
    pub(crate) finished: u64,
    /// Of these, those answered rightly.
    pub(crate) answers: u64,
    /// Arrivals that the generator itself handled late.
    pub(crate) late_sends: u64,
    /// The most that an arrival was late, in nanoseconds.
    pub(crate) late_max_ns: u64,
    /// Arrivals that the generator was late for and never came to handle.
    pub(crate) unhandled: u64,
    /// Right answers that arrived in the window, whenever their requests were due.
    pub(crate) answered_in_window: u64,
    /// Requests that failed, in the whole run.
    pub(crate) errors: Errors,
}

/// Failures in the whole run, ramp and warm-up included: none of them is in the latencies.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(crate) struct Errors {
    /// Connections that the server refused.
    pub(crate) refused: u64,
    /// Connections that ended while the load held them.
    pub(crate) reset: u64,
    /// Error replies.
    pub(crate) error_replies: u64,
    /// Answers that were not what they had to be.
    pub(crate) wrong_answers: u64,
    /// Connections that were not made or answered in time.
    pub(crate) timeouts: u64,
}

impl Errors {
    /// Counts what the system says of a connection that is made.
    pub(crate) fn count(&mut self, error: Errno) {
        match error {
            Errno::CONNREFUSED => self.refused += 1,
            Errno::TIMEDOUT => self.timeouts += 1,
            _ => self.reset += 1,
        }
    }

    fn add(&mut self, other: Self) {
        self.refused += other.refused;
        self.reset += other.reset;
        self.error_replies += other.error_replies;
        self.wrong_answers += other.wrong_answers;
        self.timeouts += other.timeouts;
    }
}

/// How long after its intended start the generator handled an arrival, in seconds: its own share of
/// the latency. Waiting for a busy connection is the server's.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Lateness {
    /// Half were no later.
    pub(crate) p50_seconds: f64,
    /// 99 % were no later.
    pub(crate) p99_seconds: f64,
    /// The latest, exactly.
    pub(crate) max_seconds: f64,
}

impl Tally {
    /// Nothing counted.
    pub(crate) fn new() -> Self {
        Self {
            latencies: Latencies::new(),
            set_ups: Latencies::new(),
            lateness: histogram(),
            offered: 0,
            finished: 0,
            answers: 0,
            late_sends: 0,
            late_max_ns: 0,
            unhandled: 0,
            answered_in_window: 0,
            errors: Errors::default(),
        }
    }

    /// Adds what another thread counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.latencies.add(&other.latencies);
        self.set_ups.add(&other.set_ups);
        add(&mut self.lateness, &other.lateness);
        self.offered += other.offered;
        self.finished += other.finished;
        self.answers += other.answers;
        self.late_sends += other.late_sends;
        self.late_max_ns = self.late_max_ns.max(other.late_max_ns);
        self.unhandled += other.unhandled;
        self.answered_in_window += other.answered_in_window;
        self.errors.add(other.errors);
    }

    /// A request fell due and was handled so much later.
    pub(crate) fn offer(&mut self, late_ns: u64) {
        self.offered += 1;
        self.late_sends += u64::from(late_ns > LATE_NS);
        self.late_max_ns = self.late_max_ns.max(late_ns);
        self.lateness.saturating_record(late_ns);
    }

    /// A request fell due so long ago and was never handled.
    pub(crate) fn never_handled(&mut self, waited_ns: u64) {
        self.offer(waited_ns);
        self.give_up(waited_ns);
        // A run that ends early may end between an arrival and its handling.
        self.unhandled += u64::from(waited_ns > LATE_NS);
    }

    /// A right answer came so long after the request was due.
    pub(crate) fn answer(&mut self, latency_ns: u64) {
        self.answers += 1;
        self.latencies.record(latency_ns);
    }

    /// A request was given up so long after it was due.
    pub(crate) fn give_up(&mut self, waited_ns: u64) {
        self.latencies.record_unanswered(waited_ns);
    }

    /// A connection was made for a request, and answered so long after that was begun.
    pub(crate) fn set_up(&mut self, latency_ns: u64) {
        self.set_ups.record(latency_ns);
    }

    /// Whether so many arrivals were handled late, more than 1 %, that the latencies may be the
    /// generator's own.
    pub(crate) fn is_late(&self) -> bool {
        self.late_sends * 100 > self.offered
    }

    /// How late the arrivals were handled, `None` without one.
    pub(crate) fn lateness(&self) -> Option<Lateness> {
        (self.offered > 0).then(|| Lateness {
            p50_seconds: quantile(&self.lateness, 0.5, self.late_max_ns),
            p99_seconds: quantile(&self.lateness, 0.99, self.late_max_ns),
            max_seconds: self.late_max_ns as f64 / 1e9,
        })
    }

    /// The latencies, `None` without a request.
    pub(crate) fn latency(&self) -> Option<Latency> {
        self.latencies.summary()
    }

    /// The time that connections took to their first answer, `None` where none was made for a request.
    pub(crate) fn set_up_latency(&self) -> Option<Latency> {
        self.set_ups.summary()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_up_counts_with_its_wait() {
        let mut tally = Tally::new();
        (0..98).for_each(|_| tally.answer(1_000));
        assert!(!tally.latency().expect("98 requests").is_bound);
        (0..2).for_each(|_| tally.give_up(2_000_000_000));
        let latency = tally.latency().expect("100 requests");
        assert_eq!((latency.count, tally.answers), (100, 98));
        assert!(latency.is_bound);
        assert!(latency.p90_seconds < 2e-6, "{latency:?}");
        assert!(latency.p99_seconds > 1.99, "{latency:?}");
    }

    #[test]
    fn two_threads_together_are_as_one_that_counted_all() {
        let mut tallies = [Tally::new(), Tally::new(), Tally::new()];
        for number in 0..10_000_u64 {
            let latency_ns = (number * 7_919) % 65_537 * 1_000;
            for at in [0, 1 + (number % 2) as usize] {
                let tally = &mut tallies[at];
                tally.offer(latency_ns / 50);
                match number % 100 {
                    0 => tally.give_up(latency_ns),
                    1 => tally.never_handled(LATE_NS + latency_ns),
                    _ => tally.answer(latency_ns),
                }
                tally.set_up(latency_ns * 2);
                tally.errors.count(Errno::CONNREFUSED);
            }
        }
        let [one, mut sum, other] = tallies;
        sum.add(&other);
        let counted = |tally: &Tally| {
            let each = [&tally.latencies, &tally.set_ups].map(|latencies| &latencies.histogram);
            let all = each.into_iter().chain([&tally.lateness]);
            let buckets = |histogram: &Histogram<u64>| {
                let buckets = histogram.iter_recorded();
                buckets
                    .map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value()))
                    .collect::<Vec<_>>()
            };
            all.map(buckets).collect::<Vec<_>>()
        };
        // Not printed: thousands of buckets.
        assert!(counted(&sum) == counted(&one), "the same buckets");
        let text = |tally: &Tally| {
            let told = (tally.latency(), tally.set_up_latency(), tally.lateness());
            let (offered, finished, answers) = (tally.offered, tally.finished, tally.answers);
            let late = (tally.late_sends, tally.late_max_ns, tally.unhandled);
            let counts = (offered, finished, answers, late, tally.answered_in_window);
            format!("{told:?} {counts:?} {:?}", tally.errors)
        };
        assert_eq!(text(&sum), text(&one));
        assert_eq!(sum.latency().expect("requests").count, 10_000);
    }

    #[test]
    fn one_late_arrival_in_a_hundred_is_no_doubt() {
        let mut tally = Tally::new();
        (0..198).for_each(|_| tally.offer(20_000));
        (0..2).for_each(|_| tally.offer(3_000_000));
        assert!(!tally.is_late(), "1 %");
        let lateness = tally.lateness().expect("200 arrivals");
        assert!((lateness.p50_seconds - 20e-6).abs() < 1e-7, "{lateness:?}");
        assert!((lateness.p99_seconds - 20e-6).abs() < 1e-7, "{lateness:?}");
        assert!((lateness.max_seconds - 3e-3).abs() < 1e-9, "{lateness:?}");
        tally.offer(1_000_001);
        assert!(tally.is_late(), "3 of 201");
        let lateness = tally.lateness().expect("201 arrivals");
        assert!(lateness.p99_seconds > 1e-3, "{lateness:?}");
    }

    #[test]
    fn an_arrival_that_the_end_overtook_is_not_one_never_handled() {
        let mut tally = Tally::new();
        (0..10_000).for_each(|_| tally.offer(0));
        tally.never_handled(LATE_NS);
        assert_eq!(tally.unhandled, 0, "the run ended just then");
        tally.never_handled(LATE_NS + 1);
        assert_eq!(tally.unhandled, 1);
        assert_eq!(tally.latency().expect("two requests").count, 2);
    }
}
