//! A client of the pooler: what it has asked for, and what is still to be written to it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::event_loop::wait::Event;
use crate::listen::shut_down;
use crate::protocol::{Decoder, ProtocolError, Request, reply};
use crate::session::{READ_BYTES, return_buffer};

/// Requests are forwarded together up to about so many bytes.
const BATCH_BYTES: usize = READ_BYTES;

/// A connected client.
pub(crate) struct Client {
    socket: OwnedFd,
    /// It has a turn coming.
    pub(crate) queued: bool,
    /// A read may bring something.
    pub(crate) readable: bool,
    /// It has ended its side: read until the end, even after a short read.
    pub(crate) read_closed: bool,
    /// Its connection has failed.
    pub(crate) failed: bool,
    /// Over once the output is written.
    pub(crate) closing: bool,
    /// What it does now.
    pub(crate) stage: Stage,
    /// The slot of the backend connection it holds.
    pub(crate) backend: Option<usize>,
    /// The requests being forwarded.
    pub(crate) batch: Batch,
    /// It has asked for memory in this session.
    pub(crate) touched: bool,
    /// The backend connection of its session has ended since its last request.
    pub(crate) lost: bool,
    decoder: Decoder,
    input: Vec<u8>,
    /// Bytes of the input that were dealt with.
    taken: usize,
    output: Vec<u8>,
    /// Bytes of the output that were written.
    written: usize,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It may ask for something.
    Free,
    /// Its batch waits for a backend connection.
    Waiting,
    /// Its batch is with the backend.
    InFlight,
}

/// Requests that are forwarded together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Batch {
    /// Bytes still to be sent to the backend.
    pub(crate) unsent: usize,
    /// Replies still to come.
    pub(crate) replies: usize,
}

/// What a client asks for next.
#[derive(Debug)]
pub(crate) enum Next {
    /// The batch is for the backend.
    Forward,
    /// The pooler's own `INFO`.
    Info,
    /// To end its connection.
    Quit,
    /// What is no request.
    Refuse(ProtocolError),
    /// Nothing complete.
    NeedInput,
}

