//! The last-ticket race: nobody's seat is sold to another, unless nothing is to prevent it.

#[path = "harness/generator.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod generator;
#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::io::Read;
use std::time::Instant;

use generator::{Load, Outcome, misbehaving_server, number};
use server::{Connection, PATIENCE, Server, models, signal_process};

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
            // The eight have come within the millisecond for which the first one thinks: seven of each
            // eight who find that it has bought.
            let retries = number(&result, "booking_retries");
            let (least, most) = match mode {
                "lock" => (0.0, 0.0),
                _ => (1.0, CUSTOMERS * 7.0 / 8.0),
            };
            assert!(
                (least..=most).contains(&retries),
                "{model}, {mode}: {result}"
            );
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
        assert_eq!(number(&result, "booking_retries"), 0.0, "{model}: {result}");
    }
}

/// The next line that a server answers.
fn line(connection: &mut Connection) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        connection.stream.read_exact(&mut byte).expect("an answer");
        line.extend(byte);
    }
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

/// What customers are answered who all ask for a seat while the server is stopped.
fn answers(server: &Server, seat: &str, mode: &str, customers: usize) -> Vec<String> {
    let mut connections: Vec<_> = (0..customers).map(|_| server.connect()).collect();
    for connection in &mut connections {
        connection.exchange(b"PING\r\n", b"+PONG\r\n");
    }
    signal_process(server.pid(), libc::SIGSTOP);
    let request = format!("BOOK {seat} {mode}\r\n");
    for connection in &mut connections {
        connection.send(request.as_bytes());
    }
    signal_process(server.pid(), libc::SIGCONT);
    let mut answers: Vec<_> = connections.iter_mut().map(line).collect();
    answers.sort();
    answers
}

#[test]
fn who_all_look_at_once_try_again_but_one() {
    // One thread looks for all of them before any has thought.
    let server = Server::start("event-loop", &[]);
    let counted = |mode, expected: &[(&str, usize)]| {
        let answers = answers(&server, &format!("s-{mode}"), mode, 8);
        for &(answer, count) in expected {
            let found = answers.iter().filter(|found| *found == answer).count();
            assert_eq!(found, count, "{mode}: {answers:?}");
        }
    };
    counted("optimistic", &[(":1", 1), (":-1", 7)]);
    counted("none", &[(":1", 8)]);
    counted("lock", &[(":1", 1), (":0", 7)]);
}

#[test]
fn of_two_who_look_at_once_one_tries_again_in_every_model() {
    for model in models() {
        let server = Server::start(&model, &[]);
        let mut customers = [server.connect(), server.connect()];
        let begun = Instant::now();
        for seat in 0.. {
            let request = format!("BOOK {seat} optimistic\r\n");
            customers
                .iter_mut()
                .for_each(|customer| customer.send(request.as_bytes()));
            let mut answers = customers.each_mut().map(line);
            answers.sort();
            match answers.each_ref().map(String::as_str) {
                [":-1", ":1"] => break,
                // The second came when the first had bought.
                [":0", ":1"] => assert!(begun.elapsed() < PATIENCE, "{model} never tries again"),
                _ => panic!("{model}: {answers:?}"),
            }
        }
    }
}

#[test]
fn retries_are_counted_as_they_are_answered() {
    // Of each eight, who come one after the other, seven try again.
    let address = misbehaving_server(|number, stream| {
        let answer: &[u8] = match number {
            0 => b"+PONG\r\n",
            _ if number % 8 == 1 => b":1\r\n",
            _ => b":-1\r\n",
        };
        std::io::Write::write_all(stream, answer)
    });
    let load = Load::new(address, 1, 800, "100ms").workload("booking");
    let optimistic = load.clone().option("--booking", "optimistic").run();
    assert_eq!(optimistic.status, 0, "{}", optimistic.result);
    assert_eq!(number(&optimistic.result, "requests"), 80.0);
    assert_eq!(number(&optimistic.result, "booking_retries"), 70.0);
    assert_eq!(number(&optimistic.result, "oversold_seats"), 0.0);
    // Where nobody can find that another has bought, the answer is wrong.
    let none = load.option("--booking", "none").run();
    assert_eq!(none.status, 1, "{}", none.result);
    assert_eq!(number(&none.result, "errors/wrong_answers"), 70.0);
    assert_eq!(number(&none.result, "booking_retries"), 0.0);
}
