//! Ten thousand clients: all at once, and held.

#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use server::{Server, models};

const CLIENTS: usize = 10_000;
/// For all to be connected and answered, on a busy machine.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn ten_thousand_come_at_once_are_served_and_held() {
    raise_open_files();
    for model in models() {
        let begun = Instant::now();
        // Stacks are address space, of which even ten thousand have enough.
        let server = Server::start(&model, &["--backlog", "65535", "--stack-size", "64KiB"]);
        // Nobody waits for another to be accepted.
        let mut clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
                let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None);
                let socket = socket.expect("a socket");
                let _ = connect(&socket, &server.address);
                std::net::TcpStream::from(socket)
            })
            .collect();
        for client in &mut clients {
            client.set_nonblocking(false).expect("a socket");
            client.set_read_timeout(Some(LONG)).expect("a socket");
            send(client);
        }
        for client in &mut clients {
            answer(client, &model);
        }
        // All are still there.
        clients.iter_mut().for_each(send);
        clients.iter_mut().for_each(|client| answer(client, &model));
        assert!(begun.elapsed() < LONG, "{model}: {:?}", begun.elapsed());
        eprintln!("{model}: {:?}", begun.elapsed());
    }
}

fn send(client: &mut std::net::TcpStream) {
    // Blocks until the connection is made.
    client.write_all(b"PING\r\n").expect("it is connected");
}

fn answer(client: &mut std::net::TcpStream, model: &str) {
    let mut answer = [0; 7];
    client.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"+PONG\r\n", "{model}");
}

fn raise_open_files() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let all = rustix::process::Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, all)
        .expect("up to the hard limit");
    let enough = limit.maximum.is_none_or(|most| most > CLIENTS as u64 + 100);
    assert!(
        enough,
        "needs a hard limit of open files above 10,100: ulimit -Hn"
    );
}
