//! Starting, refusing, draining, dying: what a server does around serving.

#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::time::Duration;

use server::{
    Connection, Server, TARGET, backend_of, cpu_ticks, eventually, models, signal_process,
};

const REFUSED: &[u8] = b"-ERR max number of clients reached\r\n";

fn ping(connection: &mut Connection) {
    connection.exchange(b"PING\r\n", b"+PONG\r\n");
}

fn run(arguments: &[&str]) -> Output {
    Command::new(TARGET)
        .args(arguments)
        .output()
        .expect("cannot run the program")
}

fn process_exists(pid: i32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn one_client_too_many_is_told_so_and_may_come_back() {
    for model in models() {
        let server = Server::start(&model, &["--max-connections", "3"]);
        let mut served: Vec<_> = (0..3).map(|_| server.connect()).collect();
        served.iter_mut().for_each(ping);
        for _ in 0..20 {
            let mut refused = server.connect();
            assert_eq!(refused.rest(), REFUSED, "{model}");
            let mut refused = server.connect();
            refused.send(b"PING\r\n");
            assert_eq!(
                refused.rest(),
                REFUSED,
                "{model}, with a request on its way"
            );
        }
        served.iter_mut().for_each(ping);
        served.pop();
        eventually("a place is free", || {
            let mut next = server.connect();
            let _ = std::io::Write::write_all(&mut next.stream, b"PING\r\nQUIT\r\n");
            next.rest() == b"+PONG\r\n+OK\r\n"
        });
    }
}

#[test]
fn sigterm_and_sigint_drain() {
    for model in models() {
        for signal in [libc::SIGTERM, libc::SIGINT] {
            let mut server = Server::start(&model, &[]);
            let mut idle: Vec<_> = (0..5).map(|_| server.connect()).collect();
            idle.iter_mut().for_each(ping);
            let mut busy = server.connect();
            busy.exchange(b"PING\r\nWAIT 400\r\nECHO done\r\n", b"+PONG\r\n");
            let (status, took) = server.end(signal);
            assert_eq!(status.code(), Some(0), "{model}");
            assert!(
                took > Duration::from_millis(250),
                "{model} did not drain: {took:?}"
            );
            assert!(took < Duration::from_secs(2), "{model}: {took:?}");
            assert_eq!(busy.rest(), b"+OK\r\n$4\r\ndone\r\n", "{model}");
            for mut connection in idle {
                assert_eq!(connection.rest(), b"", "{model}");
            }
        }
    }
}

#[test]
fn the_drain_is_bounded_in_time() {
    std::thread::scope(|scope| {
        for model in models() {
            scope.spawn(move || drain_of_busy_server(&model));
        }
    });
}

/// While it drains, a client that comes is refused by the kernel: it may go elsewhere at once.
#[test]
fn who_comes_while_a_server_drains_is_not_kept_waiting() {
    std::thread::scope(|scope| {
        for model in models() {
            scope.spawn(move || {
                // On a busy host the drain may be over before we have looked.
                let seen = (0..5).any(|_| is_refused_while_draining(&model));
                assert!(seen, "{model} listens until it ends");
            });
        }
    });
}

/// Whether a client was refused while another was still being served.
fn is_refused_while_draining(model: &str) -> bool {
    let server = Server::start(model, &[]);
    let mut busy = server.connect();
    busy.exchange(b"PING\r\nWAIT 60000\r\n", b"+PONG\r\n");
    signal_process(server.pid(), libc::SIGTERM);
    eventually("nobody is let in", || {
        TcpStream::connect(server.address).is_err()
    });
    let is_open = |stream: &TcpStream| {
        stream.set_nonblocking(true).expect("it is a socket");
        let answer = stream.peek(&mut [0]);
        answer.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    is_open(&busy.stream)
}

fn drain_of_busy_server(model: &str) {
    let mut server = Server::start(model, &[]);
    let mut busy = server.connect();
    busy.exchange(b"PING\r\nWAIT 60000\r\n", b"+PONG\r\n");
    let mut deaf = server.connect();
    deaf.exchange(b"SET k v\r\n", b"+OK\r\n");
    let timeout = Some(Duration::from_millis(100));
    deaf.stream
        .set_write_timeout(timeout)
        .expect("cannot set a time-out");
    let _ = std::io::Write::write_all(&mut deaf.stream, &b"INFO\r\n".repeat(200_000));
    let children = server.children();
    let (status, took) = server.end(libc::SIGTERM);
    assert_eq!(status.code(), Some(0), "{model}");
    assert!(took < Duration::from_secs(2), "{model}: {took:?}");
    eventually("no child is left", || {
        !children.iter().any(|&pid| process_exists(pid))
    });
}

#[test]
fn no_child_outlives_a_killed_parent() {
    for (model, options, forked) in [
        ("process-per-connection", &[][..], 20),
        ("process-pool", &["--workers", "3"], 3),
    ] {
        let mut server = Server::start(model, options);
        let mut connections: Vec<_> = (0..20).map(|_| server.connect()).collect();
        connections.iter_mut().for_each(ping);
        connections[0].send(b"WAIT 60000\r\n");
        let children = server.children();
        assert_eq!(children.len(), forked);
        server.end(libc::SIGKILL);
        eventually("no child is left", || {
            !children.iter().any(|&pid| process_exists(pid))
        });
    }
}

#[test]
fn a_dead_child_costs_its_own_connection_only() {
    let server = Server::start("process-per-connection", &[]);
    let mut connections: Vec<_> = (0..10).map(|_| server.connect()).collect();
    connections.iter_mut().for_each(ping);
    let mut victim = connections.remove(4);
    let victim_pid = victim.process();
    signal_process(victim_pid, libc::SIGKILL);
    assert_eq!(victim.rest(), b"");
    connections.iter_mut().for_each(ping);
    eventually("the dead child is reaped", || !process_exists(victim_pid));
    assert_eq!(server.children().len(), 9);
    drop(connections);
    eventually("all children are reaped", || server.children().is_empty());
    ping(&mut server.connect());
}

#[test]
fn running_out_of_descriptors_neither_kills_nor_spins_nor_hangs() {
    for model in models() {
        // The shell lowers the hard limit, which the server may not exceed without privilege. With more
        // CPUs, the models that have a worker for each would need more for themselves.
        let backend = backend_of(&model, &[]);
        let behind = backend.as_ref().map(|backend| backend.address);
        let behind = behind.map_or(String::new(), |address| format!("--backend {address}"));
        let script = format!(
            "ulimit -n 20; exec taskset -c {} {TARGET} serve --model {model} --listen 127.0.0.1:0 \
             {behind} 2>/dev/null",
            one_cpu(),
        );
        let server = Server::start_command(Command::new("sh").args(["-c", &script]));
        let mut served = Vec::new();
        let mut refused = 0;
        for _ in 0..40 {
            let mut connection = server.connect();
            connection.send(b"PING\r\n");
            let mut first = [0; 1];
            std::io::Read::read_exact(&mut connection.stream, &mut first).expect("an answer");
            match first[0] {
                b'+' => {
                    connection.expect(b"PONG\r\n");
                    served.push(connection);
                }
                _ => {
                    assert_eq!(connection.rest(), &REFUSED[1..], "{model}");
                    refused += 1;
                }
            }
        }
        let forks = model == "process-per-connection";
        assert_eq!(refused == 0, forks, "{model}: {refused} refused");
        let ticks = || {
            let pids = server.children().into_iter().chain([server.pid()]);
            pids.map(cpu_ticks).sum::<u64>()
        };
        let before = ticks();
        std::thread::sleep(Duration::from_millis(400));
        let spent = ticks() - before;
        assert!(spent <= 4, "{model} spins: {spent} ticks of 40");
        served.iter_mut().for_each(ping);
        served.clear();
        eventually("clients are served again", || {
            let mut next = server.connect();
            let _ = std::io::Write::write_all(&mut next.stream, b"PING\r\nQUIT\r\n");
            next.rest() == b"+PONG\r\n+OK\r\n"
        });
    }
}

/// A CPU that this process may run on.
fn one_cpu() -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("it runs");
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .expect("its CPUs");
    let first = list.trim().split([',', '-']).next().expect("one at least");
    first.to_owned()
}

#[test]
fn a_taken_address_is_named_with_a_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("cannot listen");
    let address = taken.local_addr().expect("its address").to_string();
    for model in models() {
        let backend = backend_of(&model, &[]);
        let mut arguments = vec!["serve", "--model", &model, "--listen", &address];
        let behind = backend.as_ref().map(|backend| backend.address.to_string());
        if let Some(behind) = &behind {
            arguments.extend(["--backend", behind]);
        }
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            format!(
                "connscope-target: cannot listen on {address}: address already in use; \
                 choose another port with --listen\n"
            )
        );
    }
}

