//! A thread's coroutines: which wait for what, which have a turn next.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token, Waker};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

use super::stacks::Stacks;
use crate::blocking;
use crate::event_loop::wait::{Event, Ready};
use crate::listen::refuse as refuse_socket;
use crate::session::{Buffers, READ_BYTES, Session};
use crate::slots::Slots;

const INBOX: Token = Token(usize::MAX - 1);
const EVENTS_PER_TURN: usize = 1024;
/// What a coroutine may read before others get their turn, in bytes.
const BYTES_PER_TURN: usize = 4 * READ_BYTES;

thread_local! {
    /// What this thread lends to the coroutine that it runs.
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// A thread as others see it: where it takes new connections from.
#[derive(Debug)]
pub(crate) struct Worker {
    inbox: Mutex<Vec<OwnedFd>>,
    waker: Waker,
    load: AtomicU32,
}

impl Worker {
    /// A worker, and what its thread is to make a [`Scheduler`] of.
    ///
    /// # Errors
    /// When there is no descriptor for it.
    pub(crate) fn new() -> io::Result<(Poll, Arc<Self>)> {
        let poll = Poll::new()?;
        let worker = Self {
            inbox: Mutex::default(),
            waker: Waker::new(poll.registry(), INBOX)?,
            load: AtomicU32::new(0),
        };
        Ok((poll, Arc::new(worker)))
    }

    /// The connections that it serves or is to serve.
    pub(crate) fn load(&self) -> u32 {
        self.load.load(Ordering::Relaxed)
    }

    /// Makes it serve one more.
    pub(crate) fn give(&self, socket: OwnedFd) {
        self.load.fetch_add(1, Ordering::Relaxed);
        self.inbox().push(socket);
        // Fails only when the counter behind it is full of wake-ups.
        let _ = self.waker.wake();
    }

    fn inbox(&self) -> std::sync::MutexGuard<'_, Vec<OwnedFd>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a coroutine let others go on.
enum Pause {
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
struct Readiness {
    readable: Cell<bool>,
    read_closed: Cell<bool>,
    writable: Cell<bool>,
}

impl Readiness {
    fn note(&self, event: Event) {
        self.readable.set(self.readable.get() | event.is_readable());
        self.read_closed
            .set(self.read_closed.get() | event.is_read_closed());
        self.writable.set(self.writable.get() | event.is_writable());
    }
}

struct Task {
    coroutine: Coroutine<(), Pause, (), DefaultStack>,
    readiness: Rc<Readiness>,
    paused: Pause,
}

impl Task {
    /// What it waited for has come.
    fn may_go_on(&self) -> bool {
        match self.paused {
            Pause::Readable => self.readiness.readable.get(),
            Pause::Writable => self.readiness.writable.get(),
            // In the run queue, or in the timers.
            Pause::Turn | Pause::Until(_) => false,
        }
    }
}

/// The coroutines of one thread.
pub(crate) struct Scheduler {
    poll: Poll,
    worker: Arc<Worker>,
    stacks: Stacks,
    tasks: Slots<Task>,
    /// Tasks that can go on, each once.
    queue: VecDeque<usize>,
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
}

impl Scheduler {
    /// A scheduler for this thread.
    pub(crate) fn new(poll: Poll, worker: Arc<Worker>, stacks: Stacks) -> Self {
        Self {
            poll,
            worker,
            stacks,
            tasks: Slots::default(),
            queue: VecDeque::new(),
            timers: BinaryHeap::new(),
        }
    }

    /// Runs a coroutine of `serve` for each connection given; those that cannot have one are left
    /// to `refuse`. Comes back only when the kernel refuses to wait for events.
    pub(crate) fn run(
        &mut self,
        serve: impl Fn(&Green<'_>) + Copy + 'static,
        refuse: impl Fn(OwnedFd),
    ) -> io::Error {
        let mut ready = Ready::with_capacity(EVENTS_PER_TURN);
        loop {
            match ready.wait(&self.poll, self.timeout()) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return error,
                _ => {}
            }
            for event in ready.iter() {
                if event.token == INBOX {
                    let sockets = std::mem::take(&mut *self.worker.inbox());
                    for socket in sockets {
                        self.begin(socket, serve, &refuse);
                    }
                } else {
                    self.note(event);
                }
            }
            self.fire_timers();
            // What has more to do, or can go on again, has its next turn after the next events.
            for _ in 0..self.queue.len() {
                if let Some(slot) = self.queue.pop_front() {
                    self.turn(slot);
                }
            }
            self.tasks.free_ended();
        }
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.queue.is_empty() {
            return Some(Duration::ZERO);
        }
        let Reverse((next, _)) = self.timers.peek()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn begin(
        &mut self,
        socket: OwnedFd,
        serve: impl Fn(&Green<'_>) + 'static,
        refuse: impl Fn(OwnedFd),
    ) {
        let Ok(stack) = self.stacks.take() else {
            self.leave();
            return refuse(socket);
        };
        let readiness = Rc::<Readiness>::default();
        let (own, descriptor) = (readiness.clone(), socket.as_raw_fd());
        let coroutine = Coroutine::with_stack(stack, move |yielder, ()| {
            serve(&Green {
                socket,
                readiness: own,
                budget: Cell::new(BYTES_PER_TURN),
                yielder,
            });
        });
        let slot = self.tasks.add(Task {
            coroutine,
            readiness,
            paused: Pause::Turn,
        });
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        let watched = registry.register(&mut SourceFd(&descriptor), Token(slot), interest);
        if let (Err(_), Some(task)) = (watched, self.tasks.get(slot)) {
            // Its coroutine sees the end of the stream.
            // SAFETY: the coroutine, which has not begun, keeps the socket open.
            let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
            refuse_socket(socket);
            let _ = shutdown(socket, Shutdown::Both);
            task.readiness.readable.set(true);
        }
        self.queue.push_back(slot);
    }

    fn note(&mut self, event: Event) {
        let Token(slot) = event.token;
        let Some(task) = self.tasks.get(slot) else {
            return;
        };
        task.readiness.note(event);
        if task.may_go_on() {
            task.paused = Pause::Turn;
            self.queue.push_back(slot);
        }
    }

    fn fire_timers(&mut self) {
        if self.timers.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(&Reverse((at, slot))) = self.timers.peek()
            && at <= now
        {
            self.timers.pop();
            self.queue.push_back(slot);
        }
    }

    /// Switches to a coroutine until it pauses or ends.
    fn turn(&mut self, slot: usize) {
        let Some(task) = self.tasks.get(slot) else {
            return;
        };
        match task.coroutine.resume(()) {
            CoroutineResult::Yield(pause) => {
                match pause {
                    Pause::Turn => self.queue.push_back(slot),
                    Pause::Until(time) => self.timers.push(Reverse((time, slot))),
                    Pause::Readable | Pause::Writable => {}
                }
                task.paused = pause;
            }
            CoroutineResult::Return(()) => {
                if let Some(task) = self.tasks.end(slot) {
                    self.stacks.give_back(task.coroutine.into_stack());
                }
                self.leave();
            }
        }
    }

    fn leave(&self) {
        self.worker.load.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection as its own coroutine sees it: calls seem to block.
pub(crate) struct Green<'a> {
    socket: OwnedFd,
    readiness: Rc<Readiness>,
    /// What may still be read in this turn, in bytes.
    budget: Cell<usize>,
    yielder: &'a Yielder<(), Pause>,
}

impl Green<'_> {
    /// Lets others go on, with this thread's buffers.
    fn pause(&self, session: &mut Session, pause: Pause) {
        BUFFERS.with_borrow_mut(|buffers| session.return_buffers(buffers));
        self.budget.set(BYTES_PER_TURN);
        self.yielder.suspend(pause);
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
