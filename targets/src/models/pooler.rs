//! An event loop in front of another server: many clients share few connections to it, as with
//! PgBouncer or ProxySQL.
//!
//! With `--pool-mode transaction` a client holds a backend connection from its requests to their
//! replies: all complete requests that one read brought (a pipeline) go together, up to 16 KiB or one
//! larger request. With `session` it holds one from its first request until it disconnects. In both,
//! who finds none waits in line; over `--queue-limit` or after `--queue-timeout` each waiting request
//! gets an error reply, and the client may ask again.
//!
//! Bytes pass through: requests are looked at for where they end, replies likewise, and neither is
//! kept but for what a socket does not take at once. `INFO` and `QUIT` are the pooler's own, all else
//! is the backend's: `WAIT` and `WORK` take place there and hold a backend connection meanwhile.
//! What `TOUCH` made a backend connection hold stays with that connection: in transaction mode the next
//! client's `TOUCH` replaces it, so the backend holds at most as much as there are connections in
//! the pool, and a client that leaves frees nothing; in session mode it is freed behind the client,
//! before anyone else gets the connection.
//!
//! Replies never go to the wrong client: a connection is used again only when each reply owed was
//! read to its end. A client that vanishes leaves its replies to be read and thrown away, for two
//! seconds at most; one that vanished before its requests were sent whole, or whatever is not
//! understood, costs the backend connection, and another is made. A client that has ended its side
//! gets what replies still come within two seconds of each other; in line, it has left after one second. One that does not take its
//! replies holds up its backend connection; after two seconds it is ended if others wait.
//!
//! When the backend refuses or dies, clients get error replies: at once while there is no
//! connection at all. Those that were in the middle of a reply are disconnected.

mod backend;
mod client;
mod descriptors;
mod flow;
mod pool;
mod replies;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use clap::ValueEnum;
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};
use rustix::net::SocketFlags;

use self::backend::{Backend, REPLY_BYTES};
use self::client::Client;
use super::Model;
use crate::event_loop::wait::Ready;
use crate::listen::{Accepted, Listener, PAUSE, refuse};
use crate::serve::{DRAIN, Server};
use crate::signals::{Signals, asks_to_end};
use crate::slots::{Name, Slots};
use crate::timers::Timers;

/// This model.
pub(crate) const MODEL: Model = Model {
    name: "pooler",
    about: "event loop, many clients on few connections of another server (needs --backend)",
    options: &[
        "--backend",
        "--pool-size",
        "--pool-mode",
        "--queue-limit",
        "--queue-timeout",
    ],
    serve,
};

const LISTENER: Token = Token(usize::MAX - 1);
const SIGNALS: Token = Token(usize::MAX - 2);
const EVENTS_PER_TURN: usize = 1024;
/// How long a backend may take to accept a connection or to get rid of replies that nobody wants,
/// and a client to take its replies while others wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// How clients share the backend's connections.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    /// The server behind.
    pub(crate) backend: SocketAddr,
    /// The most connections to it.
    pub(crate) size: usize,
    /// How long a client holds one.
    pub(crate) mode: PoolMode,
    /// The most clients that may wait for one.
    pub(crate) queue_limit: usize,
    /// How long they may wait.
    pub(crate) queue_timeout: Duration,
}

/// How long a client holds a backend connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PoolMode {
    /// From its first request to its disconnection
    Session,
    /// From its requests to their replies
    Transaction,
}

fn serve(server: Server) -> Result<()> {
    let pool = server.pool.clone();
    let mut pool = pool.ok_or_else(|| anyhow!("no backend; give its address with --backend"))?;
    let places = descriptors::divide(pool.size, server.max_connections as usize);
    pool.size = places.backends;
    let signals = server.catch_signals(&[])?;
    let poll = Poll::new().context("cannot make an epoll instance")?;
    for (descriptor, token) in [
        (server.listener.as_fd(), LISTENER),
        (signals.as_fd(), SIGNALS),
    ] {
        poll.registry()
            .register(
                &mut SourceFd(&descriptor.as_raw_fd()),
                token,
                Interest::READABLE,
            )
            .context("cannot wait for clients and signals")?;
    }
    server.announce()?;
    let mut pooler = Pooler {
        poll,
        signals,
        pool,
        max_clients: places.clients,
        listener: Some(server.listener),
        accept_at: None,
        clients: Slots::default(),
        backends: Slots::default(),
        idle: Vec::new(),
        connecting: 0,
        retry_at: None,
        trouble: String::new(),
        line: VecDeque::new(),
        waiting: 0,
        deadlines: Timers::default(),
        turns: Vec::new(),
        input: Vec::new(),
        replies: vec![0; REPLY_BYTES],
        now: Instant::now(),
        end_at: None,
    };
    pooler.run()
}

