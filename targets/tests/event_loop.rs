//! What the event loop does with a `WAIT`, which is a timer of its own.

#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::time::{Duration, Instant};

use server::{Server, eventually};

/// A timer that another event has come between is waited for anew, for what is left of it: that may
/// not be made a whole millisecond.
#[test]
fn waiting_is_not_rounded_to_milliseconds() {
    let server = Server::start("event-loop", &[]);
    let (mut waiting, mut other) = (server.connect(), server.connect());
    let mut shortest = Duration::MAX;
    for _ in 0..100 {
        let begun = Instant::now();
        waiting.send(b"WAIT 3\r\n");
        std::thread::sleep(Duration::from_micros(2_500).saturating_sub(begun.elapsed()));
        let came_between = begun.elapsed();
        other.exchange(b"PING\r\n", b"+PONG\r\n");
        waiting.expect(b"+OK\r\n");
        let waited = begun.elapsed();
        assert!(waited >= Duration::from_millis(3), "{waited:?}");
        if came_between < Duration::from_micros(2_900) {
            shortest = shortest.min(waited);
        }
    }
    // Rounded up it would be 3.5 ms at least.
    assert!(shortest < Duration::from_micros(3_400), "{shortest:?}");
}

#[test]
fn who_leaves_while_waiting_leaves_its_place() {
    let server = Server::start("event-loop", &["--max-connections", "2"]);
    let begun = Instant::now();
    let clients = [(); 2].map(|()| server.connect());
    for mut client in clients {
        client.exchange(b"PING\r\n", b"+PONG\r\n");
        client.send(b"WAIT 60000\r\n");
    }
    eventually("both places are free", || {
        let mut next = [(); 2].map(|()| server.connect());
        next.iter_mut().all(|client| {
            let _ = std::io::Write::write_all(&mut client.stream, b"PING\r\nQUIT\r\n");
            client.rest() == b"+PONG\r\n+OK\r\n"
        })
    });
    assert!(begun.elapsed() < Duration::from_secs(20));
}
