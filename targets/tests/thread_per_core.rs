//! Cores that share nothing: requests for other cores' keys, replies in order, pinned threads.

#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use server::{Server, TARGET, request};

fn start() -> Server {
    Server::start("thread-per-core", &["--workers", "3"])
}

/// Sends `requests` while reading `replies`: neither side can hold all of either.
fn exchange(connection: &mut server::Connection, requests: &[u8], replies: &[u8]) {
    let mut writer = connection.stream.try_clone().expect("cannot clone");
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(requests).expect("cannot send"));
        connection.expect(replies);
    });
}

#[test]
fn a_pipeline_over_the_keys_of_all_cores_is_answered_in_order() {
    let server = start();
    let mut connection = server.connect();
    let (mut requests, mut replies) = (Vec::new(), Vec::new());
    for number in 0..3000 {
        let key = format!("key{}", number % 500);
        requests.extend(request(&[b"INCR", key.as_bytes()]));
        replies.extend(format!(":{}\r\n", number / 500 + 1).bytes());
        if number % 7 == 0 {
            requests.extend(b"PING\r\nGET none\r\nDEL none nothing zero\r\n");
            replies.extend(b"+PONG\r\n$-1\r\n:0\r\n");
        }
    }
    requests.extend(b"*1\r\n$-1\r\n");
    replies.extend(b"-ERR Protocol error: invalid bulk length\r\n");
    exchange(&mut connection, &requests, &replies);
    assert_eq!(connection.rest(), b"");
    let keys: Vec<_> = (0..500).map(|number| format!("key{number}")).collect();
    let delete = keys.iter().map(String::as_bytes);
    let delete: Vec<_> = std::iter::once(&b"DEL"[..]).chain(delete).collect();
    server.connect().exchange(&request(&delete), b":500\r\n");
}

#[test]
fn large_values_of_other_cores_come_in_parts_and_in_order() {
    let server = start();
    let mut connection = server.connect();
    let (mut requests, mut replies) = (Vec::new(), Vec::new());
    for key in 0..12_u8 {
        let value = vec![b'a' + key; 100_000];
        connection.exchange(&request(&[b"SET", &[key], &value]), b"+OK\r\n");
    }
    for number in 0..400 {
        let key = (number % 12) as u8;
        requests.extend(request(&[b"GET", &[key]]));
        replies.extend(b"$100000\r\n");
        replies.extend(vec![b'a' + key; 100_000]);
        replies.extend(b"\r\n");
    }
    exchange(&mut connection, &requests, &replies);
}

/// How often each core has slept so far.
fn sleeps(server: &Server) -> Vec<u64> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs");
    let threads = tasks.map(|task| task.expect("a task").path());
    let mut cores: Vec<_> = threads
        .filter(|path| !path.ends_with(server.pid().to_string()))
        .collect();
    cores.sort();
    let count = |path: &std::path::PathBuf| {
        let status = std::fs::read_to_string(path.join("status")).expect("it runs");
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.expect("a count").trim().parse().expect("a number")
    };
    cores.iter().map(count).collect()
}

#[test]
fn a_connection_moves_to_the_core_of_its_keys() {
    let server = start();
    // On whichever cores they come in, all of them end up on the key's.
    let mut connections: Vec<_> = (0..6).map(|_| server.connect()).collect();
    for number in 0..150 {
        for (place, connection) in connections.iter_mut().enumerate() {
            let reply = format!(":{}\r\n", number * 6 + place + 1);
            connection.exchange(b"INCR key\r\n", reply.as_bytes());
        }
    }
    let before = sleeps(&server);
    for _ in 0..100 {
        for connection in &mut connections {
            connection.exchange(b"GET key\r\n", b"$3\r\n900\r\n");
        }
    }
    let after = sleeps(&server);
    let mut more: Vec<_> = after
        .iter()
        .zip(before)
        .map(|(now, then)| now - then)
        .collect();
    more.sort_unstable();
    assert!(more[1] <= 10 && more[2] >= 300, "{more:?} times asleep");
}