/// Who is to have a turn, or whom an event is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Party {
    Client(usize),
    Backend(usize),
}

impl Party {
    fn token(self) -> Token {
        match self {
            Self::Client(slot) => Token(slot << 1),
            Self::Backend(slot) => Token(slot << 1 | 1),
        }
    }

    fn of(Token(token): Token) -> Self {
        match token & 1 {
            0 => Self::Client(token >> 1),
            _ => Self::Backend(token >> 1),
        }
    }
}

struct Pooler {
    poll: Poll,
    signals: Signals,
    pool: Pool,
    max_clients: usize,
    /// `None` once asked to end.
    listener: Option<Listener>,
    /// When to accept again, if accepting had to pause.
    accept_at: Option<Instant>,
    clients: Slots<Client>,
    backends: Slots<Backend>,
    /// Backend connections that wait for a client, the last one used last.
    idle: Vec<usize>,
    /// Backend connections being made.
    connecting: usize,
    /// When to try again to make one, after it failed.
    retry_at: Option<Instant>,
    /// Why it failed.
    trouble: String,
    /// Clients that wait for a backend connection, until when; some have gone.
    line: VecDeque<(Instant, Name)>,
    /// Those in `line` that have not gone.
    waiting: usize,
    /// When to have a look at which backend connection.
    deadlines: Timers<Name>,
    /// Whose turn is next, each once.
    turns: Vec<Party>,
    /// Lent to the client that has its turn.
    input: Vec<u8>,
    /// Where replies pass through.
    replies: Vec<u8>,
    /// When the last events came.
    now: Instant,
    /// When the drain is over, once asked to end.
    end_at: Option<Instant>,
}

impl Pooler {
    fn run(&mut self) -> Result<()> {
        let mut ready = Ready::with_capacity(EVENTS_PER_TURN);
        while !self.is_over() {
            match ready.wait(&self.poll, self.timeout()) {
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                    return Err(error).context("cannot wait for events");
                }
                _ => {}
            }
            self.now = Instant::now();
            for event in ready.iter() {
                match event.token {
                    LISTENER => self.accept(),
                    SIGNALS => self.take_signals(),
                    token => self.note(Party::of(token), event),
                }
            }
            for party in std::mem::take(&mut self.turns) {
                self.turn(party);
            }
            self.look_at_deadlines();
            self.serve_line();
            if self.accept_at.is_some_and(|at| at <= self.now) {
                self.accept();
            }
            self.clients.free_ended();
            self.backends.free_ended();
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.end_at
            .is_some_and(|end| self.clients.count() == 0 || Instant::now() >= end)
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.turns.is_empty() {
            return Some(Duration::ZERO);
        }
        let retry_at = self.retry_at.filter(|_| self.waiting > 0);
        let times = [
            self.line.front().map(|(until, _)| *until),
            self.deadlines.next(),
            retry_at,
            self.accept_at,
            self.end_at,
        ];
        let next = times.into_iter().flatten().min()?;
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
                    self.accept_at = Some(self.now + PAUSE);
                    return;
                }
            }
        }
    }

    fn begin(&mut self, socket: OwnedFd) {
        if self.clients.count() >= self.max_clients {
            return refuse(&socket);
        }
        let descriptor = socket.as_raw_fd();
        let slot = self.clients.add(Client::new(socket));
        if !self.watch(descriptor, Party::Client(slot))
            && let Some(client) = self.clients.end(slot)
        {
            refuse(client.socket());
        }
    }

    /// Asks for all events of a socket, once each.
    fn watch(&self, descriptor: i32, party: Party) -> bool {
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        registry
            .register(&mut SourceFd(&descriptor), party.token(), interest)
            .is_ok()
    }

    fn take_signals(&mut self) {
        while let Some(signal) = self.signals.next() {
            if asks_to_end(signal) && self.end_at.is_none() {
                self.end_at = Some(self.now + DRAIN);
                self.listener = None;
                for slot in 0..self.clients.len() {
                    self.enqueue(Party::Client(slot));
                }
            }
        }
    }

    /// Queues a party for a turn, once.
    fn enqueue(&mut self, party: Party) {
        let queued = match party {
            Party::Client(slot) => self.clients.get(slot).map(|client| &mut client.queued),
            Party::Backend(slot) => self.backends.get(slot).map(|backend| &mut backend.queued),
        };
        if let Some(queued) = queued
            && !std::mem::replace(queued, true)
        {
            self.turns.push(party);
        }
    }
}
