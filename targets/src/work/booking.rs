//! The last-ticket race: a customer looks whether a seat is free, thinks for a millisecond, and
//! buys it. What other customers do meanwhile shows in how often the seat is sold.
//!
//! A seat is the key `seat:NAME`, so that `GET` tells how often it was sold: `1`, or more where it
//! was oversold. While it is held for somebody, the end of that (in nanoseconds of `CLOCK_MONOTONIC`)
//! and the holder follow: who dies with a seat in hand keeps it for no longer than a second.

use std::time::Duration;

use rustix::thread::gettid;
use rustix::time::{ClockId, clock_gettime};

use crate::store::{Full, Lock, Store};

/// The longest name of a seat, in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 128;
const PREFIX: &[u8] = b"seat:";
/// How long a customer thinks before buying.
const THINKING: Duration = Duration::from_millis(1);
/// After how long a customer looks again at a seat that is held for another.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// For how long a seat is held at most.
const HOLD_NS: u64 = 1_000_000_000;

/// What keeps two customers from buying the same seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing.
    None,
    /// The seat is held while its customer thinks; the others wait.
    Lock,
    /// It is bought only if nobody has bought it since it was looked at.
    Optimistic,
}

/// A customer on the way to a seat.
#[derive(Debug)]
pub(crate) struct Booking {
    key: Vec<u8>,
    mode: Mode,
    /// The customer found the seat free, has thought about it, and buys.
    buys: bool,
    /// What the seat was held with, under `Mode::Lock`.
    hold: Hold,
    /// How often the customer began anew, since another had bought the seat meanwhile.
    retries: u32,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The seat is free: the next step, after `THINKING`, buys it.
    Think,
    /// The seat is held for another: the next step, after `LOOK_AGAIN`, looks once more.
    LookAgain,
    /// The customer has the seat.
    Booked,
    /// Another has it.
    Taken,
}

/// A seat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seat {
    /// How often it was sold.
    sold: u64,
    hold: Hold,
}

/// For whom a seat is held and until when: for nobody if that is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Hold {
    until_ns: u64,
    thread: u64,
}

impl Mode {
    /// The mode of that name, in any case.
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        let modes: [(&[u8], Self); 3] = [
            (b"none", Self::None),
            (b"lock", Self::Lock),
            (b"optimistic", Self::Optimistic),
        ];
        let found = modes
            .iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known))?;
        Some(found.1)
    }
}

impl Booking {
    /// A customer who wants this seat.
    pub(crate) fn of(seat: &[u8], mode: Mode) -> Self {
        Self {
            key: key_of_seat(seat),
            mode,
            buys: false,
            hold: Hold::default(),
            retries: 0,
        }
    }

    /// Looks or buys; looks anew where another has bought since the last look.
    ///
    /// # Errors
    /// When the store has no room for what is known of the seat.
    pub(crate) fn step<L: Lock>(&mut self, store: &Store<L>) -> Result<Step, Full> {
        loop {
            let step = self.try_step(store)?;
            self.buys = step == Some(Step::Think);
            match step {
                Some(step) => return Ok(step),
                None => self.retries += 1,
            }
        }
    }

    /// What the customer is told: 1 and the retries if the seat is theirs, else the retries below 0.
    pub(crate) fn answer(&self, has_seat: bool) -> i64 {
        let retries = i64::from(self.retries);
        if has_seat { 1 + retries } else { -retries }
    }

    /// `None` where another has bought the seat since this customer looked.
    fn try_step<L: Lock>(&mut self, store: &Store<L>) -> Result<Option<Step>, Full> {
        let now_ns = now_ns();
        if self.mode == Mode::Lock && !self.buys {
            self.hold = Hold::from(now_ns);
        }
        store.update(&self.key, |old| {
            let mut seat = old.map_or_else(Seat::default, Seat::read);
            let before = seat;
            let step = match self.buys {
                true => self.buy(&mut seat),
                false => Some(self.look(&mut seat, now_ns)),
            };
            (step, (seat != before).then(|| seat.text()))
        })
    }

    fn look(&self, seat: &mut Seat, now_ns: u64) -> Step {
        if seat.sold > 0 {
            return Step::Taken;
        }
        if self.mode == Mode::Lock {
            if seat.hold.is_on(now_ns) {
                return Step::LookAgain;
            }
            seat.hold = self.hold;
        }
        Step::Think
    }

