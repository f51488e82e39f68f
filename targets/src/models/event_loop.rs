//! One thread, readiness events, non-blocking sockets: as Redis does.
//!
//! Buffers for reading and writing are the loop's: a connection has its own only while it is in
//! the middle of a request or of a reply. `WAIT` is a timer of the loop (to the nanosecond where the
//! kernel has `epoll_pwait2`, since 5.11, else to the millisecond), so it delays its own connection
//! only. A client that ends its side meanwhile has left, as for Redis, and its place is free.

mod connection;
pub(crate) mod wait;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};
use rustix::net::SocketFlags;

use self::connection::{Connection, Turn};
use self::wait::Ready;
use super::Model;
use crate::listen::{Accepted, Listener, PAUSE, refuse};
use crate::serve::{DRAIN, Server};
use crate::session::Buffers;
use crate::signals::{Signals, asks_to_end};
use crate::store::SingleThread;
use crate::work::Context;

/// This model.
pub(crate) const MODEL: Model = Model {
    name: "event-loop",
    about: "one thread, epoll, non-blocking sockets (as Redis)",
    options: &[],
    serve,
};

const LISTENER: Token = Token(usize::MAX - 1);
const SIGNALS: Token = Token(usize::MAX - 2);
const EVENTS_PER_TURN: usize = 1024;

fn serve(server: Server) -> Result<()> {
    let store = server.store::<SingleThread>()?;
    let clients = AtomicU32::new(0);
    let context = server.context(MODEL.name, &store, &clients);
    let signals = server.catch_signals(&[])?;
    let poll = Poll::new().context("cannot make an epoll instance")?;
    let registry = poll.registry();
    for (descriptor, token) in [
        (server.listener.as_fd(), LISTENER),
        (signals.as_fd(), SIGNALS),
    ] {
        registry
            .register(
                &mut SourceFd(&descriptor.as_raw_fd()),
                token,
                Interest::READABLE,
            )
            .context("cannot wait for clients and signals")?;
    }
    server.announce()?;
    let mut event_loop = EventLoop {
        poll,
        signals,
        context: &context,
        listener: Some(server.listener),
        accept_at: None,
        connections: Connections::default(),
        timers: BinaryHeap::new(),
        queue: Vec::new(),
        buffers: Buffers::default(),
        end_at: None,
    };
    event_loop.run()
}

struct EventLoop<'a> {
    poll: Poll,
    signals: Signals,
    context: &'a Context<'a, SingleThread>,
    /// `None` once asked to end.
    listener: Option<Listener>,
    /// When to accept again, if accepting had to pause.
    accept_at: Option<Instant>,
    connections: Connections,
    /// When a `WAIT` ends, in which slot, of which connection.
    timers: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    /// Slots whose connections are to have a turn, each once.
    queue: Vec<usize>,
    buffers: Buffers,
    /// When the drain is over, once asked to end.
    end_at: Option<Instant>,
}

impl EventLoop<'_> {
    fn run(&mut self) -> Result<()> {
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
            .is_some_and(|end| self.connections.count == 0 || Instant::now() >= end)
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.queue.is_empty() {
            return Some(Duration::ZERO);
        }
        let timer = self.timers.peek().map(|Reverse((at, ..))| *at);
        let next = [timer, self.accept_at, self.end_at]
            .into_iter()
            .flatten()
            .min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Accepts all that wait: the listener reports new clients once.
    fn accept(&mut self) {
        self.accept_at = None;
        while let Some(listener) = &mut self.listener {
            match listener.accept(SocketFlags::NONBLOCK) {
                Accepted::Connection(socket) => self.begin(socket),
                Accepted::Gone => {}
                Accepted::Nobody => return,
                Accepted::Pause => {
                    self.accept_at = Some(Instant::now() + PAUSE);
                    return;
                }
            }
        }
    }

    fn begin(&mut self, socket: OwnedFd) {
        if self.connections.count >= self.context.max_clients as usize {
            return refuse(&socket);
        }
        let descriptor = socket.as_raw_fd();
        let slot = self.connections.add(Connection::new(socket));
        let registry = self.poll.registry();
        match registry.register(&mut SourceFd(&descriptor), Token(slot), Interest::READABLE) {
            Ok(()) => {
                self.context.clients.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {
                if let Some(connection) = self.connections.end(slot) {
                    refuse(connection.socket());
                }
            }
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
        let turn = connection.turn(self.context, &self.poll, Token(slot), ending);
        connection.session.return_buffers(&mut self.buffers);
        match turn {
            Turn::Idle => {}
            Turn::Unfinished => self.enqueue(slot),
            Turn::Wait(time) => {
                let serial = self.connections.serials[slot];
                self.timers
                    .push(Reverse((Instant::now() + time, slot, serial)));
            }
            Turn::Over => {
                if let Some(connection) = self.connections.end(slot) {
                    connection.close();
                    self.context.clients.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
    }

    fn fire_timers(&mut self) {
        if self.timers.is_empty() && self.accept_at.is_none() {
            return;
        }
        let now = Instant::now();
        while let Some(&Reverse((at, slot, serial))) = self.timers.peek()
            && at <= now
        {
            self.timers.pop();
            if self.connections.serials[slot] == serial
                && let Some(connection) = self.connections.get(slot)
            {
                connection.finish_wait();
                self.turn(slot);
            }
        }
        if self.accept_at.is_some_and(|at| at <= now) {
            self.accept();
        }
    }

    fn take_signals(&mut self) {
        while let Some(signal) = self.signals.next() {
            if asks_to_end(signal) && self.end_at.is_none() {
                self.end_at = Some(Instant::now() + DRAIN);
                self.listener = None;
                for slot in 0..self.connections.slots.len() {
                    self.turn(slot);
                }
            }
        }
    }
}

/// Connections by slot. A slot is used again only after the events that were fetched together
/// with its connection's end, some of which may still name it.
#[derive(Default)]
struct Connections {
    slots: Vec<Option<Connection>>,
    /// Counts the connections that each slot has seen, so that timers know theirs.
    serials: Vec<u64>,
    free: Vec<usize>,
    ended: Vec<usize>,
    count: usize,
}

impl Connections {
    fn add(&mut self, connection: Connection) -> usize {
        self.count += 1;
        if let Some(slot) = self.free.pop() {
            self.slots[slot] = Some(connection);
            return slot;
        }
        self.slots.push(Some(connection));
        self.serials.push(0);
        self.slots.len() - 1
    }

    fn get(&mut self, slot: usize) -> Option<&mut Connection> {
        self.slots.get_mut(slot)?.as_mut()
    }

    fn end(&mut self, slot: usize) -> Option<Connection> {
        let connection = self.slots[slot].take()?;
        self.serials[slot] += 1;
        self.ended.push(slot);
        self.count -= 1;
        Some(connection)
    }

    fn free_ended(&mut self) {
        self.free.append(&mut self.ended);
    }
}
