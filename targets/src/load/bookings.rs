//! The workload `booking`: customers after the last ticket, several for each seat, and whether a seat
//! was sold to more than one.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use redis_protocol::resp2::types::BorrowedFrame::BulkString;

use crate::protocol::reply::array;

/// Customers for each seat, who come one right after the other, on connections of their own.
const CUSTOMERS: u64 = 8;

/// What the server is asked to keep two customers from buying one seat with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Booking {
    /// Nothing: the race shows
    None,
    /// A lock on the seat while its customer thinks
    #[default]
    Lock,
    /// A look, when it is bought, whether it still is free
    Optimistic,
}

/// Requests for seats, and what became of the seats.
#[derive(Debug)]
pub(crate) struct Bookings {
    mode: Booking,
    /// Tells the seats of this run from those of others on the same server.
    run: u64,
    seats: Vec<Seat>,
    /// How often customers began anew, since another had bought the seat meanwhile.
    retries: u64,
}

/// What became of a seat.
#[derive(Clone, Copy, Debug, Default)]
struct Seat {
    /// Customers who were answered.
    answered: u64,
    /// Those who have it.
    sold: u64,
}

impl Bookings {
    /// No seat sold yet.
    pub(crate) fn new(mode: Booking) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            mode,
            run: now.unwrap_or_default().as_nanos() as u64,
            seats: Vec::new(),
            retries: 0,
        }
    }

    /// For more customers of the same seats; no seat sold yet.
    pub(crate) fn of_same_run(&self) -> Self {
        Self {
            mode: self.mode,
            run: self.run,
            seats: Vec::new(),
            retries: 0,
        }
    }

    /// Writes the request of customer `index`; answers the seat.
    pub(crate) fn request(&self, index: u64, request: &mut Vec<u8>) -> u64 {
        let seat = index / CUSTOMERS;
        let name = format!("{:x}-{seat}", self.run);
        let mode = self.mode.to_possible_value();
        let mode = mode.as_ref().map_or("", |mode| mode.get_name());
        let words = ["BOOK", &name, mode].map(|word| BulkString(word.as_bytes()));
        array(request, &words);
        seat
    }

    /// Takes an answer: 1 for who has the seat, 0 for who came too late; -1 for who came too late only
    /// with buying, which had to be tried again, and then found the seat sold. Whether there is such an
    /// answer: nobody has a seat that another has bought.
    pub(crate) fn answer(&mut self, seat: u64, answer: i64) -> bool {
        match answer {
            0 | 1 => {}
            -1 if self.mode == Booking::Optimistic => self.retries += 1,
            _ => return false,
        }
        let seat = self.seat(seat as usize);
        seat.answered += 1;
        seat.sold += u64::from(answer == 1);
        true
    }

    fn seat(&mut self, seat: usize) -> &mut Seat {
        if seat >= self.seats.len() {
            self.seats.resize(seat + 1, Seat::default());
        }
        &mut self.seats[seat]
    }

    /// Counts what other customers of the same seats were answered.
    pub(crate) fn add(&mut self, others: &Self) {
        for (seat, other) in others.seats.iter().enumerate() {
            let seat = self.seat(seat);
            seat.answered += other.answered;
            seat.sold += other.sold;
        }
        self.retries += others.retries;
    }

    /// Answers of which one must be wrong: that a seat is had by more than one, unless nothing was to
    /// prevent it, and that all customers of a seat came too late.
    pub(crate) fn impossible(&self) -> u64 {
        let of_seat = |seat: &Seat| match seat.sold {
            0 => u64::from(seat.answered == CUSTOMERS),
            _ if self.mode == Booking::None => 0,
            sold => sold - 1,
        };
        self.seats.iter().map(of_seat).sum()
    }

    /// Seats sold to more than one customer.
    pub(crate) fn oversold(&self) -> u64 {
        self.seats.iter().filter(|seat| seat.sold > 1).count() as u64
    }

    /// How often customers began anew, since another had bought the seat meanwhile.
    pub(crate) fn retries(&self) -> u64 {
        self.retries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_sold_twice_is_oversold_and_wrong_unless_nothing_was_to_prevent_it() {
        for (mode, wrong) in [
            (Booking::None, 0),
            (Booking::Lock, 1),
            (Booking::Optimistic, 1),
        ] {
            let mut bookings = Bookings::new(mode);
            assert!(bookings.answer(3, 1) && bookings.answer(3, 0));
            assert_eq!((bookings.oversold(), bookings.impossible()), (0, 0));
            assert!(bookings.answer(3, 1));
            assert_eq!(bookings.oversold(), 1);
            assert_eq!(bookings.impossible(), wrong, "{mode:?}");
            assert!(!bookings.answer(4, 2));
        }
    }

    #[test]
    fn a_seat_that_nobody_has_in_the_end_is_wrong() {
        let mut bookings = Bookings::new(Booking::Lock);
        assert!((1..CUSTOMERS).all(|_| bookings.answer(0, 0)));
        assert_eq!(bookings.impossible(), 0);
        assert!(bookings.answer(0, 0));
        assert_eq!((bookings.oversold(), bookings.impossible()), (0, 1));
    }

    #[test]
    fn retries_are_counted_and_only_optimists_try_again() {
        let mut bookings = Bookings::new(Booking::Optimistic);
        assert!(
            [1, -1, -1, 0]
                .iter()
                .all(|&answer| bookings.answer(5, answer))
        );
        assert_eq!((bookings.retries(), bookings.impossible()), (2, 0));
        assert!(!bookings.answer(5, -2));
        for mode in [Booking::None, Booking::Lock] {
            assert!(!Bookings::new(mode).answer(5, -1), "{mode:?}");
        }
    }

    #[test]
    fn two_halves_of_the_customers_are_judged_together() {
        let mut half = Bookings::new(Booking::Optimistic);
        let mut other = half.of_same_run();
        let (mut request, mut same) = (Vec::new(), Vec::new());
        half.request(9, &mut request);
        other.request(9, &mut same);
        assert_eq!(request, same, "the same seat");
        for seat in [0, 9] {
            assert!((0..4).all(|_| half.answer(seat, 0)));
            assert!((0..3).all(|_| other.answer(seat, -1)));
        }
        other.answer(0, 1);
        other.answer(9, 0);
        half.add(&other);
        assert_eq!(half.impossible(), 1, "nobody has seat 9");
        assert_eq!((half.oversold(), half.retries()), (0, 6));
    }

    #[test]
    fn eight_customers_want_the_same_seat() {
        let bookings = Bookings::new(Booking::Optimistic);
        let mut requests = Vec::new();
        let seats = (0..24).map(|index| bookings.request(index, &mut requests));
        assert_eq!(seats.sum::<u64>(), 8 + 16);
        let text = String::from_utf8(requests).expect("text");
        let last = format!("{:x}-2\r\n$10\r\noptimistic\r\n", bookings.run);
        assert!(text.ends_with(&last), "{text}");
    }
}
