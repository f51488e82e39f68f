//! What the load generator requests, and what the answers must be.

mod counter;
mod wire;

use std::time::Duration;

use clap::ValueEnum;

use self::counter::Counter;
use self::wire::{CLEAR_COUNTER, INCR, PING, WAIT_5, WORK_50, WORK_100, get, is_value_of, set};
use super::bookings::{Booking, Bookings};
use super::client::Reply;

/// Keys of `get-set`.
pub(crate) const KEYS: u64 = 10_000;

/// A kind of request traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// PING: the cost of switching alone
    Ping,
    /// 80 % GET, 20 % SET over 10,000 keys of 100 bytes
    GetSet,
    /// INCR of one key
    Counter,
    /// WORK 100: 100 us of CPU
    Cpu,
    /// 90 % WAIT 5 (5 ms without CPU), 10 % WORK 50 (50 us of CPU)
    Mixed,
    /// Connect, one request, close: over and over
    Churn,
    /// Connections held open without requests
    Idle,
    /// BOOK: eight customers for each seat (see --booking)
    Booking,
}

impl Workload {
    /// The name on the command line and in results.
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    /// How long a server may take for one request by the request's own wish.
    pub(crate) fn longest_request(self) -> Duration {
        match self {
            Self::Cpu => Duration::from_micros(100),
            Self::Mixed => Duration::from_millis(5),
            // The last of eight customers waits for seven holds of a millisecond.
            Self::Booking => Duration::from_millis(8),
            Self::Ping | Self::GetSet | Self::Counter | Self::Churn | Self::Idle => Duration::ZERO,
        }
    }
}

/// What the answer to a request must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// `+PONG`
    Pong,
    /// `+OK`
    Ok,
    /// The value of this key.
    ValueOf(u64),
    /// An integer larger than this one, which was answered before the request was sent.
    Above(i64),
    /// Whether the customer has this seat.
    Seat(u64),
}

/// What an answer was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As expected.
    Right,
    /// The server says that it could not.
    ErrorReply,
    /// Anything else.
    Wrong,
}

/// Makes requests and judges answers.
#[derive(Debug)]
pub(crate) struct Traffic {
    workload: Workload,
    counter: Counter,
    bookings: Bookings,
}

impl Traffic {
    /// Traffic of `workload`; `booking` is for that workload alone.
    pub(crate) fn new(workload: Workload, booking: Booking) -> Self {
        Self {
            workload,
            counter: Counter::default(),
            bookings: Bookings::new(booking),
        }
    }

    /// Writes request number `index` to `request` and says what its answer must be. The same
    /// index makes the same request in every run.
    pub(crate) fn request(&self, index: u64, request: &mut Vec<u8>) -> Expected {
        request.clear();
        let random = scatter(index);
        match self.workload {
            Workload::Ping | Workload::Churn | Workload::Idle => {
                request.extend_from_slice(PING);
                Expected::Pong
            }
            Workload::GetSet => {
                let key = (random >> 32) % KEYS;
                if random % 100 < 80 {
                    get(key, request);
                    Expected::ValueOf(key)
                } else {
                    set(key, request);
                    Expected::Ok
                }
            }
            Workload::Counter => {
                request.extend_from_slice(INCR);
                Expected::Above(self.counter.highest())
            }
            Workload::Cpu => {
                request.extend_from_slice(WORK_100);
                Expected::Ok
            }
            Workload::Mixed => {
                request.extend_from_slice(match random.is_multiple_of(10) {
                    true => WORK_50,
                    false => WAIT_5,
                });
                Expected::Ok
            }
            Workload::Booking => Expected::Seat(self.bookings.request(index, request)),
        }
    }

    /// Traffic of the same run, for another thread; nothing is known of it yet.
    pub(crate) fn of_same_run(&self) -> Self {
        Self {
            workload: self.workload,
            counter: Counter::default(),
            bookings: self.bookings.of_same_run(),
        }
    }

    /// Takes in the answers to other requests of the same run.
    pub(crate) fn add(&mut self, others: &Self) {
        self.counter.add(&others.counter);
        self.bookings.add(&others.bookings);
    }