#[test]
fn bad_usage_is_status_2() {
    for arguments in [
        &["serve", "--model", "none"][..],
        &["serve"],
        &["serve", "--model", "event-loop", "--shared-state", "1MiB"],
        &["serve", "--model", "event-loop", "--max-connections", "0"],
        &["serve", "--model", "event-loop", "--stack-size", "1"],
        &["serve", "--model", "event-loop", "--workers", "2"],
        &["serve", "--model", "process-pool", "--workers", "0"],
        &["serve", "--model", "process-pool", "--max-workers", "9"],
        &["serve", "--model", "async-tasks", "--workers", "0"],
        &["serve", "--model", "event-loop", "--counters", "/dev/null"],
        &["serve", "--model", "event-loop", "--backend", "127.0.0.1:1"],
        &["serve", "--model", "pooler"],
        &["load", "--connections", "0"],
        &["load", "--connections", "60001"],
        &["load", "--rate", "0"],
        &["load", "--rate", "nan"],
        &["load", "--rate", "10000001"],
        &["load", "--duration", "0"],
        &["load", "--duration", "3601s"],
        &["load", "--touch", "2GiB"],
        &["load", "--closed", "--rate", "5"],
        &["load", "--connect", "192.0.2.1:7000"],
        &["load", "--workload", "none"],
        &[],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(run(&["--help"]).status.code(), Some(0));
    let help = String::from_utf8(run(&["load", "--help"]).stdout).expect("text");
    assert!(
        help.contains("Examples:") && help.contains("\"event\":\"connected\""),
        "{help}"
    );
}

#[test]
fn the_resident_heap_is_there_before_serving() {
    for model in models() {
        let anonymous_kib = |options: &[&str]| {
            let server = Server::start(&model, options);
            let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()));
            let status = status.expect("it runs");
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("RssAnon:"))
                .expect("its heap");
            let kib: i64 = line
                .trim()
                .trim_end_matches(" kB")
                .parse()
                .expect("a number");
            kib
        };
        let kib = anonymous_kib(&["--resident", "50MiB"]);
        // Java's own memory is some 40 MB, give or take one.
        let (own, bounds) = match model.as_str() {
            "virtual-threads" => (anonymous_kib(&[]), 49_200..53_200),
            _ => (0, 51_200..52_500),
        };
        assert!(bounds.contains(&(kib - own)), "{model}: {kib} KiB, {own}");
    }
}

