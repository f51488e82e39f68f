//! An event loop: one thread, readiness events, non-blocking sockets. What models do with it differs
//! in the lock of the state, in who else accepts, and in where CPU-heavy requests are worked on.
//!
//! Buffers for reading and writing are the loop's: a connection has its own only while it is in
//! the middle of a request or of a reply. `WAIT` is a timer of the loop (to the nanosecond where the
//! kernel has `epoll_pwait2`, since 5.11, else to the millisecond), so it delays its own connection
//! only. A client that ends its side meanwhile has left, as for Redis, and its place is free.

pub(crate) mod connection;
mod entrance;
pub(crate) mod wait;
mod workers;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};
use rustix::net::SocketFlags;

use self::connection::{Connection, Turn};
pub(crate) use self::entrance::Entrance;
use self::wait::Ready;
pub(crate) use self::workers::Workers;
use crate::listen::{Accepted, Listener, PAUSE, refuse};
use crate::serve::DRAIN;
use crate::session::Buffers;
use crate::signals::{Signals, asks_to_end};
use crate::slots::{Name, Slots};
use crate::store::Lock;
use crate::timers::Timers;
use crate::work::{Context, burn};

const LISTENER: Token = Token(usize::MAX - 1);
const SIGNALS: Token = Token(usize::MAX - 2);
const WORKERS: Token = Token(usize::MAX - 3);
const EVENTS_PER_TURN: usize = 1024;
/// How long a loop leaves clients to others that have less than it.
const STEP_BACK: Duration = Duration::from_millis(1);

/// A loop that serves until a signal asks it to end.
pub(crate) struct EventLoop<'a, L> {
    poll: Poll,
    signals: Signals,
    context: &'a Context<'a, L>,
    entrance: Entrance,
    /// `None` before it runs, and once asked to end.
    listener: Option<Listener>,
    /// When to accept again, if accepting had to pause.
    accept_at: Option<Instant>,
    connections: Slots<Connection>,
    /// When a `WAIT` ends, of which connection.
    timers: Timers<Name>,
    /// Slots whose connections are to have a turn, each once.
    queue: Vec<usize>,
    buffers: Buffers,
    /// Who does heavy work; without them, the loop does.
    workers: Option<Workers>,
    /// When the drain is over, once asked to end.
    end_at: Option<Instant>,
}

impl<'a, L: Lock> EventLoop<'a, L> {
    /// A loop that waits for clients of `listener` already.
    ///
    /// # Errors
    /// When the system has no more descriptors or memory for it.
    pub(crate) fn new(
        context: &'a Context<'a, L>,
        signals: Signals,
        listener: &Listener,
        entrance: Entrance,
    ) -> Result<Self> {
        let poll = Poll::new().context("cannot make an epoll instance")?;
        let descriptor = signals.as_fd().as_raw_fd();
        entrance
            .watch(poll.registry(), listener)
            .and_then(|()| {
                let mut source = SourceFd(&descriptor);
                poll.registry()
                    .register(&mut source, SIGNALS, Interest::READABLE)
            })
            .context("cannot wait for clients and signals")?;
        Ok(Self {
            poll,
            signals,
            context,
            entrance,
            listener: None,
            accept_at: None,
            connections: Slots::default(),
            timers: Timers::default(),
            queue: Vec::new(),
            buffers: Buffers::default(),
            workers: None,
            end_at: None,
        })
    }

    /// Leaves heavy work to so many threads.
    ///
    /// # Errors
    /// When there are no threads to be had.
    pub(crate) fn hire(&mut self, threads: usize, stack_bytes: usize) -> Result<()> {
        let registry = self.poll.registry();
        self.workers = Some(Workers::start(registry, WORKERS, threads, stack_bytes)?);
        Ok(())
    }