impl Client {
    /// A client over a non-blocking socket.
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            queued: false,
            readable: false,
            read_closed: false,
            failed: false,
            closing: false,
            stage: Stage::Free,
            backend: None,
            batch: Batch::default(),
            touched: false,
            lost: false,
            decoder: Decoder::default(),
            input: Vec::new(),
            taken: 0,
            output: Vec::new(),
            written: 0,
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
        self.failed |= event.is_failed();
    }

    /// Reads into a buffer that all clients share, in place of its own where it keeps nothing in it.
    pub(crate) fn borrow_input(&mut self, shared: &mut Vec<u8>) {
        if self.input.is_empty() {
            std::mem::swap(&mut self.input, shared);
        }
    }

    /// Gives a shared buffer back, keeping a copy of what is left in it.
    pub(crate) fn return_input(&mut self, shared: &mut Vec<u8>) {
        return_buffer(&mut self.input, &mut self.taken, shared);
    }

    /// Reads once, at most `most` bytes; `None` when the client has gone.
    pub(crate) fn read(&mut self, most: usize) -> Option<usize> {
        let input = &mut self.input;
        if input.capacity() - input.len() < READ_BYTES / 4 {
            input.reserve(READ_BYTES.max(input.len()));
        }
        let length = input.len();
        let spare = input.spare_capacity_mut();
        let room = spare.len().min(most);
        match recv(&self.socket, &mut spare[..room], RecvFlags::empty()) {
            Ok((_, 0)) => None,
            Ok((_, read)) => {
                // SAFETY: the kernel has written so many bytes behind the first `length`.
                unsafe { input.set_len(length + read) };
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

    /// What the input asks for next; consecutive requests for the backend become one batch.
    pub(crate) fn next(&mut self) -> Next {
        let mut batch = Batch::default();
        while batch.unsent < BATCH_BYTES {
            let rest = &self.input[self.taken + batch.unsent..];
            let (length, kind) = match self.decoder.decode(rest) {
                Ok(Some(length)) => (length, Kind::of(self.decoder.request(rest))),
                // What comes keeps its place behind the batch.
                Ok(None) if batch.replies > 0 => break,
                Ok(None) => {
                    self.input.drain(..self.taken);
                    self.taken = 0;
                    return Next::NeedInput;
                }
                Err(error) if batch.replies == 0 => return Next::Refuse(error),
                Err(_) => {
                    // To be found again when the replies of the batch are there.
                    self.decoder.next_request();
                    break;
                }
            };
            self.decoder.next_request();
            let own = match kind {
                Kind::Forward | Kind::Touch => {
                    self.touched |= kind == Kind::Touch;
                    batch.unsent += length;
                    batch.replies += 1;
                    continue;
                }
                Kind::Empty if batch.replies > 0 => {
                    batch.unsent += length;
                    continue;
                }
                Kind::Info | Kind::Quit if batch.replies > 0 => break,
                Kind::Empty => None,
                Kind::Info => Some(Next::Info),
                Kind::Quit => Some(Next::Quit),
            };
            self.taken += length;
            if let Some(own) = own {
                return own;
            }
        }
        self.batch = batch;
        Next::Forward
    }

    /// The bytes of the batch still to be sent.
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.input[self.taken..self.taken + self.batch.unsent]
    }

    /// Notes that `bytes` of the batch were sent.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.taken += bytes;
        self.batch.unsent -= bytes;
    }

    /// Is done with the batch, whatever is left of it.
    pub(crate) fn end_batch(&mut self) {
        self.sent(self.batch.unsent);
        self.batch.replies = 0;
        self.stage = Stage::Free;
    }

    /// Replies to what is left of the batch in the backend's place. Where that has begun a reply, the
    /// client's connection must end instead.
    pub(crate) fn fail(&mut self, error: &str, between_replies: bool) {
        let missing = self.batch.replies;
        self.end_batch();
        if between_replies {
            for _ in 0..missing {
                reply::error(&mut self.output, error);
            }
        } else {
            self.closing = true;
        }
    }

    /// Where to append replies of the pooler's own.
    pub(crate) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// It does not take what is written to it.
    pub(crate) fn is_held_up(&self) -> bool {
        !self.output.is_empty()
    }

    /// Passes replies on; what the socket does not take is kept.
    pub(crate) fn pass_on(&mut self, replies: &[u8]) -> Result<(), Errno> {
        let mut passed = 0;
        if self.output.is_empty() {
            while passed < replies.len() {
                match send(&self.socket, &replies[passed..], SendFlags::NOSIGNAL) {
                    Ok(sent) => passed += sent,
                    Err(Errno::AGAIN) => break,
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        self.output.extend_from_slice(&replies[passed..]);
        Ok(())
    }

    /// Writes what is to be written; `false` when the socket takes no more now.
    pub(crate) fn write(&mut self) -> Result<bool, Errno> {
        if self.output.is_empty() {
            return Ok(true);
        }
        while self.written < self.output.len() {
            match send(
                &self.socket,
                &self.output[self.written..],
                SendFlags::NOSIGNAL,
            ) {
                Ok(sent) => self.written += sent,
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        // Rare, so the next time may allocate anew.
        self.output = Vec::new();
        self.written = 0;
        Ok(true)
    }

    /// Ends the connection; the client sees the last reply.
    pub(crate) fn close(self) {
        shut_down(self.socket.as_fd());
    }
}

/// Requests as the pooler tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An empty line, which has no reply.
    Empty,
    Info,
    Quit,
    Touch,
    Forward,
}

impl Kind {
    fn of(request: Request<'_>) -> Self {
        if request.len() == 0 {
            return Self::Empty;
        }
        let name = request.argument(0);
        // Most names are told apart by their length.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"INFO") => Self::Info,
            4 if name.eq_ignore_ascii_case(b"QUIT") => Self::Quit,
            5 if name.eq_ignore_ascii_case(b"TOUCH") => Self::Touch,
            _ => Self::Forward,
        }
    }
}
