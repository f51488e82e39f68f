use super::*;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixListener, UnixStream};

fn own() -> Sockets {
    sockets(&[std::process::id()]).expect("the sockets of this process")
}

/// The clients among the sockets of this process that come from one of these ports.
fn from_ports(ports: &[u16]) -> usize {
    let found = own().clients;
    let is_one = |client: &&Client| match client.peer {
        Peer::Address(address) => ports.contains(&address.port()),
        Peer::Local => false,
    };
    found.values().filter(is_one).count()
}

#[test]
fn what_was_accepted_where_it_listens_is_a_client() {
    for address in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
        let listener = TcpListener::bind(address).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let connect = || TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        let clients = [connect(), connect(), connect()];
        let of_client = |it: &TcpStream| it.local_addr().expect("its address").port();
        let ports: Vec<_> = clients.iter().map(of_client).collect();
        assert_eq!(from_ports(&ports), 0, "not accepted yet");
        let mut accepted: Vec<_> = listener.incoming().flatten().take(3).collect();
        assert_eq!(from_ports(&ports), 3, "{address}");
        // Its own end of these is not where anything listens.
        assert!(own().outgoing >= 3);
        accepted.pop();
        assert_eq!(from_ports(&ports), 2);
        // Hung up, but still held.
        drop(clients);
        assert_eq!(from_ports(&ports), 2);
        drop(listener);
        assert_eq!(from_ports(&ports), 0, "nothing listens there any more");
    }
}

#[test]
fn a_socket_with_a_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).expect("a socket");
    let local = || {
        let found = own().clients;
        found.values().filter(|it| it.peer == Peer::Local).count()
    };
    let before = local();
    let clients = [(); 2].map(|()| UnixStream::connect(&path).expect("a connection"));
    let accepted: Vec<_> = listener.incoming().flatten().take(2).collect();
    assert_eq!(local() - before, accepted.len());
    drop(clients);
}

#[test]
fn a_client_is_known_with_its_descriptor_and_address() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address");
    let client = TcpStream::connect(port).expect("a connection");
    let (accepted, peer) = listener.accept().expect("it is there");
    let descriptor = accepted.as_raw_fd();
    let pid = std::process::id();
    let inode = socket_of(pid, descriptor).expect("a socket");
    let found = own().clients.remove(&inode).expect("a client");
    assert_eq!(found.holders, [(pid, descriptor)]);
    assert_eq!(found.peer.to_string(), peer.to_string());
    assert_eq!(client.local_addr().expect("its address"), peer);
}

#[test]
fn what_is_polled_together() {
    use rustix::event::epoll;
    let (one, other) = UnixStream::pair().expect("two sockets");
    let many = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
    let none = epoll::EventFlags::empty();
    epoll::add(&many, &one, epoll::EventData::new_u64(0), none).expect("it is added");
    let pid = std::process::id();
    let inode = |it: &UnixStream| socket_of(pid, it.as_raw_fd()).expect("a socket");
    let polled = polled_together(pid).expect("our own");
    assert!(polled.contains(&inode(&one)), "{polled:?}");
    assert!(!polled.contains(&inode(&other)), "{polled:?}");
}

#[test]
fn a_server_that_has_ended() {
    let error = sockets(&[u32::MAX]).expect_err("no such process");
    assert!(error.to_string().contains("has ended"), "{error:#}");
}
