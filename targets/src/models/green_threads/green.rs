//! A connection as its own coroutine sees it: calls seem to block.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use corosensei::Yielder;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::blocking;
use crate::counters;
use crate::event_loop::wait::Event;
use crate::session::{Buffers, READ_BYTES, Session};

/// What a coroutine may read before others get their turn, in bytes.
const BYTES_PER_TURN: usize = 4 * READ_BYTES;

thread_local! {
    /// What this thread lends to the coroutine that it runs.
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// Why a coroutine let others go on.
pub(crate) enum Pause {
    /// It had its share.
    Turn,
    /// Until a read brings something.
    Readable,
    /// Until a write is taken.
    Writable,
    /// Until then.
    Until(Instant),
}

/// What is known of a socket without asking.
#[derive(Default)]
pub(crate) struct Readiness {
    /// A read may bring something.
    pub(crate) readable: Cell<bool>,
    /// The client has ended its side.
    read_closed: Cell<bool>,
    /// A write may be taken.
    pub(crate) writable: Cell<bool>,
}

impl Readiness {
    /// Takes note of what an event says.
    pub(crate) fn note(&self, event: Event) {
        self.readable.set(self.readable.get() | event.is_readable());
        self.read_closed
            .set(self.read_closed.get() | event.is_read_closed());
        self.writable.set(self.writable.get() | event.is_writable());
    }
}

/// A connection served by the coroutine that owns it.
pub(crate) struct Green<'a> {
    socket: OwnedFd,
    readiness: Rc<Readiness>,
    /// What may still be read in this turn, in bytes.
    budget: Cell<usize>,
    yielder: &'a Yielder<(), Pause>,
}

impl<'a> Green<'a> {
    /// A connection over a non-blocking socket, for the coroutine of `yielder`.
    pub(crate) fn new(
        socket: OwnedFd,
        readiness: Rc<Readiness>,
        yielder: &'a Yielder<(), Pause>,
    ) -> Self {
        Self {
            socket,
            readiness,
            budget: Cell::new(BYTES_PER_TURN),
            yielder,
        }
    }

    /// Lets others go on, with this thread's buffers.
    fn pause(&self, session: &mut Session, pause: Pause) {
        BUFFERS.with_borrow_mut(|buffers| session.return_buffers(buffers));
        self.budget.set(BYTES_PER_TURN);
        counters::task_pauses();
        self.yielder.suspend(pause);
        counters::task_goes_on();
        BUFFERS.with_borrow_mut(|buffers| session.borrow_buffers(buffers));
    }
}

impl AsRawFd for Green<'_> {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl blocking::Connection for Green<'_> {
    fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn receive(&self, session: &mut Session) -> Result<usize, Errno> {
        let Readiness {
            readable,
            read_closed,
            ..
        } = &*self.readiness;
        loop {
            if !readable.get() {
                self.pause(session, Pause::Readable);
            } else if self.budget.get() == 0 {
                self.pause(session, Pause::Turn);
            }
            let input = session.input();
            let length = input.len();
            let spare = input.spare_capacity_mut();
            let room = spare.len().min(self.budget.get());
            match recv(&self.socket, &mut spare[..room], RecvFlags::empty()) {
                Ok((_, read)) => {
                    // SAFETY: the kernel has written so many bytes behind the first `length`.
                    unsafe { input.set_len(length + read) };
                    // A short read has emptied the socket, and what comes later is a new event; only
                    // the end of the stream may have been reported already.
                    readable.set(read == room || read_closed.get());
                    self.budget.set(self.budget.get() - read);
                    return Ok(read);
                }
                Err(Errno::AGAIN) => readable.set(false),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn send(&self, session: &mut Session) -> Result<(), Errno> {
        while !session.output().is_empty() {
            match send(&self.socket, session.output(), SendFlags::NOSIGNAL) {
                Ok(sent) => session.wrote(sent),
                Err(Errno::AGAIN) => {
                    self.readiness.writable.set(false);
                    self.pause(session, Pause::Writable);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sleep(&self, session: &mut Session, time: Duration) {
        self.pause(session, Pause::Until(Instant::now() + time));
    }
}

/// Gives the thread's buffers back at the end of a coroutine.
pub(crate) fn give_back(session: &mut Session) {
    BUFFERS.with_borrow_mut(|buffers| session.return_buffers(buffers));
}
