//! One connection of the event loop: what it can do without blocking, and where it stopped.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::wait::Event;
use crate::listen::shut_down;
use crate::session::{READ_BYTES, Session, Stop};
use crate::store::SingleThread;
use crate::work::Context;

/// What one connection may read before others get their turn, in bytes. Reads are not counted: a
/// buffer that was made for a large request holds many times the usual read.
const BYTES_PER_TURN: usize = 4 * READ_BYTES;

/// A non-blocking connection.
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
    /// A command waits, as `WAIT` does.
    waiting: bool,
    /// Over once the output is written.
    closing: bool,
    /// Events for writing are asked for.
    watches_writable: bool,
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
    /// For good.
    Over,
}

impl Connection {
    /// A connection over a non-blocking socket.
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            queued: false,
            session: Session::default(),
            readable: false,
            read_closed: false,
            executable: false,
            waiting: false,
            closing: false,
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

    /// Lets the command that waits go on in its next turn.
    pub(crate) fn finish_wait(&mut self) {
        self.waiting = false;
        self.executable = true;
    }

    /// Reads, executes and writes as far as it goes without blocking. When the server is `ending`,
    /// reads nothing more.
    pub(crate) fn turn(
        &mut self,
        context: &Context<'_, SingleThread>,
        poll: &Poll,
        token: Token,
        ending: bool,
    ) -> Turn {
        let mut budget = BYTES_PER_TURN;
        loop {
            match self.write() {
                Ok(true) => {}
                Ok(false) => return self.watch_writable(poll, token),
                Err(_) => return Turn::Over,
            }
            if self.closing {
                return Turn::Over;
            }
            if self.waiting {
                return match self.read_closed {
                    true => Turn::Over,
                    false => Turn::Idle,
                };
            }
            if self.executable {
                match self.session.execute(context) {
                    Stop::OutputFull => {}
                    Stop::NeedInput => self.executable = false,
                    Stop::Close => self.closing = true,
                    Stop::Wait(time) => {
                        self.waiting = true;
                        if self.read_closed {
                            continue;
                        }
                        // What was replied so far does not wait with it; what cannot be written
                        // now is written when the timer has fired or the socket has room.
                        return match self.write() {
                            Ok(true) => Turn::Wait(time),
                            Ok(false) => match self.watch_writable(poll, token) {
                                Turn::Idle => Turn::Wait(time),
                                over => over,
                            },
                            Err(_) => Turn::Over,
                        };
                    }
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
        match recv(&self.socket, &mut spare[..room], RecvFlags::empty()) {
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
        while !self.session.output().is_empty() {
            match send(&self.socket, self.session.output(), SendFlags::NOSIGNAL) {
                Ok(written) => self.session.wrote(written),
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn watch_writable(&mut self, poll: &Poll, token: Token) -> Turn {
        if !self.watches_writable {
            let interest = Interest::READABLE | Interest::WRITABLE;
            let descriptor = self.socket.as_raw_fd();
            if poll
                .registry()
                .reregister(&mut SourceFd(&descriptor), token, interest)
                .is_err()
            {
                return Turn::Over;
            }
            self.watches_writable = true;
        }
        Turn::Idle
    }
}
