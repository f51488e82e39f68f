//! What one more connection adds to a server that runs, by `attach` while connections are added, against the memory that
//! `/proc` says all of its processes have.

#[path = "support/attached.rs"]
mod attached;
#[path = "support/program.rs"]
mod program;
#[path = "support/servers.rs"]
mod servers;

use attached::Attached;
use connscope::report::marginal::fit;
use serde_json::Value;
use servers::mysql::{Kind, Mysql};
use servers::postgresql::{Postgresql, Version};
use servers::postgresql_client::Client;
use std::{fs, net::UdpSocket, os::fd::AsRawFd, thread, time::Duration};

/// How many connections are added at a time, and how often.
const STEP: u32 = 20;
const STEPS: u32 = 3;
/// At each number of them: a look that finds it, and one more; they may be late on a busy host.
const REST: Duration = Duration::from_secs(6);

/// This thread, and what it starts from now on, in a network of its own. In the host's there may be tens of thousands of
/// sockets that other tests have closed, and then connections are counted every few seconds only.
fn own_network() {
    // SAFETY: of this thread alone, and without pointers.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "a network");
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    // SAFETY: plain numbers, of which zeros are some.
    let mut loopback: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in loopback.ifr_name.iter_mut().zip(*b"lo") {
        *to = from as libc::c_char;
    }
    loopback.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the request that the call reads, which it does not keep.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const loopback) };
    assert_eq!(done, 0, "the loopback device is up");
}

fn kilobytes(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    number.unwrap_or(0.0)
}

/// Anonymous memory, each page by its share, and page tables of a process and of its children, in bytes.
fn memory(postmaster: u32) -> f64 {
    let children = format!("/proc/{postmaster}/task/{postmaster}/children");
    let children = fs::read_to_string(children).expect("it runs");
    let children = children.split_whitespace().map(str::to_owned);
    let all = children.chain([postmaster.to_string()]);
    let of_one = |pid: String| {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
        let share = kilobytes(&read("smaps_rollup")?, "Pss_Anon:");
        Some((share + kilobytes(&read("status")?, "VmPTE:")) * 1024.0)
    };
    all.filter_map(of_one).sum()
}

fn marginal(target: &Value) -> &Value {
    &target["measures"]["memory"]["marginal_bytes_per_connection"]
}

/// Kernel stacks, and buffers of sockets, are in none of the figures above.
const STACK: f64 = 16.0 * 1024.0;

/// Connections are added in a watch: the slope is that of what `/proc` says meanwhile.
#[track_caller]
fn assert_slope<T>(option: &str, port: u16, pid: u32, mut connect: impl FnMut() -> T) {
    let attached = Attached::to(&format!("{option} {port} --own-memory-budget 10"));
    let mut clients = Vec::new();
    let mut points = Vec::new();
    for step in 0..=STEPS {
        let missing = (step * STEP) as usize - clients.len();
        clients.extend((0..missing).map(|_| connect()));
        thread::sleep(REST);
        points.push((f64::from(step * STEP), memory(pid)));
    }
    let target = attached.report()["targets"][0].clone();
    let expected = fit(&[&points]).expect("a slope").value + STACK;
    let marginal = marginal(&target);
    let value = marginal["value"].as_f64();
    let value = value.unwrap_or_else(|| panic!("no slope: {marginal:#}"));
    eprintln!("{value:.0} bytes for one more, by /proc {expected:.0}: {marginal:#}");
    let off = (value - expected).abs() / expected;
    assert!(
        off <= 0.1,
        "{value} bytes for one more, by /proc {expected}"
    );
    assert_eq!(marginal["connections"][1], STEP * STEPS);
    assert!(marginal["points"].as_u64() >= Some(3), "{marginal:#}");
    assert_eq!(marginal["reason"], Value::Null);
    assert_eq!(target["new_connection"]["memory"]["marginal_bytes"], value);
}

#[test]
fn of_postgresql_by_process() {
    own_network();
    let server = Postgresql::start(Version::Installed, &[]);
    assert_slope("--postgres", server.port(), server.pid(), || {
        let mut client = server.connect();
        client.query("select count(*) from pg_class join pg_attribute on attrelid = pg_class.oid");
        client
    });
}

#[test]
fn of_mariadb_by_thread() {
    own_network();
    let server = Mysql::start(Kind::Mariadb, &[]);
    assert_slope("--mysql", server.port(), server.pid(), || {
        let mut client = server.connect();
        client.query("select count(*) from information_schema.tables");
        client
    });
}

/// A watch of PostgreSQL with connections that stay.
fn at_rest() -> (Postgresql, Vec<Client>, Attached) {
    own_network();
    let server = Postgresql::start(Version::Installed, &[]);
    let clients = (0..STEP).map(|_| server.connect()).collect();
    let options = format!("--postgres {} --own-memory-budget 10", server.port());
    let attached = Attached::to(&options);
    thread::sleep(REST);
    (server, clients, attached)
}

#[test]
fn where_connections_stay_it_says_what_a_slope_needs() {
    let (_server, _clients, attached) = at_rest();
    let target = attached.report()["targets"][0].clone();
    let marginal = marginal(&target);
    assert_eq!(
        (&marginal["value"], marginal["points"].as_u64()),
        (&Value::Null, Some(1))
    );
    let reason = marginal["reason"].as_str().expect("a reason");
    let expected =
        "rested: 1, with 20 to 20 of them; a slope needs three moments, 5 connections apart;";
    assert!(reason.contains(expected), "{reason}");
    let own = &target["new_connection"]["memory"]["own_bytes"];
    assert!(own.as_f64() > Some(0.0), "{own}");
}

/// It holds nothing then, and has no connection.
#[test]
fn a_server_that_has_stopped_adds_no_moment() {
    let (server, clients, attached) = at_rest();
    drop((clients, server));
    thread::sleep(REST);
    let report = attached.report();
    let marginal = marginal(&report["targets"][0]);
    assert_eq!(
        (&marginal["connections"], marginal["points"].as_u64()),
        (&serde_json::json!([STEP, STEP]), Some(1)),
        "{marginal:#}"
    );
}
