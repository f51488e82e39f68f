//! What a handler that crashes takes with it.

#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::io::Write;
use std::os::unix::process::ExitStatusExt;

use server::{Server, eventually, models};

#[test]
fn a_process_dies_alone_and_threads_take_all_with_them() {
    // What a pooler is asked crashes the server behind it.
    for model in models().into_iter().filter(|model| model != "pooler") {
        let mut server = Server::start(&model, &["--allow-crash"]);
        let (mut crashing, mut other) = (server.connect(), server.connect());
        other.exchange(b"PING\r\n", b"+PONG\r\n");
        crashing.exchange(b"PING\r\n", b"+PONG\r\n");
        crashing.send(b"CRASH\r\n");
        assert_eq!(crashing.rest(), b"", "{model}");
        if model == "process-per-connection" {
            other.exchange(b"PING\r\n", b"+PONG\r\n");
        }
        if model.starts_with("process") {
            eventually("others are served", || {
                let mut next = server.connect();
                let _ = next.stream.write_all(b"PING\r\nQUIT\r\n");
                next.rest() == b"+PONG\r\n+OK\r\n"
            });
        } else {
            assert_eq!(other.rest(), b"", "{model}");
            assert_eq!(server.ended().signal(), Some(libc::SIGSEGV), "{model}");
        }
    }
}
