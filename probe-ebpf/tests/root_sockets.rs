//! Bytes in the buffers of sockets, against what was written and not read.

use probe_ebpf::{SocketBytes, Sockets};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::net::{UnixDatagram, UnixStream},
    },
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
        let read = self.read();
        assert_eq!(read.unread_files, 0);
        read.bytes as usize
    }

    fn read(&self) -> SocketBytes {
        let pid = std::process::id();
        self.sockets.bytes(&[pid]).expect("read")[&pid]
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

/// Of what lies behind the descriptors that are looked at it is known how much there is.
fn allow_open_files(files: u64) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.current.map(|current| current.max(files));
    limit.maximum = limit.maximum.map(|maximum| maximum.max(files));
    setrlimit(Resource::Nofile, limit).expect("root may raise it, and 20,000 are common");
}

#[test]
fn files_that_are_not_looked_at_are_counted() {
    const LOOKED_AT: u32 = 4_096;
    allow_open_files(u64::from(3 * LOOKED_AT));
    let own = Own::new();
    let pid = std::process::id();
    let first = || own.sockets.bytes_of_first(LOOKED_AT, &[pid]).expect("read")[&pid];
    let (mut near, _far) = UnixStream::pair().expect("a pair");
    let before = first().bytes as usize;
    near.write_all(&[1; UNREAD]).expect("room for it");
    let unread = first().bytes as usize - before;
    let at = |number: u32| {
        let number = number as i32;
        // SAFETY: a number that nobody here has, and which is from now on the owner's.
        unsafe {
            assert_eq!(libc::fcntl(number, libc::F_GETFD), -1, "{number} is free");
            assert_eq!(libc::dup2(near.as_raw_fd(), number), number);
            OwnedFd::from_raw_fd(number)
        }
    };
    // Room for more descriptors does not count, only what is open.
    let behind = [LOOKED_AT, LOOKED_AT + 64, 2 * LOOKED_AT].map(at);
    let last = at(LOOKED_AT - 1);
    assert_eq!(first().unread_files, 3);
    assert_eq!(first().bytes as usize, before + 2 * unread);
    assert_eq!(own.bytes(), before + 5 * unread, "each place counts");
    drop(behind);
    assert_eq!(first().unread_files, 0);
    drop(last);
    assert_eq!(first().bytes as usize, before + unread);
}