    /// Judges an answer.
    pub(crate) fn judge(&mut self, expected: Expected, reply: Reply<'_>) -> Verdict {
        let right = match (expected, reply) {
            (_, Reply::Error(_)) => return Verdict::ErrorReply,
            (Expected::Pong, Reply::Simple(b"PONG")) | (Expected::Ok, Reply::Simple(b"OK")) => true,
            (Expected::ValueOf(key), Reply::Bulk(value)) => is_value_of(key, value),
            (Expected::Above(floor), Reply::Integer(sum)) => {
                self.counter.answer(sum);
                sum > floor
            }
            (Expected::Seat(seat), Reply::Integer(answer)) => self.bookings.answer(seat, answer),
            _ => false,
        };
        if right {
            Verdict::Right
        } else {
            Verdict::Wrong
        }
    }

    /// Wrong answers that show only in the whole: lost increments, and seats that nobody has or too many.
    pub(crate) fn wrong_in_the_whole(&self) -> u64 {
        self.counter.lost_updates() + self.bookings.impossible()
    }

    /// Seats sold to more than one customer; `None` if none was to be sold.
    pub(crate) fn oversold(&self) -> Option<u64> {
        (self.workload == Workload::Booking).then(|| self.bookings.oversold())
    }

    /// How often customers of seats began anew; `None` if no seat was to be sold.
    pub(crate) fn booking_retries(&self) -> Option<u64> {
        (self.workload == Workload::Booking).then(|| self.bookings.retries())
    }

    /// Writes preparation `index` to `request`: what must be in the server before the run. `None`
    /// when there is no more. Its answer must be `+OK`.
    pub(crate) fn preparation(&self, index: u64, request: &mut Vec<u8>) -> Option<()> {
        request.clear();
        match self.workload {
            Workload::GetSet if index < KEYS => set(index, request),
            Workload::Counter if index == 0 => request.extend_from_slice(CLEAR_COUNTER),
            _ => return None,
        }
        Some(())
    }
}

/// Spreads consecutive numbers evenly (the finaliser of splitmix64).
fn scatter(index: u64) -> u64 {
    let mut bits = index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_in_five_sets() {
        let traffic = Traffic::new(Workload::GetSet, Booking::default());
        let mut request = Vec::new();
        let sets = (0..100_000)
            .filter(|&index| traffic.request(index, &mut request) == Expected::Ok)
            .count();
        assert!((19_500..20_500).contains(&sets), "{sets} of 100,000");
    }

    #[test]
    fn values_are_told_apart() {
        use self::wire::value_of;

        let mut traffic = Traffic::new(Workload::GetSet, Booking::default());
        let (right, wrong) = (value_of(17), value_of(71));
        let expected = Expected::ValueOf(17);
        assert_eq!(traffic.judge(expected, Reply::Bulk(&right)), Verdict::Right);
        assert_eq!(traffic.judge(expected, Reply::Bulk(&wrong)), Verdict::Wrong);
        assert_eq!(
            traffic.judge(expected, Reply::Bulk(&right[..99])),
            Verdict::Wrong
        );
        assert_eq!(traffic.judge(expected, Reply::Null), Verdict::Wrong);
        assert_eq!(
            traffic.judge(expected, Reply::Error(b"ERR")),
            Verdict::ErrorReply
        );
    }

    #[test]
    fn a_sum_answered_twice_is_a_lost_update() {
        let mut traffic = Traffic::new(Workload::Counter, Booking::default());
        for sum in [1, 2, 3, 3, 4] {
            traffic.judge(Expected::Above(0), Reply::Integer(sum));
        }
        assert_eq!(traffic.wrong_in_the_whole(), 1);
        assert_eq!(
            traffic.judge(Expected::Above(4), Reply::Integer(4)),
            Verdict::Wrong
        );
    }

    #[test]
    fn sums_answered_to_two_threads_are_judged_together() {
        let mut traffic = Traffic::new(Workload::Counter, Booking::default());
        let mut other = traffic.of_same_run();
        for sum in [1, 3, 4] {
            traffic.judge(Expected::Above(0), Reply::Integer(sum));
        }
        for sum in [2, 3, 5] {
            other.judge(Expected::Above(0), Reply::Integer(sum));
        }
        traffic.add(&other);
        assert_eq!(traffic.wrong_in_the_whole(), 1, "3 twice");
        traffic.add(&traffic.of_same_run());
        assert_eq!(traffic.wrong_in_the_whole(), 1, "one that answered nothing");
    }
}
