//! TCP sockets by `sock_diag`: the kernel is asked for those alone that listen or are connected. Of a host
//! that has closed tens of thousands of connections in the last minute, `/proc/PID/net/tcp` has a line for each.

use super::tables::{CONNECTED, TcpSocket};
use crate::attach::running::network_of;
use procfs::net::TcpState;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink::SOCK_DIAG, recv, send,
    socket_with,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::panic::resume_unwind;
use std::thread;

// `linux/netlink.h`, `linux/sock_diag.h` and `linux/inet_diag.h`.
const HEADER: usize = 16;
const REQUEST: usize = HEADER + 56;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const REQUEST_OF_ALL: u16 = 0x301;
const FAILED: u16 = 2;
const DONE: u16 = 3;
/// More than the kernel puts into one datagram.
const BUFFER: usize = 64 << 10;

/// Those in the network namespace of a process, with their inodes.
///
/// # Errors
/// If the kernel does not have it, or we may not enter that namespace.
pub(super) fn tcp(pid: u32) -> Result<Vec<(u64, TcpSocket)>> {
    let socket = open(pid)?;
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        ask(&socket, family as u8, &mut found)?;
    }
    Ok(found)
}

/// A socket by which the kernel is asked of that namespace.
fn open(pid: u32) -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let socket = || {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            flags,
            Some(SOCK_DIAG),
        );
        Ok(socket?)
    };
    if network_of(pid) == network_of(std::process::id()) {
        return socket();
    }
    let namespace = File::open(format!("/proc/{pid}/ns/net"))?;
    // A socket is of the namespace that it was made in: by a thread that goes there, and ends.
    let made = thread::scope(|scope| {
        let maker = scope.spawn(|| {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            socket()
        });
        maker.join()
    });
    made.unwrap_or_else(|panic| resume_unwind(panic))
}

fn ask(socket: &OwnedFd, family: u8, found: &mut Vec<(u64, TcpSocket)>) -> Result<()> {
    send(socket, &request(family), SendFlags::empty())?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let (length, _) = recv(socket, &mut buffer[..], RecvFlags::empty())?;
        let mut rest = &buffer[..length];
        while !rest.is_empty() {
            let (kind, message, behind) = next(rest).ok_or(ErrorKind::InvalidData)?;
            match kind {
                DONE => return Ok(()),
                FAILED => return Err(refused(message)),
                SOCK_DIAG_BY_FAMILY => found.extend(read(message)),
                _ => {}
            }
            rest = behind;
        }
    }
}

/// `struct nlmsghdr`, then `struct inet_diag_req_v2` without an address.
fn request(family: u8) -> [u8; REQUEST] {
    let mut request = [0; REQUEST];
    let mut put = |place: usize, bytes: &[u8]| {
        request[place..place + bytes.len()].copy_from_slice(bytes);
    };
    put(0, &(REQUEST as u32).to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &REQUEST_OF_ALL.to_ne_bytes());
    put(HEADER, &[family, libc::IPPROTO_TCP as u8]);
    let wanted = CONNECTED.into_iter().chain([TcpState::Listen]);
    let states = wanted.fold(0, |all, it| all | 1_u32 << it as u32);
    put(HEADER + 4, &states.to_ne_bytes());
    request
}

/// The kind and the contents of the first message, and what stands behind it.
fn next(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(at(bytes, 0)?) as usize;
    let kind = u16::from_ne_bytes(at(bytes, 4)?);
    let contents = bytes.get(HEADER..length)?;
    let behind = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, contents, behind))
}

fn refused(message: &[u8]) -> Error {
    let number = at(message, 0).map_or(0, i32::from_ne_bytes);
    Error::from_raw_os_error(number.saturating_neg())
}

/// `struct inet_diag_msg`.
fn read(message: &[u8]) -> Option<(u64, TcpSocket)> {
    let [family, state] = at(message, 0)?;
    let address = |port: usize, address: usize| -> Option<SocketAddr> {
        let port = u16::from_be_bytes(at(message, port)?);
        let ip = match i32::from(family) {
            libc::AF_INET => IpAddr::from(Ipv4Addr::from(at::<4>(message, address)?)),
            _ => IpAddr::from(Ipv6Addr::from(at::<16>(message, address)?)),
        };
        Some((ip, port).into())
    };
    let socket = TcpSocket {
        state: TcpState::from_u8(state)?,
        own: address(4, 8)?,
        peer: address(6, 24)?,
    };
    Some((u32::from_ne_bytes(at(message, 68)?).into(), socket))
}

fn at<const LENGTH: usize>(bytes: &[u8], place: usize) -> Option<[u8; LENGTH]> {
    bytes.get(place..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use procfs::process::Process;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;

    #[test]
    fn sockets_are_as_proc_has_them_and_closed_ones_are_left_out() {
        let mut kept = Vec::new();
        let mut closed = Vec::new();
        for address in ["127.0.0.1:0", "[::]:0"] {
            let listener = TcpListener::bind(address).expect("a port");
            let port = listener.local_addr().expect("its address").port();
            let connect = || {
                let client = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
                (client, listener.accept().expect("it is there").0)
            };
            let (client, served) = connect();
            // The one that hangs up first waits for a minute.
            closed.push(client.local_addr().expect("its address"));
            drop(client);
            drop(served);
            let (client, served) = connect();
            let (gone, hung_up) = connect();
            drop(gone);
            kept.extend([client, served, hung_up].map(OwnedFd::from));
            kept.push(listener.into());
        }
        let pid = std::process::id();
        let own = Process::myself().expect("it runs");
        let of_proc = [own.tcp(), own.tcp6()].map(|it| it.expect("a table"));
        let found = tcp(pid).expect("the kernel has it");
        for socket in &kept {
            let inode = super::super::socket_of(pid, socket.as_raw_fd()).expect("a socket");
            let entry = of_proc.iter().flatten().find(|it| it.inode == inode);
            let entry = TcpSocket::from(entry.expect("a line"));
            let same = found.iter().filter(|it| **it == (inode, entry.clone()));
            assert_eq!(same.count(), 1, "{entry:?}");
        }
        let waits = |it: &&SocketAddr| {
            let mut entries = of_proc.iter().flatten();
            entries.any(|entry| entry.state == TcpState::TimeWait && entry.local_address == **it)
        };
        assert_eq!(closed.iter().filter(waits).count(), closed.len());
        let mut states = found.iter().map(|(_, it)| &it.state);
        assert!(states.all(|it| *it == TcpState::Listen || CONNECTED.contains(it)));
    }

    #[test]
    fn what_the_kernel_refuses_is_an_error() {
        let mut bytes = vec![0; 20];
        bytes[..4].copy_from_slice(&20_u32.to_ne_bytes());
        bytes[4..6].copy_from_slice(&FAILED.to_ne_bytes());
        bytes[16..].copy_from_slice(&(-libc::ENOENT).to_ne_bytes());
        let (kind, message, behind) = next(&bytes).expect("a message");
        assert_eq!((kind, behind.len()), (FAILED, 0));
        assert_eq!(refused(message).raw_os_error(), Some(libc::ENOENT));
        assert!(next(&bytes[..18]).is_none());
    }
}
