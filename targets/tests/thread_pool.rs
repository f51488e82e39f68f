//! How many threads a pool has, and what a `WAIT` does to it.

#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::time::{Duration, Instant};

use server::{Connection, Server, eventually};

/// Threads of the server, the one that accepts among them.
fn threads(server: &Server) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid()));
    tasks.expect("it runs").count()
}

fn connect(server: &Server, count: usize) -> Vec<Connection> {
    let mut connections: Vec<_> = (0..count).map(|_| server.connect()).collect();
    for connection in &mut connections {
        connection.exchange(b"PING\r\n", b"+PONG\r\n");
    }
    connections
}

#[test]
fn there_are_as_many_threads_as_asked_for_however_many_connections() {
    let server = Server::start("thread-pool", &["--workers", "3"]);
    let mut connections = connect(&server, 50);
    for connection in &mut connections {
        connection.exchange(
            b"WORK 100\r\nINCR n\r\nWORK 100\r\n".as_slice(),
            b"+OK\r\n:",
        );
    }
    assert_eq!(threads(&server), 1 + 3);
}

#[test]
fn a_wait_takes_another_thread_up_to_the_limit() {
    let server = Server::start("thread-pool", &["--workers", "1", "--max-workers", "3"]);
    let mut clients = connect(&server, 4);
    assert_eq!(threads(&server), 1 + 1);
    let begun = Instant::now();
    for (waits, waiting) in (1..).zip([0, 1]) {
        clients[waiting].send(b"WAIT 500\r\n");
        eventually("another thread has taken its place", || {
            threads(&server) == 2 + waits
        });
        clients[3].exchange(b"PING\r\n", b"+PONG\r\n");
    }
    assert!(
        begun.elapsed() < Duration::from_millis(400),
        "{:?}",
        begun.elapsed()
    );
    clients[2].send(b"WAIT 500\r\n");
    std::thread::sleep(Duration::from_millis(20));
    // All three wait: who comes now is served when the first of them is back.
    clients[3].exchange(b"PING\r\n", b"+PONG\r\n");
    let served = begun.elapsed();
    assert!(served >= Duration::from_millis(500), "{served:?}");
    assert!(served < Duration::from_millis(900), "{served:?}");
    for client in &mut clients[..3] {
        client.expect(b"+OK\r\n");
    }
    assert_eq!(threads(&server), 1 + 3);
    connect(&server, 4);
}

#[test]
fn a_limit_below_the_workers_is_refused() {
    let output = std::process::Command::new(server::TARGET)
        .args(["serve", "--model", "thread-pool", "--listen", "127.0.0.1:0"])
        .args(["--workers", "4", "--max-workers", "3"])
        .output()
        .expect("cannot run the program");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "connscope-target: cannot limit 4 workers to 3; choose more with --max-workers\n"
    );
}