#[test]
fn what_comes_while_a_connection_moves_is_answered() {
    let server = start();
    let clients = 12;
    let rounds = 120;
    let per_round = 40;
    std::thread::scope(|scope| {
        for client in 0..clients {
            let server = &server;
            scope.spawn(move || {
                let mut connection = server.connect();
                connection.exchange(b"TOUCH 65536\r\n", b"+OK\r\n");
                // Enough in a row for one key to move, then for another one's core.
                for round in 0..rounds {
                    let key = format!("key{}-{}", client, round / 10 % 4);
                    let (mut requests, mut replies) = (Vec::new(), Vec::new());
                    let done = round / 40 * 10 + round % 10;
                    for number in 1..=per_round {
                        requests.extend(request(&[b"INCR", key.as_bytes()]));
                        replies.extend(format!(":{}\r\n", done * per_round + number).bytes());
                    }
                    // The last one's end comes when the rest may have been served elsewhere.
                    let (most, end) = requests.split_at(requests.len() - 5);
                    connection.send(most);
                    connection.send(end);
                    connection.expect(&replies);
                }
                connection.exchange(b"WAIT 1\r\nPING\r\n", b"+OK\r\n+PONG\r\n");
                connection.send(b"QUIT\r\n");
                assert_eq!(connection.rest(), b"+OK\r\n");
            });
        }
    });
    let mut server = server;
    let (status, _) = server.end(libc::SIGTERM);
    assert_eq!(status.code(), Some(0));
}

#[test]
fn who_leaves_while_waiting_is_seen_to_even_where_it_was_to_move() {
    let mut requests = b"GET key\r\n".repeat(200);
    requests.extend(b"WAIT 60000\r\n");
    // On whichever cores they come in: those of other cores are to move.
    for round in 0..5 {
        let server = Server::start(
            "thread-per-core",
            &["--workers", "3", "--max-connections", "4"],
        );
        let mut leaving: Vec<_> = (0..3).map(|_| server.connect()).collect();
        for connection in &mut leaving {
            connection.send(&requests);
            connection.expect(&b"$-1\r\n".repeat(200));
        }
        drop(leaving);
        let came = std::time::Instant::now();
        // As many places as there are, without those who left.
        let alone = || {
            let mut staying: Vec<_> = (0..4).map(|_| server.connect()).collect();
            let served = |connection: &mut server::Connection| {
                let mut reply = [0; 7];
                connection.stream.write_all(b"PING\r\n").is_ok()
                    && connection.stream.read_exact(&mut reply).is_ok()
                    && reply == *b"+PONG\r\n"
            };
            staying.iter_mut().all(served)
        };
        while !alone() {
            assert!(came.elapsed().as_secs() < 5, "round {round}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

#[test]
fn each_core_has_a_thread_pinned_to_a_cpu() {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let server = Server::start("thread-per-core", &[]);
    let mut pinned = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs") {
        let task = task.expect("a task");
        if task.file_name().to_str() == Some(&server.pid().to_string()) {
            continue;
        }
        let status = std::fs::read_to_string(task.path().join("status")).expect("it runs");
        let mut lines = status.lines();
        let list = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        pinned.push(list.expect("its CPUs").trim().to_owned());
    }
    assert_eq!(pinned.len(), cpus, "{pinned:?}");
    let different: BTreeSet<_> = pinned.iter().collect();
    assert_eq!(different.len(), cpus, "{pinned:?}");
    assert!(
        pinned.iter().all(|list| list.parse::<u32>().is_ok()),
        "{pinned:?}"
    );
}

#[test]
fn its_address_is_free_when_it_has_ended() {
    let mut first = start();
    let address = first.address.to_string();
    first.connect().exchange(b"PING\r\n", b"+PONG\r\n");
    first.end(libc::SIGTERM);
    for _ in 0..5 {
        let mut command = Command::new(TARGET);
        command.args(["serve", "--model", "thread-per-core", "--listen", &address]);
        let mut server = Server::start_command(&mut command);
        server.connect().exchange(b"PING\r\n", b"+PONG\r\n");
        let (status, _) = server.end(libc::SIGTERM);
        assert_eq!(status.code(), Some(0));
    }
}

#[test]
fn without_io_uring_it_says_so() {
    let mut command = Command::new(TARGET);
    command.args([
        "serve",
        "--model",
        "thread-per-core",
        "--listen",
        "127.0.0.1:0",
    ]);
    command.stdout(Stdio::null());
    // SAFETY: between fork and exec, only system calls.
    unsafe { command.pre_exec(refuse_io_uring) };
    let output = command.output().expect("cannot run the program");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "connscope-target: cannot make an io_uring: operation not permitted; allow it with \
         kernel.io_uring_disabled=0, and in the sandbox that this runs in\n"
    );
}

/// Makes `io_uring_setup` fail with `EPERM`, as sandboxes do.
fn refuse_io_uring() -> std::io::Result<()> {
    let step = |code: u32, jt, jf, k| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let mut steps = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            libc::SYS_io_uring_setup as u32,
        ),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, refused),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: the program and its steps live through the calls.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) != 0
    };
    match refused {
        true => Err(std::io::Error::last_os_error()),
        false => Ok(()),
    }
}