#[test]
fn threads_have_the_stack_asked_for() {
    let server = Server::start("thread-per-connection", &["--stack-size", "3MiB"]);
    let size = || {
        let path = |file| format!("/proc/{}/{file}", server.pid());
        let threads = std::fs::read_dir(path("task")).expect("it runs").count();
        let maps = std::fs::read_to_string(path("maps")).expect("it runs");
        (
            threads,
            maps.lines().filter(|line| bytes(line) == 3 << 20).count(),
        )
    };
    let mut connections: Vec<_> = (0..4).map(|_| server.connect()).collect();
    connections.iter_mut().for_each(ping);
    assert_eq!(size(), (5, 4));
}

/// The length of a mapping, from its line in `/proc/PID/maps`.
fn bytes(line: &str) -> u64 {
    let range = line.split_whitespace().next().expect("a range");
    let (from, to) = range.split_once('-').expect("two ends");
    let number = |text| u64::from_str_radix(text, 16).expect("a number");
    number(to) - number(from)
}

#[test]
fn a_closed_pipe_ends_the_list_quietly() {
    let (reader, writer) = std::io::pipe().expect("cannot make a pipe");
    drop(reader);
    let output = Command::new(TARGET)
        .arg("models")
        .stdout(writer)
        .output()
        .expect("cannot run the program");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success(), "{}", output.status);
}
