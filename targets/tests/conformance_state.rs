//! What every model does with its state, its time and its memory: the same in all of them.

#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::io::Write;
use std::time::{Duration, Instant};

use server::{Connection, cpu_ticks, eventually, every_model, request};

#[test]
fn a_full_store_says_so_and_serves_on() {
    every_model(&["--shared-state", "2MiB"], |server| {
        let mut connection = server.connect();
        let value = vec![b'v'; 512 * 1024];
        connection.exchange(&request(&[b"SET", b"a", &value]), b"+OK\r\n");
        let full = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n";
        connection.exchange(&request(&[b"SET", b"b", &value]), full);
        connection.exchange(&request(&[b"SET", b"c", b"small"]), b"+OK\r\n");
        connection.exchange(b"DEL a\r\n", b":1\r\n");
        connection.exchange(&request(&[b"SET", b"b", &value]), b"+OK\r\n");
    });
}

#[test]
fn state_is_shared_and_no_increment_is_lost() {
    every_model(&[], |server| {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut connection = server.connect();
                    connection.send(&b"INCR n\r\n".repeat(1000));
                    let mut last = 0;
                    let mut replies = Vec::new();
                    connection.send(b"QUIT\r\n");
                    replies.extend(connection.rest());
                    for reply in String::from_utf8(replies).expect("text").lines().take(1000) {
                        let sum: i64 = reply.trim_start_matches(':').parse().expect("a sum");
                        assert!(sum > last, "{sum} after {last}");
                        last = sum;
                    }
                });
            }
        });
        server.connect().exchange(b"GET n\r\n", b"$4\r\n8000\r\n");
    });
}

#[test]
fn waiting_delays_its_own_connection_only_and_keeps_the_order() {
    every_model(&[], |server| {
        let (mut waiting, mut other) = (server.connect(), server.connect());
        other.exchange(b"PING\r\n", b"+PONG\r\n");
        let started = Instant::now();
        // Long beside what all models at once take for the PINGs on a busy host.
        waiting.send(b"ECHO before\r\nWAIT 1500\r\nECHO after\r\n");
        waiting.expect(b"$6\r\nbefore\r\n");
        for _ in 0..20 {
            other.exchange(b"PING\r\n", b"+PONG\r\n");
        }
        let others = started.elapsed();
        waiting.expect(b"+OK\r\n$5\r\nafter\r\n");
        let waited = started.elapsed();
        assert!(
            others < Duration::from_millis(1_250),
            "others waited {others:?}"
        );
        assert!(waited >= Duration::from_millis(1_500), "{waited:?}");
        assert!(waited < Duration::from_millis(1_800), "{waited:?}");
    });
}

#[test]
fn work_burns_cpu_and_waiting_does_not() {
    every_model(&[], |server| {
        let mut connection = server.connect();
        connection.exchange(b"PING\r\n", b"+PONG\r\n");
        let serving = server.executing_pid(&mut connection);
        let mut cpu_ms = |request: &str| {
            let before = cpu_ticks(serving);
            connection.exchange(format!("{request}\r\n").as_bytes(), b"+OK\r\n");
            (cpu_ticks(serving) - before) * 10
        };
        let mut thrice = |request| [0; 3].map(|_| cpu_ms(request));
        let [waited, worked] = ["WAIT 100", "WORK 100000"].map(&mut thrice);
        // A runtime that compiles what it runs spends CPU of its own at first, and now and then.
        let least = |spent: [u64; 3]| spent.into_iter().min().unwrap();
        assert!(least(waited) <= 10, "{waited:?} ms of CPU for WAIT 100");
        assert!(
            least(worked) <= 120 && worked.iter().all(|&spent| spent >= 90),
            "{worked:?} ms of CPU for WORK 100000"
        );
    });
}

#[test]
fn touched_memory_is_held_until_the_connection_ends() {
    every_model(&[], |server| {
        if !server.has_sessions {
            return;
        }
        let anonymous = |pid: i32| status_kib(pid, "RssAnon:");
        let mut connection = server.connect();
        connection.exchange(b"PING\r\n", b"+PONG\r\n");
        let serving = server.executing_pid(&mut connection);
        let before = anonymous(serving);
        connection.exchange(b"TOUCH 33554432\r\n", b"+OK\r\n");
        // Java's compilers take and give back memory of their own meanwhile.
        let runtime = match std::thread::current().name() {
            Some("virtual-threads") => 4_000,
            _ => 0,
        };
        let held = anonymous(serving) - before;
        let expected = 32_768 - runtime..33_000 + runtime;
        assert!(expected.contains(&held), "{held} KiB for 32 MiB");
        connection.exchange(b"TOUCH 4194304\r\n", b"+OK\r\n");
        let held = anonymous(serving) - before;
        let expected = 4_096 - runtime..4_400 + runtime;
        assert!(expected.contains(&held), "{held} KiB for 4 MiB");
        connection.exchange(b"QUIT\r\n", b"+OK\r\n");
        connection.rest();
        eventually("the memory is freed", || {
            !std::path::Path::new(&format!("/proc/{serving}")).exists()
                || anonymous(serving) < before + 300 + runtime
        });
    });
}

fn status_kib(pid: i32, field: &str) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .unwrap_or("0");
    line.trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number")
}

#[test]
fn a_client_that_never_reads_costs_bounded_memory_and_nobody_else() {
    every_model(&[], |server| {
        let mut witness = server.connect();
        let value = vec![b'v'; 512 * 1024];
        witness.exchange(&request(&[b"SET", b"large", &value]), b"+OK\r\n");
        let memory = || {
            let pids = server.children().into_iter().chain([server.pid()]);
            pids.map(|pid| status_kib(pid, "RssAnon:")).sum::<i64>()
        };
        let before = memory();
        let mut deaf: Vec<Connection> = (0..4).map(|_| server.connect()).collect();
        for connection in &mut deaf {
            let timeout = Some(Duration::from_millis(200));
            connection
                .stream
                .set_write_timeout(timeout)
                .expect("cannot set a time-out");
            // Answers of 26 GB in all, if they were kept.
            let _ = connection
                .stream
                .write_all(&b"GET large\r\n".repeat(50_000));
        }
        for _ in 0..50 {
            witness.exchange(b"PING\r\n", b"+PONG\r\n");
        }
        let grown = memory() - before;
        assert!(grown < 4 * 4096, "{grown} KiB for 4 connections");
    });
}
