//! How many connections a server with an event loop has, by its sockets, against what it says itself.

#[path = "support/program.rs"]
mod program;
#[path = "support/servers.rs"]
mod servers;

use connscope::attach::sockets::{Sockets, sockets};
use program::wait_for;
use servers::daemon::{Daemon, free_port};
use servers::postgresql::{Postgresql, Version};
use servers::postgresql_client::Client;
use servers::site::{Place, Site};
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::TcpStream,
    os::unix::net::UnixStream,
};

/// How many clients of each kind a test holds at once.
const MANY: usize = 100;
/// Connects and disconnects.
const CHURN: usize = 1000;
/// Of PgBouncer's, how many are in a transaction, and so have a connection to the server.
const ACTIVE: usize = 7;

#[track_caller]
fn found(pid: u32) -> Sockets {
    sockets(&[pid]).expect("it runs")
}

/// A line of what Redis says of its clients.
fn says(connection: &mut (impl std::io::Read + std::io::Write), name: &str) -> usize {
    connection.write_all(b"INFO clients\r\n").expect("a server");
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line).expect("a length");
    let length: usize = line
        .trim()
        .trim_start_matches('$')
        .parse()
        .expect("a length");
    let mut text = vec![0; length + 2];
    reader.read_exact(&mut text).expect("all of it");
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(name));
    lines.next().expect("a line").parse().expect("a figure")
}

#[test]
fn redis() {
    let site = Site::new(Place::Host, "redis");
    let port = free_port();
    let socket = site.path("socket");
    let mut command = site.command("/usr/bin/redis-server", libc::SIGKILL);
    command
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--unixsocket", &site.seen("socket"), "--save", ""]);
    // The last that it makes before it serves.
    let answers = |_| UnixStream::connect(&socket).ok();
    let server = Daemon::start(&site, port, libc::SIGKILL, command, answers);
    let mut asks = UnixStream::connect(&socket).expect("a connection");
    let mut assert_clients = |expected: usize| {
        wait_for("equal counts", || {
            let own = says(&mut asks, "connected_clients:");
            let ours = found(server.pid());
            assert_eq!(ours.outgoing, 0);
            (own == expected && ours.clients.len() == own).then_some(())
        });
    };
    assert_clients(1);
    let connect = || TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    let local = || UnixStream::connect(&socket).expect("a connection");
    for _ in 0..CHURN / (2 * MANY) {
        let mut clients: Vec<_> = (0..MANY).map(|_| connect()).collect();
        let locals: Vec<_> = (0..MANY).map(|_| local()).collect();
        assert_clients(2 * MANY + 1);
        clients.truncate(MANY / 2);
        assert_clients(MANY + MANY / 2 + 1);
        drop(locals);
        assert_clients(MANY / 2 + 1);
        drop(clients);
        assert_clients(1);
    }
}

#[test]
fn pgbouncer_with_clients_on_one_side_and_its_server_on_the_other() {
    let behind = Postgresql::start(Version::Installed, &[]);
    let site = Site::new(Place::Host, "postgres");
    let port = free_port();
    let users = site.seen("users");
    fs::write(site.path("users"), "\"postgres\" \"\"\n").expect("a folder of ours");
    let settings = format!(
        "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nauth_type = trust\nauth_file = {users}\nadmin_users = postgres\n\
         pool_mode = transaction\nmax_client_conn = 500\nunix_socket_dir =\n",
        behind.port()
    );
    fs::write(site.path("settings"), settings).expect("a folder of ours");
    let mut command = site.command("/usr/sbin/pgbouncer", libc::SIGKILL);
    command.arg(site.seen("settings"));
    let answers = |port| Client::try_connect(port, "pgbouncer").ok();
    let pooler = Daemon::start(&site, port, libc::SIGKILL, command, answers);
    let mut asks = Client::connect(port, "pgbouncer");
    let mut assert_sides = |clients: usize, servers: usize| {
        wait_for("equal counts", || {
            let own = ["show clients", "show servers"].map(|it| asks.query(it).len());
            let ours = found(pooler.pid());
            let ours = [ours.clients.len(), ours.outgoing as usize];
            (own == [clients, servers] && ours == own).then_some(())
        });
    };
    assert_sides(1, 0);
    for _ in 0..CHURN / MANY {
        let clients = (0..MANY).map(|_| Client::connect(port, "postgres"));
        let mut clients: Vec<_> = clients.collect();
        for active in &mut clients[..ACTIVE] {
            active.query("begin");
        }
        assert_sides(MANY + 1, ACTIVE);
        clients.truncate(MANY / 2);
        assert_sides(MANY / 2 + 1, ACTIVE);
        for active in &mut clients[..ACTIVE] {
            active.query("commit");
        }
        drop(clients);
        // They are kept for the next ones.
        assert_sides(1, ACTIVE);
    }
}
