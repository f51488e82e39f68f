//! Clients that mean harm, or know no better: each costs its own connection at most, and no other client
//! notices.

#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::io::Write;
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use server::{Connection, Server, eventually, every_model, models};

/// How long an answer may take while others misbehave, on a busy machine.
const SOON: Duration = Duration::from_secs(2);

fn ping(connection: &mut Connection) {
    connection.exchange(b"PING\r\n", b"+PONG\r\n");
}

/// Asks again and again while `others` misbehave.
fn undisturbed(server: &Server, others: impl FnOnce()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let witness = scope.spawn(|| {
            let mut witness = server.connect();
            let mut longest = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                ping(&mut witness);
                longest = longest.max(begun.elapsed());
                std::thread::sleep(Duration::from_millis(5));
            }
            longest
        });
        let done = catch_unwind(AssertUnwindSafe(others));
        over.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|panic| resume_unwind(panic));
        let longest = witness.join().expect("it is served");
        assert!(longest < SOON, "an answer took {longest:?}");
    });
}

#[test]
fn who_ends_its_side_is_answered_what_it_has_asked() {
    every_model(&[], |server| {
        for _ in 0..20 {
            let mut connection = server.connect();
            connection.send(&b"INCR n\r\n".repeat(100));
            let stream = &connection.stream;
            stream.shutdown(Shutdown::Write).expect("it is connected");
            let replies = connection.rest();
            assert_eq!(replies.iter().filter(|&&byte| byte == b':').count(), 100);
        }
        server.connect().exchange(b"GET n\r\n", b"$4\r\n2000\r\n");
    });
}

#[test]
fn who_resets_in_the_middle_leaves_nothing_behind() {
    every_model(&[], |server| {
        undisturbed(server, || {
            for round in 0..100 {
                let mut connection = server.connect();
                // A request that is not complete, one whose reply nobody reads, one that waits.
                let begun: [&[u8]; 3] = [b"*2\r\n$3\r\nGET\r\n$1", b"PING\r\n", b"WAIT 50\r\n"];
                connection.send(begun[round % begun.len()]);
                reset(connection);
            }
        });
        let mut last = server.connect();
        eventually("all places are free", || {
            let mut info = server.connect();
            let _ = info.stream.write_all(b"INFO\r\nQUIT\r\n");
            let info = String::from_utf8(info.rest()).expect("text");
            info.contains("connected_clients:2\r\n")
        });
        ping(&mut last);
    });
}

/// Closes without taking leave.
fn reset(connection: Connection) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&connection.stream);
    // SAFETY: the option's type and size are as the kernel wants them.
    let status = unsafe {
        libc::setsockopt(
            descriptor,
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of_val(&linger) as libc::socklen_t,
        )
    };
    assert_eq!(status, 0, "SO_LINGER");
}

#[test]
fn a_byte_now_and_then_holds_nobody_up() {
    every_model(&[], |server| {
        undisturbed(server, || {
            // Fewer than a pooler has connections for its sessions.
            let mut slow: Vec<_> = (0..15).map(|_| server.connect()).collect();
            for byte in b"*2\r\n$4\r\nECHO\r\n$2\r\nok\r\n" {
                slow.iter_mut().for_each(|client| client.send(&[*byte]));
                std::thread::sleep(Duration::from_millis(50));
            }
            slow.iter_mut()
                .for_each(|client| client.expect(b"$2\r\nok\r\n"));
        });
    });
}

#[test]
fn who_never_asks_keeps_a_place_and_nothing_else() {
    every_model(&["--max-connections", "200"], |server| {
        undisturbed(server, || {
            let mute: Vec<_> = (0..150).map(|_| server.connect()).collect();
            std::thread::sleep(Duration::from_millis(500));
            drop(mute);
        });
    });
}

/// Half a gigabyte is refused as it is announced, not when it has come.
#[test]
fn a_value_of_half_a_gigabyte_is_refused_at_its_first_byte() {
    every_model(&[], |server| {
        let mut connection = server.connect();
        connection.send(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$536870912\r\n");
        connection.expect(b"-ERR Protocol error: invalid bulk length\r\n");
        assert_eq!(connection.rest(), b"");
        let mut connection = server.connect();
        connection.send(b"*2\r\n$3\r\nGET\r\n$536870912\r\n");
        connection.expect(b"-ERR Protocol error: invalid bulk length\r\n");
        assert_eq!(connection.rest(), b"");
    });
}

#[test]
fn what_comes_after_sigterm_is_answered_or_refused_by_the_end() {
    for model in models() {
        let mut server = Server::start(&model, &[]);
        let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(ping);
        let mut busy = server.connect();
        busy.exchange(b"PING\r\nWAIT 300\r\n", b"+PONG\r\n");
        server::signal_process(server.pid(), libc::SIGTERM);
        for client in &mut clients {
            // The server may have closed already.
            let _ = client.stream.write_all(b"PING\r\n");
        }
        for client in &mut clients {
            let answer = client.rest();
            let whole = [&b""[..], b"+PONG\r\n"].contains(&&answer[..]);
            assert!(whole, "{model}: {}", answer.escape_ascii());
        }
        assert_eq!(busy.rest(), b"+OK\r\n", "{model}");
        assert_eq!(server.ended().code(), Some(0), "{model}");
    }
}
