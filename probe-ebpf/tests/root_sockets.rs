//! Bytes in the buffers of sockets, against what was written and not read.

use probe_ebpf::Sockets;
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::{UnixDatagram, UnixStream},
    sync::{Mutex, MutexGuard, PoisonError},
};

const UNREAD: usize = 64 * 1024;

/// Bytes of this process's sockets, which no other test may have meanwhile.
struct Own {
    sockets: Sockets,
    _alone: MutexGuard<'static, ()>,
}

impl Own {
    fn new() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        Self {
            _alone: ALONE.lock().unwrap_or_else(PoisonError::into_inner),
            sockets: Sockets::load().expect("the program loads"),
        }
    }

    fn bytes(&self) -> usize {
        let pid = std::process::id();
        self.sockets.bytes(&[pid]).expect("read")[&pid] as usize
    }
}

#[test]
fn unread_bytes_count_until_they_are_read() {
    let own = Own::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut client = TcpStream::connect(listener.local_addr().expect("bound")).expect("a server");
    let (mut held, _) = listener.accept().expect("accepted");
    let before = own.bytes();
    client.write_all(&[1; UNREAD]).expect("room for it");
    let unread = own.bytes() - before;
    assert!((UNREAD..4 * UNREAD).contains(&unread), "{unread} bytes");
    held.read_exact(&mut [0; UNREAD]).expect("all of it");
    let after = own.bytes();
    assert!(after < before + UNREAD, "{after} after {before}");
    assert!(own.sockets.bytes(&[]).expect("read").is_empty());
}

/// The kernel charges them to the sender, once.
#[test]
fn unread_bytes_of_unix_sockets_count_until_they_are_read() {
    let own = Own::new();
    let (mut near, mut far) = UnixStream::pair().expect("a pair");
    let before = own.bytes();
    near.write_all(&[1; UNREAD]).expect("room for it");
    let unread = own.bytes() - before;
    assert!((UNREAD..2 * UNREAD).contains(&unread), "{unread} bytes");
    far.read_exact(&mut [0; UNREAD]).expect("all of it");
    assert_eq!(own.bytes(), before);
    let (near, far) = UnixDatagram::pair().expect("a pair");
    for _ in 0..4 {
        near.send(&[1; UNREAD / 8]).expect("room for it");
    }
    let unread = own.bytes() - before;
    assert!((UNREAD / 2..2 * UNREAD).contains(&unread), "{unread} bytes");
    (0..4).for_each(|_| assert_eq!(far.recv(&mut [0; UNREAD]).expect("one"), UNREAD / 8));
    assert_eq!(own.bytes(), before);
}
