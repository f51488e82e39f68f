//! Bytes in the buffers of sockets, against what was written and not read.

use probe_ebpf::Sockets;
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

#[test]
fn unread_bytes_count_until_they_are_read() {
    const UNREAD: usize = 64 * 1024;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut client = TcpStream::connect(listener.local_addr().expect("bound")).expect("a server");
    let (mut held, _) = listener.accept().expect("accepted");
    let sockets = Sockets::load().expect("the program loads");
    let pid = std::process::id();
    let bytes = || sockets.bytes(&[pid]).expect("read")[&pid] as usize;
    let before = bytes();
    client.write_all(&[1; UNREAD]).expect("room for it");
    let unread = bytes() - before;
    assert!((UNREAD..4 * UNREAD).contains(&unread), "{unread} bytes");
    held.read_exact(&mut [0; UNREAD]).expect("all of it");
    assert!(bytes() < before + UNREAD, "{} after {before}", bytes());
    assert!(sockets.bytes(&[]).expect("read").is_empty());
}
