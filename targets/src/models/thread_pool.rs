//! N threads serve ready connections from one queue: as the thread pool of MariaDB and MySQL does.
//!
//! The queue is an epoll instance that all idle threads wait on. Each takes one connection that has
//! sent something, which is then reported to nobody else (`EPOLLONESHOT`), lets it do what it can
//! without blocking, and puts it back. So one thread at a time serves a connection, another one each
//! time, and on the way they share nothing but the kernel's queue.
//!
//! A `WAIT` stands for a slow disk or a lock on a row and holds its thread up, as there. And as there
//! (`thd_wait_begin`), the thread says so beforehand, and another takes its place: one that stands by,
//! or a new one up to `--max-workers`. So N threads are there for those who do not wait; beyond the
//! limit, connections stay in the queue until a wait is over. A thread that comes back to find N others
//! stands by, for some seconds. `WORK` holds its thread up like anything that takes CPU.

mod crew;

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result, bail};
use mio::Token;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use self::crew::Crew;
use super::Model;
use crate::connections::Connections;
use crate::event_loop::connection::{Connection, Turn};
use crate::event_loop::wait::Event;
use crate::listen::{self, refuse};
use crate::serve::Server;
use crate::session::Buffers;
use crate::signals::asks_to_end;
use crate::store::BetweenThreads;
use crate::work::{Context, burn};

/// This model.
pub(crate) const MODEL: Model = Model {
    name: "thread-pool",
    about: "N threads serve ready connections from one queue (as MariaDB's pool)",
    options: &["--workers", "--max-workers"],
    serve,
};

fn serve(mut server: Server) -> Result<()> {
    let (workers, most) = (server.workers, server.max_workers);
    if most < workers {
        bail!("cannot limit {workers} workers to {most}; choose more with --max-workers");
    }
    // Threads may outlive this function by a moment when the drain is cut short, and the process
    // ends then: what they refer to is never freed.
    let store = Box::leak(Box::new(server.store::<BetweenThreads>()?));
    let connections: &'static Connections = Box::leak(Box::default());
    let pool: &'static Pool = Box::leak(Box::new(Pool {
        context: server.context(MODEL.name, store, connections.count()),
        connections,
        queue: epoll::create(CreateFlags::CLOEXEC).context("cannot make an epoll instance")?,
        crew: Crew::new(workers, most, server.stack_bytes),
    }));
    let signals = server.catch_signals(&[])?;
    pool.crew.begin(move || pool.work())?;
    server.announce()?;
    loop {
        match server.listener.wait(&signals) {
            listen::Event::Signal(signal) if asks_to_end(signal) => break,
            listen::Event::Signal(_) => {}
            listen::Event::Connection(socket) => {
                if connections.begin(&socket, server.max_connections) {
                    pool.take_in(socket);
                } else {
                    refuse(&socket);
                }
            }
        }
    }
    drop(server.listener);
    connections.end();
    Ok(())
}

/// What the threads share.
struct Pool {
    context: Context<'static, BetweenThreads>,
    connections: &'static Connections,
    /// The epoll instance. Each connection in it is a `Box` of its own, named by its address; it
    /// belongs to the queue while it is armed there, and to the thread that took it while it is not.
    queue: OwnedFd,
    crew: Crew,
}

impl Pool {
    /// Puts a new connection, which is counted in, into the queue.
    fn take_in(&self, socket: OwnedFd) {
        let connection = Box::new(Connection::new(socket));
        self.put(connection, |queue, socket, data, flags| {
            epoll::add(queue, socket, data, flags)
        });
    }

    /// Puts a connection back into the queue.
    fn put_back(&self, connection: Box<Connection>) {
        self.put(connection, |queue, socket, data, flags| {
            epoll::modify(queue, socket, data, flags)
        });
    }

    fn put(
        &self,
        connection: Box<Connection>,
        arm: impl FnOnce(BorrowedFd<'_>, BorrowedFd<'_>, EventData, EventFlags) -> Result<(), Errno>,
    ) {
        let flags = if connection.is_blocked() {
            EventFlags::OUT
        } else {
            EventFlags::IN | EventFlags::RDHUP
        };
        let descriptor = connection.socket().as_raw_fd();
        let connection = Box::into_raw(connection);
        // SAFETY: the socket is open: as long as it is not armed, nobody else has the connection.
        let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
        let data = EventData::new_u64(connection as u64);
        if arm(
            self.queue.as_fd(),
            socket,
            data,
            flags | EventFlags::ONESHOT,
        )
        .is_err()
        {
            // SAFETY: the queue has not taken the connection.
            let connection = unsafe { Box::from_raw(connection) };
            refuse(connection.socket());
            self.connections.forget(&connection.socket());
        }
    }

    /// Takes the next connection that is ready out of the queue.
    fn take(&self) -> Box<Connection> {
        let mut events = [MaybeUninit::uninit(); 1];
        loop {
            // An interruption is no event. Nothing else can fail, with a queue that is never closed.
            let Ok(([event], _)) = epoll::wait(&self.queue, &mut events[..], None) else {
                continue;
            };
            let connection = event.data.u64() as *mut Connection;
            // SAFETY: `put` made the address of a box, and armed it for one event: this one.
            let mut connection = unsafe { Box::from_raw(connection) };
            let flags = event.flags;
            connection.note(Event::new(flags.bits(), Token(0)));
            return connection;
        }
    }

    /// What a thread does.
    fn work(&'static self) {
        let mut buffers = Buffers::default();
        loop {
            let mut connection = self.take();
            // A panic ends this connection only; its message has been printed.
            let over = catch_unwind(AssertUnwindSafe(|| {
                self.serve(&mut connection, &mut buffers)
            }));
            if over.unwrap_or(true) {
                self.connections.forget(&connection.socket());
                connection.close();
            } else {
                self.put_back(connection);
            }
            if !self.crew.goes_on() {
                return;
            }
        }
    }

    /// Lets a connection do what it can without waiting for its socket. Whether it is over.
    fn serve(&'static self, connection: &mut Connection, buffers: &mut Buffers) -> bool {
        loop {
            let ending = self.connections.stopping().load(Ordering::Relaxed);
            connection.session.borrow_buffers(buffers);
            let turn = connection.turn(&self.context, ending);
            connection.session.return_buffers(buffers);
            match turn {
                Turn::Idle | Turn::Unfinished => return false,
                Turn::Over => return true,
                Turn::Wait(time) => {
                    self.crew.begin_wait();
                    std::thread::sleep(time);
                    self.crew.end_wait();
                }
                Turn::Work(time) => burn(time),
            }
            connection.finish_wait();
        }
    }
}
