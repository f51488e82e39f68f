//! A connection of the pooler to the server behind it.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
    sockopt,
};

use super::replies::{Found, NotAReply, Replies};
use crate::event_loop::wait::Event;

/// The room for one read of replies, in bytes.
pub(crate) const REPLY_BYTES: usize = 64 * 1024;

/// A connection to the backend.
pub(crate) struct Backend {
    /// The socket.
    pub(crate) socket: OwnedFd,
    /// It has a turn coming.
    pub(crate) queued: bool,
    /// A read may bring something.
    pub(crate) readable: bool,
    /// Nothing more will come after what there is.
    read_closed: bool,
    /// What it does now.
    pub(crate) state: State,
    /// When it last began something or replied.
    pub(crate) progress: Instant,
    /// A deadline of it is pending.
    pub(crate) timed: bool,
    replies: Replies,
}

/// What a backend connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It is being made.
    Connecting,
    /// It was made and greeted: a server that refuses says so instead of answering.
    Greeted,
    /// It waits for the next client.
    Idle,
    /// The client in that slot holds it.
    Held(usize),
    /// So many replies are still to come whose client has gone.
    Draining(usize),
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Nothing now.
    Nothing,
    /// So many bytes, of which those `found` are of the replies asked for.
    Replies { bytes: usize, found: Found },
    /// The end, or what is no reply.
    End,
}

impl Backend {
    /// Begins to connect.
    ///
    /// # Errors
    /// When the system refuses at once.
    pub(crate) fn connect(address: SocketAddr, now: Instant) -> rustix::io::Result<Self> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        match connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error),
        }
        Ok(Self {
            socket,
            queued: false,
            readable: false,
            read_closed: false,
            state: State::Connecting,
            progress: now,
            timed: false,
            replies: Replies::default(),
        })
    }

    /// How connecting went.
    pub(crate) fn connected(&self) -> Result<(), Errno> {
        sockopt::socket_error(&self.socket)?
    }

    /// Takes note of what an event says.
    pub(crate) fn note(&mut self, event: Event) {
        self.readable |= event.is_readable();
        self.read_closed |= event.is_read_closed();
    }

    /// Sends once; 0 when the socket takes no more now.
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        loop {
            match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Err(Errno::AGAIN) => return Ok(0),
                Err(Errno::INTR) => {}
                sent => return sent,
            }
        }
    }

    /// Reads once into `room` (of [`REPLY_BYTES`]), up to the end of `most` replies.
    pub(crate) fn read(&mut self, room: &mut [u8], most: usize) -> Read {
        match recv(&self.socket, &mut *room, RecvFlags::empty()) {
            Ok((_, 0)) => Read::End,
            Ok((_, bytes)) => {
                self.readable = bytes == room.len() || self.read_closed;
                match self.replies.read(&room[..bytes], most) {
                    Ok(found) => Read::Replies { bytes, found },
                    Err(NotAReply) => Read::End,
                }
            }
            Err(Errno::AGAIN) => {
                self.readable = false;
                Read::Nothing
            }
            Err(Errno::INTR) => Read::Nothing,
            Err(_) => Read::End,
        }
    }

    /// The last reply is complete.
    pub(crate) fn is_between_replies(&self) -> bool {
        self.replies.is_between()
    }
}