    /// Serves the clients of `listener`, the same as in `new`.
    ///
    /// # Errors
    /// When the kernel does not tell of events.
    pub(crate) fn run(mut self, listener: Listener) -> Result<()> {
        self.listener = Some(listener);
        let mut ready = Ready::with_capacity(EVENTS_PER_TURN);
        while !self.is_over() {
            let timeout = self.timeout();
            match ready.wait(&self.poll, timeout) {
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                    return Err(error).context("cannot wait for events");
                }
                _ => {}
            }
            for event in ready.iter() {
                match event.token {
                    LISTENER => self.accept(),
                    SIGNALS => self.take_signals(),
                    WORKERS => self.take_finished_work(),
                    Token(slot) => {
                        if let Some(connection) = self.connections.get(slot) {
                            connection.note(event);
                            self.enqueue(slot);
                        }
                    }
                }
            }
            self.take_turns();
            self.fire_timers();
            self.connections.free_ended();
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.end_at
            .is_some_and(|end| self.connections.count() == 0 || Instant::now() >= end)
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.queue.is_empty() {
            return Some(Duration::ZERO);
        }
        let timer = self.timers.next();
        let next = [timer, self.accept_at, self.end_at]
            .into_iter()
            .flatten()
            .min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Accepts what the entrance lets it accept at a time.
    fn accept(&mut self) {
        let registry = self.poll.registry();
        if self.accept_at.take().is_some()
            && let Some(listener) = &self.listener
            && self.entrance.resume(registry, listener).is_err()
        {
            return self.pause(PAUSE);
        }
        while let Some(listener) = &mut self.listener {
            match listener.accept(SocketFlags::NONBLOCK) {
                Accepted::Connection(socket) => {
                    let more = self.entrance.takes_more(self.poll.registry(), listener);
                    self.begin(socket);
                    match more {
                        Ok(true) => {}
                        // Others may have been woken too, and not have come to it yet.
                        Ok(false) if self.context.has_more_than_its_share() => {
                            return self.pause(STEP_BACK);
                        }
                        Ok(false) => return,
                        Err(_) => return self.pause(PAUSE),
                    }
                }
                Accepted::Gone => {}
                Accepted::Nobody => return,
                Accepted::Pause => return self.pause(PAUSE),
            }
        }
    }

    fn pause(&mut self, time: Duration) {
        self.accept_at = Some(Instant::now() + time);
        if let Some(listener) = &self.listener {
            self.entrance.pause(self.poll.registry(), listener);
        }
    }

    fn begin(&mut self, socket: OwnedFd) {
        if !self.context.enter() {
            return refuse(&socket);
        }
        let descriptor = socket.as_raw_fd();
        let slot = self.connections.add(Connection::new(socket));
        let registry = self.poll.registry();
        let watched =
            registry.register(&mut SourceFd(&descriptor), Token(slot), Interest::READABLE);
        if watched.is_err()
            && let Some(connection) = self.connections.end(slot)
        {
            refuse(connection.socket());
            self.context.leave();
        }
    }

    /// Queues a connection for a turn. Once is enough, whether it has an event, has more to do than
    /// its last turn allowed, or both: with two turns it would take more than its share.
    fn enqueue(&mut self, slot: usize) {
        if let Some(connection) = self.connections.get(slot)
            && !std::mem::replace(&mut connection.queued, true)
        {
            self.queue.push(slot);
        }
    }

    /// Gives every queued connection one turn; what they leave is for the next round.
    fn take_turns(&mut self) {
        for slot in std::mem::take(&mut self.queue) {
            if let Some(connection) = self.connections.get(slot) {
                connection.queued = false;
                self.turn(slot);
            }
        }
    }

    /// Lets one connection do what it can without blocking.
    fn turn(&mut self, slot: usize) {
        let ending = self.end_at.is_some();
        let Some(connection) = self.connections.get(slot) else {
            return;
        };
        connection.session.borrow_buffers(&mut self.buffers);
        let turn = connection.turn(self.context, ending);
        connection.session.return_buffers(&mut self.buffers);
        let watched = connection.watch_writable(self.poll.registry(), Token(slot));
        match turn {
            _ if watched.is_err() => self.end(slot),
            Turn::Idle => {}
            Turn::Unfinished => self.enqueue(slot),
            Turn::Wait(time) => {
                let name = self.connections.name(slot);
                self.timers.push(Instant::now() + time, name);
            }
            Turn::Work(time) => self.begin_work(slot, time),
            Turn::Over => self.end(slot),
        }
    }

    fn begin_work(&mut self, slot: usize, time: Duration) {
        let name = self.connections.name(slot);
        match &self.workers {
            Some(workers) => workers.begin(name, time),
            None => {
                burn(time);
                if let Some(connection) = self.connections.get(slot) {
                    connection.finish_wait();
                }
                self.enqueue(slot);
            }
        }
    }

    fn take_finished_work(&mut self) {
        let finished = self.workers.as_ref().map(Workers::take_finished);
        for name in finished.into_iter().flatten() {
            self.finish_wait(name);
        }
    }

    fn end(&mut self, slot: usize) {
        if let Some(connection) = self.connections.end(slot) {
            connection.close();
            self.context.leave();
        }
    }

    fn fire_timers(&mut self) {
        if self.timers.next().is_none() && self.accept_at.is_none() {
            return;
        }
        let now = Instant::now();
        while let Some(name) = self.timers.take_due(now) {
            self.finish_wait(name);
        }
        if self.accept_at.is_some_and(|at| at <= now) {
            self.accept();
        }
    }

    fn finish_wait(&mut self, name: Name) {
        if let Some(connection) = self.connections.get_named(name) {
            connection.finish_wait();
            self.turn(name.slot);
        }
    }

    fn take_signals(&mut self) {
        while let Some(signal) = self.signals.next() {
            if asks_to_end(signal) && self.end_at.is_none() {
                self.end_at = Some(Instant::now() + DRAIN);
                self.accept_at = None;
                if let Some(listener) = self.listener.take() {
                    self.entrance.pause(self.poll.registry(), &listener);
                }
                for slot in 0..self.connections.len() {
                    self.turn(slot);
                }
            }
        }
    }
}
