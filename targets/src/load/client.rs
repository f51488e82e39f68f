//! One connection of the load generator.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use redis_protocol::resp2::decode::decode_range;
use redis_protocol::resp2::types::RangeFrame;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, recv, send,
    socket_with, sockopt,
};

use super::workload::{Expected, Verdict};

/// Room for the usual reply, in bytes.
const INPUT_BYTES: usize = 256;
/// No reply is larger, in bytes.
const MAX_INPUT_BYTES: usize = 1 << 20;
/// Connections made from one source address: less than the ports it has by default (28,231).
const PER_SOURCE_ADDRESS: usize = 20_000;

/// A non-blocking connection with at most one request outstanding.
#[derive(Debug)]
pub(crate) struct Client {
    /// None between two requests that each have a connection of their own.
    socket: Option<OwnedFd>,
    input: Vec<u8>,
    /// Requests that fell due for this connection.
    pub(crate) due: u64,
    /// Requests that were sent.
    pub(crate) sent: u64,
    /// The request not yet answered.
    pub(crate) pending: Option<Pending>,
    /// The connection works.
    pub(crate) alive: bool,
    /// Whether its connection is the request's own.
    pub(crate) making: Making,
}

/// How a connection is made for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Making {
    /// It was there before the request.
    No,
    /// Begun at this time, in nanoseconds of the run, and not made yet.
    Begun(u64),
    /// Begun at this time; the request is sent.
    Made(u64),
}

/// A request not yet answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    /// When it was meant to start, in nanoseconds of the run.
    pub(crate) due_ns: u64,
    /// What the answer must be.
    pub(crate) expected: Expected,
}

/// One reply of a server, in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply<'a> {
    /// `+text`
    Simple(&'a [u8]),
    /// `-text`
    Error(&'a [u8]),
    /// `:value`
    Integer(i64),
    /// A bulk string.
    Bulk(&'a [u8]),
    /// The null.
    Null,
    /// Not one reply: something else, or more than was asked for.
    Garbage,
}

/// What reading brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received<'a> {
    /// A complete reply; `clear` is to follow.
    Reply(Reply<'a>),
    /// Not yet a complete reply.
    Nothing,
    /// The connection is over.
    Closed,
}

impl Client {
    /// Begins to connect connection number `index` to `server`.
    ///
    /// # Errors
    /// What the system answers; an address refused at once among it.
    pub(crate) fn connect(server: SocketAddr, index: usize) -> Result<Self, Errno> {
        Ok(Self {
            socket: Some(begin_connecting(server, index)?),
            input: Vec::new(),
            due: 0,
            sent: 0,
            pending: None,
            alive: true,
            making: Making::No,
        })
    }

    /// Begins to connect anew, at `now` of the run.
    ///
    /// # Errors
    /// As `connect`.
    pub(crate) fn connect_again(
        &mut self,
        server: SocketAddr,
        index: usize,
        now_ns: u64,
    ) -> Result<(), Errno> {
        self.making = Making::Begun(now_ns);
        self.socket = None;
        self.socket = Some(begin_connecting(server, index)?);
        Ok(())
    }

    /// Ends the connection; another may be made.
    pub(crate) fn close(&mut self) {
        self.making = Making::No;
        self.socket = None;
        self.input.clear();
    }

    /// What became of connecting, once the socket is writable.
    ///
    /// # Errors
    /// Why there is no connection.
    pub(crate) fn connected(&self) -> Result<(), Errno> {
        sockopt::socket_error(self.socket()?)?
    }

    /// Sends a whole request. It always fits: nothing else is in the send buffer.
    ///
    /// # Errors
    /// When the connection is over.
    pub(crate) fn send(&self, request: &[u8]) -> Result<(), Errno> {
        match send(self.socket()?, request, SendFlags::NOSIGNAL)? {
            sent if sent == request.len() => Ok(()),
            _ => Err(Errno::NOBUFS),
        }
    }

    /// Reads until there is a complete reply or nothing more to read: events come once for all
    /// that has arrived.
    pub(crate) fn receive(&mut self) -> Received<'_> {
        loop {
            if self.input.len() == self.input.capacity() {
                self.input.reserve(INPUT_BYTES.max(self.input.len()));
            }
            let Some(socket) = &self.socket else {
                return Received::Nothing;
            };
            match recv(socket, spare_capacity(&mut self.input), RecvFlags::empty()) {
                Ok((1.., _)) => {}
                Err(Errno::AGAIN) => return Received::Nothing,
                Err(Errno::INTR) => continue,
                Ok(_) | Err(_) => return Received::Closed,
            }
            if self.input.first() == Some(&b'*') || self.input.len() > MAX_INPUT_BYTES {
                return Received::Reply(Reply::Garbage);
            }
            match decode_range(&self.input) {
                Ok(None) => {}
                Ok(Some((frame, length))) if length == self.input.len() => {
                    return Received::Reply(reply(frame, &self.input));
                }
                Ok(Some(_)) | Err(_) => return Received::Reply(Reply::Garbage),
            }
        }
    }

    /// Reads once; once as many bytes as `expected` are there, whether they are the same.
    pub(crate) fn receive_exactly(&mut self, expected: &[u8]) -> Option<Verdict> {
        self.input.reserve(expected.len());
        match recv(
            self.socket.as_ref()?,
            spare_capacity(&mut self.input),
            RecvFlags::empty(),
        ) {
            Err(Errno::AGAIN | Errno::INTR) | Ok((1.., _)) => {}
            Ok(_) | Err(_) => return Some(Verdict::Wrong),
        }
        if !expected.starts_with(&self.input) {
            return Some(Verdict::Wrong);
        }
        if self.input.len() < expected.len() {
            return None;
        }
        self.input.clear();
        Some(Verdict::Right)
    }

    /// Its socket.
    ///
    /// # Errors
    /// When it has none.
    pub(crate) fn socket(&self) -> Result<&OwnedFd, Errno> {
        self.socket.as_ref().ok_or(Errno::NOTCONN)
    }

    /// Forgets the reply received.
    pub(crate) fn clear(&mut self) {
        self.input.clear();
    }
}

/// Begins to connect connection number `index`, without waiting for it.
fn begin_connecting(server: SocketAddr, index: usize) -> Result<OwnedFd, Errno> {
    let family = match server {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    if let (IpAddr::V4(ip), 1..) = (server.ip(), index / PER_SOURCE_ADDRESS)
        && ip.is_loopback()
    {
        let source = Ipv4Addr::new(127, 0, 0, 1 + (index / PER_SOURCE_ADDRESS) as u8);
        bind(&socket, &SocketAddr::from((source, 0)))?;
    }
    match connect(&socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

fn reply(frame: RangeFrame, input: &[u8]) -> Reply<'_> {
    match frame {
        RangeFrame::SimpleString((from, to)) => Reply::Simple(&input[from..to]),
        RangeFrame::Error((from, to)) => Reply::Error(&input[from..to]),
        RangeFrame::BulkString((from, to)) => Reply::Bulk(&input[from..to]),
        RangeFrame::Integer(value) => Reply::Integer(value),
        RangeFrame::Null => Reply::Null,
        RangeFrame::Array(_) => Reply::Garbage,
    }
}
