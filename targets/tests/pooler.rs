//! What is special to a pooler: few backend connections for many clients, replies that reach their own
//! client only, lines that end, backends that fail.

#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

#[path = "pooler/backends.rs"]
mod backends;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use server::{Connection, Noise, PATIENCE, Server, eventually, request};

/// A pooler in front of `backend`.
fn pooler(backend: SocketAddr, options: &[&str]) -> Server {
    let backend = backend.to_string();
    let mut command = std::process::Command::new(server::TARGET);
    command
        .args(["serve", "--model", "pooler", "--listen", "127.0.0.1:0"])
        .args(["--backend", &backend])
        .args(options);
    Server::start_command(&mut command)
}

/// What `INFO` says of `field`.
fn info(server: &Server, field: &str) -> usize {
    let mut connection = server.connect();
    connection.send(b"INFO\r\nQUIT\r\n");
    let text = String::from_utf8(connection.rest()).expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let value = line.and_then(|line| line.strip_prefix(':'));
    value.expect("the field").parse().expect("a number")
}

/// Hundreds of clients with pipelines of their own, and others that vanish at every point of an
/// exchange: each reply is compared, in both modes.
#[test]
fn replies_are_never_mixed_up() {
    for mode in ["transaction", "session"] {
        let backend = Server::start("async-tasks", &[]);
        let options = ["--pool-size", "4", "--pool-mode", mode];
        let patient = ["--queue-timeout", "1m"];
        let server = pooler(backend.address, &[&options[..], &patient].concat());
        let (over, exchanges, vanished) = (
            AtomicBool::new(false),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        std::thread::scope(|scope| {
            for number in 0..12 {
                scope.spawn({
                    let (server, over, exchanges) = (&server, &over, &exchanges);
                    move || converse(server, number, over, exchanges)
                });
            }
            for number in 0..4 {
                scope.spawn({
                    let (server, over, vanished) = (&server, &over, &vanished);
                    move || vanish(server, number, over, vanished)
                });
            }
            let (begun, both) = (Instant::now(), [&exchanges, &vanished]);
            while begun.elapsed() < 4 * PATIENCE
                && both.iter().any(|count| count.load(Ordering::Relaxed) < 150)
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            over.store(true, Ordering::Relaxed);
        });
        let (exchanges, vanished) = (exchanges.into_inner(), vanished.into_inner());
        assert!(
            exchanges >= 150 && vanished >= 150,
            "{exchanges}, {vanished}"
        );
        println!("{mode}: {exchanges} exchanges compared, {vanished} clients vanished");
        assert!(info(&backend, "connected_clients") <= 4 + 1, "{mode}");
        eventually("all backend connections are free again", || {
            info(&server, "backend_connections") == info(&server, "idle_backend_connections")
        });
    }
}

/// Exchanges what no other client would, until `over`; counts how often.
fn converse(server: &Server, number: usize, over: &AtomicBool, exchanges: &AtomicUsize) {
    let mut noise = Noise(0xC0_FFEE + number as u64);
    while !over.load(Ordering::Relaxed) {
        let mut connection = server.connect();
        for _ in 0..noise.next() % 20 {
            let (mut requests, mut replies) = (Vec::new(), Vec::new());
            for _ in 0..=noise.next() % 30 {
                let length = match noise.next() % 40 {
                    0 => 200_000,
                    more => more as usize * 10,
                };
                let mine = format!("{number}/{}/", noise.next());
                let mine = mine.repeat(length / mine.len() + 1);
                requests.extend(request(&[b"ECHO", mine.as_bytes()]));
                replies.extend(format!("${}\r\n{mine}\r\n", mine.len()).into_bytes());
                if noise.next().is_multiple_of(10) {
                    requests.extend(b"\r\nWAIT 1\r\nFOO\r\n\r\n");
                    replies.extend(b"+OK\r\n-ERR unknown command 'FOO'\r\n");
                }
            }
            let mut writer = connection.stream.try_clone().expect("cannot clone");
            std::thread::scope(|scope| {
                scope.spawn(move || writer.write_all(&requests).expect("cannot send"));
                connection.expect(&replies);
            });
            exchanges.fetch_add(1, Ordering::Relaxed);
        }
        connection.exchange(b"QUIT\r\n", b"+OK\r\n");
        assert_eq!(connection.rest(), b"");
    }
}

/// Connects, asks and is gone, again and again until `over`; counts how often.
fn vanish(server: &Server, number: usize, over: &AtomicBool, vanished: &AtomicUsize) {
    let mut noise = Noise(0xDEAD + number as u64);
    while !over.load(Ordering::Relaxed) {
        let mut stream = TcpStream::connect(server.address).expect("cannot connect");
        let large = vec![b'!'; 1 + (noise.next() % 300_000) as usize];
        let requests = match noise.next() % 5 {
            0 => b"ECHO !!!!!!!!\r\n".repeat(1 + (noise.next() % 500) as usize),
            1 => b"WAIT 5\r\nECHO !!!!\r\n".repeat(3),
            2 => request(&[b"ECHO", &large]),
            3 => request(&[b"ECHO", &large]).repeat(8),
            // Incomplete.
            _ => b"ECHO !!!!\r\n*2\r\n$4\r\nECHO\r\n$100\r\n!!!!".to_vec(),
        };
        stream.set_nonblocking(true).expect("cannot set it");
        let _ = stream.write_all(&requests);
        match noise.next() % 3 {
            // Leaves input unread, so that the end is a reset.
            0 => std::thread::sleep(Duration::from_millis(noise.next() % 3)),
            1 => _ = stream.read(&mut [0; 5]),
            _ => {}
        }
        drop(stream);
        vanished.fetch_add(1, Ordering::Relaxed);
        // It is not overload that is tried here.
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn many_clients_share_few_connections() {
    let backend = Server::start("thread-per-connection", &[]);
    let server = pooler(backend.address, &["--pool-size", "3"]);
    let mut clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(b"WAIT 1\r\nINCR n\r\n");
    }
    let mut sums = Vec::new();
    for client in &mut clients {
        let mut reply = [0; 64];
        client.expect(b"+OK\r\n:");
        let read = client.stream.read(&mut reply).expect("a sum");
        let text = std::str::from_utf8(&reply[..read]).expect("text");
        sums.push(text.trim().parse::<u32>().expect("a sum"));
    }
    sums.sort_unstable();
    assert_eq!(sums, (1..=200).collect::<Vec<_>>());
    assert_eq!(info(&server, "backend_connections"), 3);
    assert_eq!(info(&backend, "connected_clients"), 3 + 1);
    assert_eq!(info(&server, "connected_clients"), 200 + 1);
}

#[test]
fn a_session_keeps_its_connection_and_the_next_one_finds_it_clean() {
    let backend = Server::start("event-loop", &[]);
    let options = ["--pool-size", "1", "--pool-mode", "session"];
    let server = pooler(
        backend.address,
        &[&options[..], &["--queue-timeout", "200ms"]].concat(),
    );
    let (mut first, mut second) = (server.connect(), server.connect());
    first.exchange(b"PING\r\n", b"+PONG\r\n");
    let empty = resident_kib(&backend);
    first.exchange(b"TOUCH 8388608\r\n", b"+OK\r\n");
    assert!(resident_kib(&backend) > empty + 8_000);
    let timeout = b"-ERR no backend connection was free within 200ms\r\n";
    second.exchange(b"PING\r\nPING\r\n", &timeout.repeat(2));
    drop(first);
    second.exchange(b"PING\r\n", b"+PONG\r\n");
    assert!(resident_kib(&backend) < empty + 200);
    assert_eq!(info(&backend, "connected_clients"), 1 + 1);
}

/// In transaction mode memory belongs to the backend connection, however many clients ask for it.
#[test]
fn touched_memory_is_the_backend_connections_own() {
    let backend = Server::start("event-loop", &[]);
    let server = pooler(backend.address, &["--pool-size", "2"]);
    server.connect().exchange(b"PING\r\n", b"+PONG\r\n");
    let empty = resident_kib(&backend);
    for _ in 0..10 {
        let mut client = server.connect();
        client.exchange(b"TOUCH 4194304\r\n", b"+OK\r\n");
        client.exchange(b"QUIT\r\n", b"+OK\r\n");
    }
    let held = resident_kib(&backend) - empty;
    assert!((4_000..2 * 4_096 + 300).contains(&held), "{held} KiB");
}

fn resident_kib(server: &Server) -> i64 {
    let path = format!("/proc/{}/status", server.pid());
    let status = std::fs::read_to_string(path).expect("it runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.expect("its memory").trim().trim_end_matches(" kB");
    kib.parse().expect("a number")
}

#[test]
fn a_line_that_is_too_long_ends_in_error_replies() {
    let backend = Server::start("event-loop", &[]);
    let server = pooler(backend.address, &["--pool-size", "1", "--queue-limit", "2"]);
    let mut clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
    clients[0].exchange(b"PING\r\n", b"+PONG\r\n");
    for (waiting, client) in clients.iter_mut().take(3).enumerate() {
        client.send(b"WAIT 300\r\nECHO a\r\n");
        eventually("it waits", || info(&server, "waiting_clients") == waiting);
    }
    let full = b"-ERR 2 clients wait for a backend connection already\r\n";
    for client in &mut clients[3..] {
        client.exchange(b"PING\r\n\r\nPING\r\n", &full.repeat(2));
    }
    for client in &mut clients[..3] {
        client.expect(b"+OK\r\n$1\r\na\r\n");
    }
    clients[4].exchange(b"PING\r\n", b"+PONG\r\n");
}

#[test]
fn a_slow_backend_delays_nobody_longer_than_asked_for() {
    let backend = Server::start("event-loop", &[]);
    let server = pooler(
        backend.address,
        &["--queue-timeout", "100ms", "--pool-size", "2"],
    );
    let mut clients: Vec<_> = (0..6).map(|_| server.connect()).collect();
    // Both connections are there before the backend is slow.
    for request in [b"WAIT 200\r\n".as_slice(), b"WORK 250000\r\n"] {
        eventually("nobody waits", || info(&server, "waiting_clients") == 0);
        for client in &mut clients[..2] {
            client.send(request);
        }
        if request.starts_with(b"WAIT") {
            clients[..2]
                .iter_mut()
                .for_each(|client| client.expect(b"+OK\r\n"));
        }
    }
    std::thread::sleep(Duration::from_millis(20));
    let asked = Instant::now();
    let timeout = b"-ERR no backend connection was free within 100ms\r\n";
    for client in &mut clients[2..] {
        client.send(b"PING\r\n");
    }
    for client in &mut clients[2..] {
        client.expect(timeout);
    }
    assert!(asked.elapsed() >= Duration::from_millis(100));
    for client in &mut clients[..2] {
        client.expect(b"+OK\r\n");
    }
    for client in &mut clients {
        client.exchange(b"PING\r\n", b"+PONG\r\n");
    }
}

#[test]
fn clients_that_take_no_replies_do_not_keep_the_pool_from_others() {
    let backend = Server::start("event-loop", &[]);
    let server = pooler(backend.address, &["--pool-size", "2"]);
    let value = vec![b'v'; 512 * 1024];
    let set = request(&[b"SET", b"large", &value]);
    server.connect().exchange(&set, b"+OK\r\n");
    let mut deaf: Vec<Connection> = (0..2).map(|_| server.connect()).collect();
    for client in &mut deaf {
        client.send(&b"GET large\r\n".repeat(1000));
    }
    eventually("they hold the pool", || {
        info(&server, "backend_connections") == 2 && info(&server, "idle_backend_connections") == 0
    });
    let asked = Instant::now();
    server.connect().exchange(b"PING\r\n", b"+PONG\r\n");
    assert!(
        asked.elapsed() < Duration::from_secs(4),
        "{:?}",
        asked.elapsed()
    );
}

/// A client that half-closes gets its replies, and one that is gone does not hold the pool.
#[test]
fn who_ends_its_side_gets_replies_for_a_while() {
    let backend = Server::start("event-loop", &[]);
    let server = pooler(backend.address, &["--pool-size", "1"]);
    let mut client = server.connect();
    client.send(b"WAIT 300\r\nECHO there\r\n");
    let _ = client.stream.shutdown(std::net::Shutdown::Write);
    assert_eq!(client.rest(), b"+OK\r\n$5\r\nthere\r\n");
    let mut gone = server.connect();
    gone.send(b"WAIT 60000\r\n");
    std::thread::sleep(Duration::from_millis(50));
    drop(gone);
    let asked = Instant::now();
    server.connect().exchange(b"PING\r\n", b"+PONG\r\n");
    assert!(
        asked.elapsed() < Duration::from_secs(4),
        "{:?}",
        asked.elapsed()
    );
}
