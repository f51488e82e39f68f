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
    /// How often each seat was sold.
    sold: Vec<u8>,
}

impl Bookings {
    /// No seat sold yet.
    pub(crate) fn new(mode: Booking) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            mode,
            run: now.unwrap_or_default().as_nanos() as u64,
            sold: Vec::new(),
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

    /// Takes an answer: 1 for who has the seat, 0 for who came too late. Whether it may be.
    pub(crate) fn answer(&mut self, seat: u64, answer: i64) -> bool {
        let seat = seat as usize;
        match answer {
            0 => true,
            1 => {
                if seat >= self.sold.len() {
                    self.sold.resize(seat + 1, 0);
                }
                self.sold[seat] = self.sold[seat].saturating_add(1);
                self.sold[seat] == 1 || self.mode == Booking::None
            }
            _ => false,
        }
    }

    /// Seats sold to more than one customer.
    pub(crate) fn oversold(&self) -> u64 {
        self.sold.iter().filter(|&&times| times > 1).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_sold_twice_is_oversold_and_wrong_unless_nothing_was_to_prevent_it() {
        for (mode, right) in [
            (Booking::None, true),
            (Booking::Lock, false),
            (Booking::Optimistic, false),
        ] {
            let mut bookings = Bookings::new(mode);
            assert!(bookings.answer(3, 1) && bookings.answer(3, 0));
            assert_eq!(bookings.oversold(), 0);
            assert_eq!(bookings.answer(3, 1), right, "{mode:?}");
            assert_eq!(bookings.oversold(), 1);
            assert!(!bookings.answer(4, 2));
        }
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
