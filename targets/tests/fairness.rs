//! That one busy client does not starve the others of an event loop, or of a worker that has several
//! connections.

#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use server::Server;

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

#[test]
fn a_pipelining_client_does_not_starve_others() {
    look_on(&Server::start("event-loop", &[]), Duration::from_secs(3));
    for model in [
        "process-pool",
        "thread-pool",
        "event-loop-workers",
        "thread-per-core",
    ] {
        let server = Server::start(model, &["--workers", "1"]);
        look_on(&server, Duration::from_secs(1));
    }
}

/// Asks small things for so long while another client streams.
fn look_on(server: &Server, window: Duration) {
    let over = AtomicBool::new(false);
    let streamer = server.connect().stream;
    let mut witness = server.connect();
    witness.exchange(PING, b"+PONG\r\n");
    let value = server::request(&[b"SET", b"key", &[b'x'; 256 << 10]]);
    for _ in 0..400 {
        (&streamer).write_all(&value).expect("cannot send");
    }
    std::thread::scope(|scope| {
        scope.spawn(|| stream(&streamer, &over));
        let replies = scope.spawn(|| count_replies(&streamer));
        let started = Instant::now();
        let (mut exchanges, mut longest) = (0, Duration::ZERO);
        while started.elapsed() < window {
            let asked = Instant::now();
            witness.exchange(PING, b"+PONG\r\n");
            longest = longest.max(asked.elapsed());
            exchanges += 1;
        }
        let mean = started.elapsed() / exchanges;
        over.store(true, Ordering::Relaxed);
        let _ = streamer.shutdown(std::net::Shutdown::Both);
        let replies = replies.join().expect("the replies were read");
        println!("{exchanges} exchanges, mean {mean:?}, longest {longest:?}; {replies} streamed");
        let least = 33_333 * window.as_secs() as usize;
        assert!(replies > least, "no stream: {replies} replies");
        assert!(
            longest < Duration::from_millis(200) && mean < Duration::from_millis(50),
            "mean {mean:?}, longest {longest:?} beside {replies} streamed replies"
        );
    });
}

/// Sends short work until `over`, much more at a time than one turn reads: large values have made the
/// server's buffers grow before.
fn stream(mut streamer: &std::net::TcpStream, over: &AtomicBool) {
    let requests = server::request(&[b"WORK", b"1"]).repeat(65_536);
    while !over.load(Ordering::Relaxed) && streamer.write_all(&requests).is_ok() {}
}

/// Reads replies to the end and counts them.
fn count_replies(mut streamer: &std::net::TcpStream) -> usize {
    let mut bytes = vec![0; 1 << 20];
    let mut read = 0;
    while let Ok(more @ 1..) = streamer.read(&mut bytes) {
        read += more;
    }
    read / b"+OK\r\n".len()
}
