//! An event loop that leaves heavy work to threads: others are served meanwhile, and replies are in
//! order.

#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::time::Instant;

use server::Server;

#[test]
fn heavy_work_delays_its_own_connection_only_and_keeps_the_order() {
    let server = Server::start("event-loop-workers", &["--workers", "1"]);
    let (mut busy, mut other) = (server.connect(), server.connect());
    other.exchange(b"PING\r\n", b"+PONG\r\n");
    busy.send(b"ECHO before\r\nWORK 400000\r\nECHO after\r\nWORK 10\r\nPING\r\n");
    busy.expect(b"$6\r\nbefore\r\n");
    let begun = Instant::now();
    for _ in 0..100 {
        other.exchange(b"INCR n\r\n".as_slice(), b":");
        let mut rest = [0; 8];
        let read = std::io::Read::read(&mut other.stream, &mut rest).expect("the rest");
        assert!(rest[..read].ends_with(b"\r\n"));
    }
    let others = begun.elapsed();
    busy.expect(b"+OK\r\n$5\r\nafter\r\n+OK\r\n+PONG\r\n");
    let worked = begun.elapsed();
    assert!(worked.as_millis() >= 390, "{worked:?}");
    assert!(others < worked / 2, "{others:?} of {worked:?}");
}

#[test]
fn work_for_clients_that_left_is_done_and_forgotten() {
    let server = Server::start("event-loop-workers", &["--workers", "1"]);
    for _ in 0..20 {
        let mut leaving = server.connect();
        leaving.send(b"WORK 2000\r\nWORK 2000\r\n");
    }
    // Who only ends its own side still gets its replies.
    let mut half = server.connect();
    half.send(b"WORK 1000\r\nECHO done\r\n");
    let _ = half.stream.shutdown(std::net::Shutdown::Write);
    assert_eq!(half.rest(), b"+OK\r\n$4\r\ndone\r\n");
    server::eventually("all who left are gone", || {
        server.connect().info("connected_clients") == 1
    });
}