    fn buy(&self, seat: &mut Seat) -> Option<Step> {
        match self.mode {
            Mode::Lock if seat.hold != self.hold => return Some(Step::Taken),
            Mode::Optimistic if seat.sold > 0 => return None,
            _ => {}
        }
        seat.sold += 1;
        seat.hold = Hold::default();
        Some(Step::Booked)
    }
}

/// The key that tells of a seat.
pub(crate) fn key_of_seat(seat: &[u8]) -> Vec<u8> {
    [PREFIX, seat].concat()
}

impl Step {
    /// The time until the next step, if there is one.
    pub(crate) fn wait(self) -> Option<Duration> {
        match self {
            Self::Think => Some(THINKING),
            Self::LookAgain => Some(LOOK_AGAIN),
            Self::Booked | Self::Taken => None,
        }
    }
}

impl Hold {
    /// No hold is longer than `HOLD_NS`, whatever the key was set to.
    fn is_on(self, now_ns: u64) -> bool {
        self.until_ns > now_ns && self.until_ns - now_ns <= HOLD_NS
    }

    /// For this thread from now on.
    fn from(now_ns: u64) -> Self {
        Self {
            until_ns: now_ns + HOLD_NS,
            thread: gettid().as_raw_nonzero().get() as u64,
        }
    }
}

impl Seat {
    /// Anything else than what `text` writes is a seat that is free: a client may set the key too.
    fn read(text: &[u8]) -> Self {
        let text = std::str::from_utf8(text).unwrap_or_default();
        let mut numbers = text.split(' ').map(|word| word.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Self {
            sold: next(),
            hold: Hold {
                until_ns: next(),
                thread: next(),
            },
        }
    }

    fn text(&self) -> String {
        let Self { sold, hold } = self;
        match *hold == Hold::default() {
            true => sold.to_string(),
            false => format!("{sold} {} {}", hold.until_ns, hold.thread),
        }
    }
}

fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MIN_BYTES, SingleThread};

    /// Customers who look at the same time, then go on as often as they want to: what they are told.
    fn customers(count: usize, mode: Mode) -> (Vec<i64>, Vec<u8>) {
        let store = Store::<SingleThread>::new(MIN_BYTES).expect("a store");
        let mut customers: Vec<_> = (0..count).map(|_| Booking::of(b"1", mode)).collect();
        let mut ends = Vec::new();
        let mut going: Vec<_> = customers.iter_mut().collect();
        while !going.is_empty() {
            going.retain_mut(|customer| {
                let step = customer.step(&store).expect("room");
                if step.wait().is_none() {
                    ends.push(customer.answer(step == Step::Booked));
                }
                step.wait().is_some()
            });
        }
        let sold = store.get(b"seat:1", <[u8]>::to_vec).expect("a seat");
        (ends, sold)
    }

    #[test]
    fn with_nothing_between_them_both_have_it() {
        assert_eq!(customers(2, Mode::None), (vec![1, 1], b"2".to_vec()));
    }

    #[test]
    fn otherwise_one_has_it_and_who_looked_in_vain_looks_again() {
        let sold_once = b"1".to_vec();
        let lock = customers(4, Mode::Lock);
        assert_eq!(lock, (vec![1, 0, 0, 0], sold_once.clone()));
        let optimistic = customers(4, Mode::Optimistic);
        assert_eq!(optimistic, (vec![1, -1, -1, -1], sold_once));
    }

    #[test]
    fn no_seat_is_held_for_ever() {
        let store = Store::<SingleThread>::new(MIN_BYTES).expect("a store");
        let planted = b"0 18446744073709551615 1";
        store.set(b"seat:1", planted).expect("room");
        let mut customer = Booking::of(b"1", Mode::Lock);
        assert_eq!(customer.step(&store), Ok(Step::Think));
    }

    #[test]
    fn a_seat_held_by_nobody_any_more_is_free_and_not_sold_to_who_held_it() {
        let store = Store::<SingleThread>::new(MIN_BYTES).expect("a store");
        let mut slow = Booking::of(b"1", Mode::Lock);
        assert_eq!(slow.step(&store), Ok(Step::Think));
        let over = format!("0 {} {}", now_ns(), slow.hold.thread);
        store.set(b"seat:1", over.as_bytes()).expect("room");
        let mut next = Booking::of(b"1", Mode::Lock);
        assert_eq!(next.step(&store), Ok(Step::Think));
        assert_eq!(slow.step(&store), Ok(Step::Taken));
        assert_eq!(next.step(&store), Ok(Step::Booked));
    }
}
