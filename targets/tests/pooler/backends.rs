//! Backends that fail.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::server::{self, Server, eventually};
use super::{info, pooler};

const LOST: &[u8] = b"-ERR the connection to the backend was lost\r\n";

#[test]
fn a_backend_that_dies_costs_error_replies_and_may_come_back() {
    let mut backend = Server::start("event-loop", &[]);
    let address = backend.address;
    let server = pooler(address, &[]);
    let (mut idle, mut busy) = (server.connect(), server.connect());
    idle.exchange(b"PING\r\n", b"+PONG\r\n");
    busy.exchange(
        b"ECHO before\r\nWAIT 60000\r\nPING\r\n",
        b"$6\r\nbefore\r\n",
    );
    backend.end(libc::SIGKILL);
    busy.expect(&LOST.repeat(2));
    for client in [&mut idle, &mut busy, &mut server.connect()] {
        let gone = b"-ERR the backend is not available: connection refused\r\n";
        client.exchange(b"PING\r\nGET k\r\n", &gone.repeat(2));
    }
    let options = ["serve", "--model", "event-loop", "--listen"];
    let mut command = std::process::Command::new(server::TARGET);
    let _again = Server::start_command(command.args(options).arg(address.to_string()));
    eventually("the backend is found again", || {
        let mut client = server.connect();
        client.send(b"PING\r\nQUIT\r\n");
        client.rest() == b"+PONG\r\n+OK\r\n"
    });
    for client in [&mut idle, &mut busy] {
        client.exchange(b"PING\r\n", b"+PONG\r\n");
    }
}

#[test]
fn a_backend_that_refuses_some_connections_serves_on_the_others() {
    let backend = Server::start("event-loop", &["--max-connections", "2"]);
    let server = pooler(backend.address, &["--pool-size", "10"]);
    let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for _ in 0..5 {
        clients
            .iter_mut()
            .for_each(|client| client.send(b"WAIT 2\r\n"));
        clients
            .iter_mut()
            .for_each(|client| client.expect(b"+OK\r\n"));
    }
    assert_eq!(info(&server, "backend_connections"), 2);
}

/// Whole replies, then the end in the middle of one: what was begun cannot be made good.
#[test]
fn a_backend_that_breaks_off_within_a_reply_ends_its_client_only() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("cannot listen");
    let server = pooler(listener.local_addr().expect("its address"), &[]);
    let (mut client, mut other) = (server.connect(), server.connect());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            client.send(b"GET a\r\nGET b\r\n");
            client.expect(b"$1\r\na\r\n$5\r\nbr");
            assert_eq!(client.rest(), b"");
        });
        let mut stream = greeted(&listener);
        let _ = stream.read(&mut [0; 64]);
        stream
            .write_all(b"$1\r\na\r\n$5\r\nbr")
            .expect("cannot send");
    });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // One reply too many is nobody's.
            other.exchange(b"PING\r\n", b"+PONG\r\n");
            other.exchange(b"ECHO mine\r\n", b"$4\r\nmine\r\n");
        });
        let mut stream = greeted(&listener);
        let _ = stream.read(&mut [0; 64]);
        stream
            .write_all(b"+PONG\r\n$5\r\nYOURS\r\n")
            .expect("cannot send");
        let mut next = greeted(&listener);
        let _ = next.read(&mut [0; 64]);
        next.write_all(b"$4\r\nmine\r\n").expect("cannot send");
    });
}

/// The next connection that the pooler makes, after its greeting.
fn greeted(listener: &std::net::TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().expect("a connection");
    let mut greeting = [0; 14];
    stream.read_exact(&mut greeting).expect("a greeting");
    assert_eq!(&greeting, b"*1\r\n$4\r\nPING\r\n");
    stream.write_all(b"+PONG\r\n").expect("cannot send");
    stream
}
