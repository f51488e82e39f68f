//! The last-ticket race: nobody's seat is sold to another, unless nothing is to prevent it.

#[path = "harness/generator.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod generator;
#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use generator::{Load, Outcome, number};
use server::{Server, models};

/// Of whom eight want the same seat, one right after the other.
const CUSTOMERS: f64 = 3_200.0;

/// What became of the customers, of whom one comes each 125 us.
fn sell(model: &str, mode: &str) -> (Server, Outcome) {
    let server = Server::start(model, &[]);
    let load = Load::new(server.address, 64, 8_000, "400ms")
        .workload("booking")
        .option("--booking", mode);
    let outcome = load.run();
    assert_eq!(outcome.status, 0, "{model}, {mode}: {}", outcome.result);
    (server, outcome)
}

#[test]
fn a_lock_or_a_second_look_keeps_every_seat_from_being_sold_twice() {
    for model in models() {
        for mode in ["lock", "optimistic"] {
            let (_server, Outcome { result, .. }) = sell(&model, mode);
            assert_eq!(number(&result, "requests"), CUSTOMERS, "{model}: {result}");
            assert_eq!(number(&result, "oversold_seats"), 0.0, "{model}: {result}");
        }
    }
}

#[test]
fn with_neither_the_race_shows() {
    for model in models() {
        let (_server, Outcome { result, .. }) = sell(&model, "none");
        // The eight have come within the millisecond for which the first one thinks.
        let (oversold, seats) = (number(&result, "oversold_seats"), CUSTOMERS / 8.0);
        assert!(
            (seats / 2.0..=seats).contains(&oversold),
            "{model}: {result}"
        );
    }
}
