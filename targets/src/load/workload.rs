//! What the load generator requests, and what the answers must be.

use std::time::Duration;

use clap::ValueEnum;

use super::bookings::{Booking, Bookings};
use super::client::Reply;

/// Keys of `get-set`.
pub(crate) const KEYS: u64 = 10_000;
/// Bytes of each value of `get-set`.
const VALUE_BYTES: usize = 100;
const DIGITS: usize = 10;

// The requests as they are sent, so that none is encoded anew.
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const INCR: &[u8] = b"*2\r\n$4\r\nINCR\r\n$17\r\nconnscope:counter\r\n";
const CLEAR_COUNTER: &[u8] = b"*3\r\n$3\r\nSET\r\n$17\r\nconnscope:counter\r\n$1\r\n0\r\n";
const WORK_50: &[u8] = b"*2\r\n$4\r\nWORK\r\n$2\r\n50\r\n";
const WORK_100: &[u8] = b"*2\r\n$4\r\nWORK\r\n$3\r\n100\r\n";
const WAIT_5: &[u8] = b"*2\r\n$4\r\nWAIT\r\n$1\r\n5\r\n";
/// Up to the ten digits of the key; a line end follows them.
const GET_KEY: &[u8] = b"*2\r\n$3\r\nGET\r\n$14\r\nkey:";
/// Up to the ten digits of the key, which `VALUE` and the value follow.
const SET_KEY: &[u8] = b"*3\r\n$3\r\nSET\r\n$14\r\nkey:";
const VALUE: &[u8] = b"\r\n$100\r\n";

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

/// What is known of the counter of `counter`.
#[derive(Debug)]
struct Counter {
    lowest: i64,
    highest: i64,
    answers: i64,
}

impl Traffic {
    /// Traffic of `workload`; `booking` is for that workload alone.
    pub(crate) fn new(workload: Workload, booking: Booking) -> Self {
        let counter = Counter {
            lowest: i64::MAX,
            highest: i64::MIN,
            answers: 0,
        };
        Self {
            workload,
            counter,
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
                Expected::Above(self.counter.highest)
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

    /// Judges an answer.
    pub(crate) fn judge(&mut self, expected: Expected, reply: Reply<'_>) -> Verdict {
        let right = match (expected, reply) {
            (_, Reply::Error(_)) => return Verdict::ErrorReply,
            (Expected::Pong, Reply::Simple(b"PONG")) | (Expected::Ok, Reply::Simple(b"OK")) => true,
            (Expected::ValueOf(key), Reply::Bulk(value)) => is_value_of(key, value),
            (Expected::Above(floor), Reply::Integer(sum)) => {
                self.counter.lowest = self.counter.lowest.min(sum);
                self.counter.highest = self.counter.highest.max(sum);
                self.counter.answers += 1;
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

    /// Wrong answers that show only in the whole: increments that were lost, so that a sum was
    /// answered twice.
    pub(crate) fn lost_updates(&self) -> u64 {
        let Counter {
            lowest,
            highest,
            answers,
        } = self.counter;
        if answers == 0 {
            return 0;
        }
        let distinct = highest.saturating_sub(lowest).saturating_add(1);
        (answers - distinct).max(0) as u64
    }

    /// Seats sold to more than one customer; `None` if none was to be sold.
    pub(crate) fn oversold(&self) -> Option<u64> {
        (self.workload == Workload::Booking).then(|| self.bookings.oversold())
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

fn get(key: u64, request: &mut Vec<u8>) {
    for part in [GET_KEY, &digits(key), b"\r\n"] {
        request.extend_from_slice(part);
    }
}

fn set(key: u64, request: &mut Vec<u8>) {
    let parts: [&[u8]; 5] = [SET_KEY, &digits(key), VALUE, &value_of(key), b"\r\n"];
    for part in parts {
        request.extend_from_slice(part);
    }
}

/// The key's ten digits ten times over: nobody else's value.
fn value_of(key: u64) -> [u8; VALUE_BYTES] {
    let digits = digits(key);
    std::array::from_fn(|index| digits[index % DIGITS])
}

fn is_value_of(key: u64, value: &[u8]) -> bool {
    let digits = digits(key);
    value.len() == VALUE_BYTES && value.chunks_exact(DIGITS).all(|chunk| chunk == digits)
}

fn digits(mut number: u64) -> [u8; DIGITS] {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    digits
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
    fn requests_are_as_they_would_be_encoded() {
        use redis_protocol::resp2::types::BorrowedFrame::BulkString;

        let value = b"0000000007".repeat(10);
        let cases: [(&[u8], &[&[u8]]); 6] = [
            (PING, &[b"PING"]),
            (INCR, &[b"INCR", b"connscope:counter"]),
            (CLEAR_COUNTER, &[b"SET", b"connscope:counter", b"0"]),
            (WORK_50, &[b"WORK", b"50"]),
            (WORK_100, &[b"WORK", b"100"]),
            (WAIT_5, &[b"WAIT", b"5"]),
        ];
        let (mut get_7, mut set_7) = (Vec::new(), Vec::new());
        get(7, &mut get_7);
        set(7, &mut set_7);
        let built: [(&[u8], &[&[u8]]); 2] = [
            (&get_7, &[b"GET", b"key:0000000007"]),
            (&set_7, &[b"SET", b"key:0000000007", &value]),
        ];
        for (request, arguments) in cases.into_iter().chain(built) {
            let frames: Vec<_> = arguments.iter().map(|bytes| BulkString(bytes)).collect();
            let mut encoded = Vec::new();
            crate::protocol::reply::array(&mut encoded, &frames);
            assert_eq!(
                request.escape_ascii().to_string(),
                encoded.escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn values_are_told_apart() {
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
        assert_eq!(traffic.lost_updates(), 1);
        assert_eq!(
            traffic.judge(Expected::Above(4), Reply::Integer(4)),
            Verdict::Wrong
        );
    }
}
