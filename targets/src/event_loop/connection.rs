//! One non-blocking connection: what it can do at a time, and where it stopped.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::wait::Event;
use crate::listen::shut_down;
use crate::session::{READ_BYTES, Session, Stop};
use crate::store::Lock;
use crate::work::Context;

/// What one connection may read before others get their turn, in bytes. Reads are not counted: a
/// buffer that was made for a large request holds many times the usual read.
const BYTES_PER_TURN: usize = 4 * READ_BYTES;

/// A connection that is never waited for, whether its socket blocks or not.
pub(crate) struct Connection {
    socket: OwnedFd,
    /// The loop has queued it for a turn.
    pub(crate) queued: bool,
    /// Its state in the protocol.
    pub(crate) session: Session,
    /// A read may bring something.
    readable: bool,
    /// The client has ended its side: read until the end, even after a short read.
    read_closed: bool,
    /// The input may hold complete requests.
    executable: bool,
    /// What its first request waits for, if for anything.
    pending: Pending,
    /// Over once the output is written.
    closing: bool,
    /// The socket had no room for the output.
    blocked: bool,
    /// Events for writing are asked for.
    watches_writable: bool,
}

/// What a request in progress waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pending {
    Nothing,
    /// The end of a `WAIT`.
    Time,
    /// The end of `WORK` that is done elsewhere.
    Work,
}

/// How a turn ended.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Until the next event.
    Idle,
    /// With more to do at once.
    Unfinished,
    /// Until `finish_wait` is called after this time.
    Wait(Duration),
    /// Until `finish_wait` is called after this much CPU time was spent for it elsewhere.
    Work(Duration),
    /// For good.
    Over,
}

impl Connection {
    /// A connection over that socket.
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            queued: false,
            session: Session::default(),
            readable: false,
            read_closed: false,
            executable: false,
            pending: Pending::Nothing,
            closing: false,
            blocked: false,
            watches_writable: false,
        }
    }

    /// The socket.
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Takes note of what an event says.
    pub(crate) fn note(&mut self, event: Event) {
        self.readable |= event.is_readable();
        self.read_closed |= event.is_read_closed();
    }

    /// Lets the command that waited go on in its next turn.
    pub(crate) fn finish_wait(&mut self) {
        self.pending = Pending::Nothing;
        self.executable = true;
    }

    /// Reads, executes and writes as far as it goes without blocking. When the server is `ending`,
    /// reads nothing more.
    pub(crate) fn turn<L: Lock>(&mut self, context: &Context<'_, L>, ending: bool) -> Turn {
        let mut budget = BYTES_PER_TURN;
        loop {
            match self.write() {
                Ok(true) => {}
                Ok(false) => return Turn::Idle,
                Err(_) => return Turn::Over,
            }
            if self.closing {
                return Turn::Over;
            }
            match self.pending {
                Pending::Nothing => {}
                Pending::Time if self.read_closed => return Turn::Over,
                Pending::Time | Pending::Work => return Turn::Idle,
            }
            if self.executable {
                match self.session.execute(context) {
                    Stop::OutputFull => {}
                    Stop::NeedInput => self.executable = false,
                    Stop::Close => self.closing = true,
                    Stop::Wait(_) if self.read_closed => self.pending = Pending::Time,
                    Stop::Wait(time) => return self.begin(Pending::Time, Turn::Wait(time)),
                    Stop::Work(time) => return self.begin(Pending::Work, Turn::Work(time)),
                }
                continue;
            }
            if ending {
                return Turn::Over;
            }
            if !self.readable {
                return Turn::Idle;
            }
            if budget == 0 {
                return Turn::Unfinished;
            }
            match self.read(budget) {
                Some(read) => budget -= read,
                None => return Turn::Over,
            }
        }
    }

    /// Waits for something other than the socket. What was replied so far does not wait with it; what
    /// cannot be written now is written when that has come or the socket has room.
    fn begin(&mut self, pending: Pending, turn: Turn) -> Turn {
        self.pending = pending;
        match self.write() {
            Ok(_) => turn,
            Err(_) => Turn::Over,
        }
    }

    /// Whether the output waits for room in the socket.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Asks `registry` for events when the socket has room, if the output waits for that: once, since
    /// they come at the edge.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(crate) fn watch_writable(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        if self.blocked && !self.watches_writable {
            let interest = Interest::READABLE | Interest::WRITABLE;
            let descriptor = self.socket.as_raw_fd();
            registry.reregister(&mut SourceFd(&descriptor), token, interest)?;
            self.watches_writable = true;
        }
        Ok(())
    }

    /// Ends the connection; the client sees the last reply.
    pub(crate) fn close(self) {
        shut_down(self.socket.as_fd());
    }

    /// Reads once, at most `budget` bytes; `None` when the client has gone.
    fn read(&mut self, budget: usize) -> Option<usize> {
        let input = self.session.input();
        let length = input.len();
        let spare = input.spare_capacity_mut();
        let room = spare.len().min(budget);
        match recv(&self.socket, &mut spare[..room], RecvFlags::DONTWAIT) {
            Ok((_, 0)) => None,
            Ok((_, read)) => {
                // SAFETY: the kernel has written so many bytes behind the first `length`.
                unsafe { input.set_len(length + read) };
                self.executable = true;
                // A short read has emptied the socket, and what comes later is a new event; only
                // the end of the stream may have been reported already.
                self.readable = read == room || self.read_closed;
                Some(read)
            }
            Err(Errno::AGAIN) => {
                self.readable = false;
                Some(0)
            }
            Err(Errno::INTR) => Some(0),
            Err(_) => None,
        }
    }

    /// Writes what is to be written; `false` when the socket takes no more now.
    fn write(&mut self) -> Result<bool, Errno> {
        const FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);
        self.blocked = false;
        while !self.session.output().is_empty() {
            match send(&self.socket, self.session.output(), FLAGS) {
                Ok(written) => self.session.wrote(written),
                Err(Errno::AGAIN) => {
                    self.blocked = true;
                    return Ok(false);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
