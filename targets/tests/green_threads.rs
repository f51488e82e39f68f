//! What is special to coroutines with stacks of their own.

#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::io::Read;
use std::process::Command;
use std::time::{Duration, Instant};

use server::{Server, TARGET, eventually};

/// The lengths of a server's writable mappings, in bytes.
fn mappings(server: &Server) -> Vec<u64> {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", server.pid()));
    let maps = maps.expect("it runs");
    let lines = maps.lines().filter(|line| line.contains(" rw-p "));
    lines
        .map(|line| {
            let range = line.split_whitespace().next().expect("a range");
            let (from, to) = range.split_once('-').expect("two ends");
            let number = |text| u64::from_str_radix(text, 16).expect("a number");
            number(to) - number(from)
        })
        .collect()
}

#[test]
fn each_connection_has_a_stack_as_large_as_asked_for() {
    let server = Server::start("green-threads", &["--stack-size", "3MiB", "--workers", "2"]);
    let stacks = || {
        mappings(&server)
            .iter()
            .filter(|&&bytes| bytes == 3 << 20)
            .count()
    };
    let threads = stacks();
    assert!(threads <= 2, "{threads}");
    let mut clients: Vec<_> = (0..7).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.exchange(b"PING\r\n", b"+PONG\r\n");
    }
    assert_eq!(stacks(), threads + 7);
    // Stacks are kept and used again.
    drop(clients);
    let mut clients: Vec<_> = (0..7).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.exchange(b"PING\r\n", b"+PONG\r\n");
    }
    assert!(stacks() <= threads + 14, "{}", stacks());
    let threads = std::fs::read_dir(format!("/proc/{}/task", server.pid()));
    assert_eq!(threads.expect("it runs").count(), 3);
}

/// With address space for few stacks only.
#[test]
fn without_a_stack_a_client_is_refused_and_the_others_are_served_on() {
    let script = format!(
        "ulimit -v 1000000; exec {TARGET} serve --model green-threads --workers 2 \
         --stack-size 32MiB --listen 127.0.0.1:0"
    );
    let server = Server::start_command(Command::new("sh").args(["-c", &script]));
    let (mut served, mut refused) = (Vec::new(), 0);
    for _ in 0..60 {
        let mut client = server.connect();
        client.send(b"PING\r\n");
        let mut first = [0; 1];
        client.stream.read_exact(&mut first).expect("an answer");
        match first[0] {
            b'+' => {
                client.expect(b"PONG\r\n");
                served.push(client);
            }
            _ => {
                assert_eq!(client.rest(), b"ERR max number of clients reached\r\n");
                refused += 1;
            }
        }
    }
    assert!(
        (10..31).contains(&served.len()) && refused == 60 - served.len(),
        "{} served, {refused} refused",
        served.len()
    );
    for client in &mut served {
        client.exchange(b"PING\r\n", b"+PONG\r\n");
    }
    drop(served);
    eventually("clients are served again", || {
        let mut client = server.connect();
        let _ = std::io::Write::write_all(&mut client.stream, b"PING\r\nQUIT\r\n");
        client.rest() == b"+PONG\r\n+OK\r\n"
    });
}

/// A coroutine stays on its thread: what shares it with a `WORK` waits, and nothing else does.
#[test]
fn work_holds_up_the_coroutines_of_its_own_thread_only() {
    let server = Server::start("green-threads", &["--workers", "2"]);
    let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.exchange(b"PING\r\n", b"+PONG\r\n");
    }
    let (busy, others) = clients.split_first_mut().expect("some");
    let begun = Instant::now();
    busy.send(b"WORK 2000000\r\n");
    std::thread::sleep(Duration::from_millis(20));
    for client in &mut *others {
        client.send(b"PING\r\n");
    }
    std::thread::sleep(Duration::from_millis(100));
    let mut at_once = 0;
    for client in &mut *others {
        client.stream.set_nonblocking(true).expect("cannot set it");
        at_once += usize::from(client.stream.peek(&mut [0; 1]).is_ok());
        client.stream.set_nonblocking(false).expect("cannot set it");
    }
    assert!(
        begun.elapsed() < Duration::from_millis(1_900),
        "too busy here"
    );
    assert_eq!(at_once, 4);
    for client in others {
        client.expect(b"+PONG\r\n");
    }
    busy.expect(b"+OK\r\n");
}
