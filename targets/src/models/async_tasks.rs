//! A stackless task for each connection, on a few threads that steal work from each other: as
//! servers on an async runtime do.
//!
//! The runtime is `tokio`: one epoll instance that whichever thread is idle waits on, a run queue per
//! thread, and tasks that any thread may go on with. Threads have buffers for reading and writing,
//! lent to the task that they run: a task keeps its own only while it is in the middle of a
//! request or of a reply. `WAIT` is a timer of the runtime, to the millisecond; a client that goes
//! meanwhile is missed after it only.
//!
//! `WORK` holds up the thread it runs on, as CPU-heavy handlers do in such servers. What is ready then
//! goes on on other threads. But the thread that waits at the epoll instance is mostly the one that
//! goes on with what it fetched there, and if that is the `WORK`, nobody fetches events until it is
//! done: with two threads, 17 of 20 times a `WORK` held up all other connections (seen).

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context as Waker, Poll, ready};

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, recv, send};
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Builder, Runtime};

use super::Model;
use crate::connections::Connections;
use crate::counters;
use crate::listen::{Accepted, Listener, PAUSE, refuse, shut_down};
use crate::serve::Server;
use crate::session::{Buffers, READ_BYTES, Session, Stop};
use crate::signals::{Signals, asks_to_end};
use crate::store::BetweenThreads;
use crate::work::{Context, burn};

/// This model.
pub(crate) const MODEL: Model = Model {
    name: "async-tasks",
    about: "a stackless task for each connection on a few threads, stealing work (as async runtimes)",
    options: &["--workers", "--counters"],
    serve,
};

/// What a task may read before others get their turn, in bytes.
const BYTES_PER_TURN: usize = 4 * READ_BYTES;
/// How many clients are accepted before others get their turn.
const ACCEPTS_PER_TURN: u32 = 64;

thread_local! {
    /// What this thread lends to the task that it runs.
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

fn serve(server: Server) -> Result<()> {
    // Tasks may outlive this function by a moment when the drain is cut short, and the process ends
    // then: what they refer to is never freed.
    let store = Box::leak(Box::new(server.store::<BetweenThreads>()?));
    let connections: &'static Connections = Box::leak(Box::default());
    let context = server.context(MODEL.name, store, connections.count());
    let shared: &'static Shared = Box::leak(Box::new(Shared {
        context,
        connections,
    }));
    // Before there are other threads: they all are to leave the signals alone.
    let signals = server.catch_signals(&[])?;
    let runtime = runtime(&server)?;
    server.announce()?;
    let listener = server.listener;
    runtime.block_on(async {
        let (signals, listener) = (watch(signals)?, watch(listener)?);
        let accepting = tokio::spawn(accept(listener, shared));
        until_asked_to_end(&signals).await;
        accepting.abort();
        // Gone, and the listener with it.
        let _ = accepting.await;
        anyhow::Ok(())
    })?;
    connections.end();
    // Does not wait for a thread that is held up.
    runtime.shutdown_background();
    Ok(())
}

fn runtime(server: &Server) -> Result<Runtime> {
    let counters = server.thread_counters(MODEL.name)?;
    Builder::new_multi_thread()
        .worker_threads(server.workers)
        .thread_stack_size(server.stack_bytes)
        .on_thread_start(|| counters.count_this_thread())
        .on_thread_park(counters::thread_idles)
        .enable_all()
        .build()
        .with_context(|| format!("cannot start a runtime of {} threads", server.workers))
}

/// What the tasks share.
struct Shared {
    context: Context<'static, BetweenThreads>,
    connections: &'static Connections,
}

/// Makes the runtime wait for `source`. The runtime's events come once each.
fn watch<T: AsFd + std::os::fd::AsRawFd>(source: T) -> Result<AsyncFd<T>> {
    // SAFETY: every source here owns its descriptor, and never changes it.
    let watched = unsafe { AsyncFd::register(source) };
    watched
        .map_err(|error| error.into_parts().1)
        .context("cannot wait for clients and signals")
}

async fn until_asked_to_end(signals: &AsyncFd<Signals>) {
    // Fails only when the runtime ends, which waits for this.
    while let Ok(mut ready) = signals.readable().await {
        while let Some(signal) = signals.get_ref().next() {
            if asks_to_end(signal) {
                return;
            }
        }
        ready.clear_ready();
    }
}

async fn accept(mut listener: AsyncFd<Listener>, shared: &'static Shared) {
    let mut accepted = 0;
    while let Ok(mut ready) = listener.readable_mut().await {
        match ready.get_inner_mut().accept(SocketFlags::NONBLOCK) {
            Accepted::Connection(socket) => begin(socket, shared),
            Accepted::Gone => {}
            Accepted::Nobody => ready.clear_ready(),
            Accepted::Pause => tokio::time::sleep(PAUSE).await,
        }
        accepted = (accepted + 1) % ACCEPTS_PER_TURN;
        if accepted == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Serves a client by a new task, or refuses it.
fn begin(socket: OwnedFd, shared: &'static Shared) {
    let connections = shared.connections;
    if !connections.begin(&socket, shared.context.max_clients) {
        return refuse(&socket);
    }
    // SAFETY: the socket owns its descriptor.
    match unsafe { AsyncFd::register(socket) } {
        Ok(socket) => {
            let connection = Connection {
                socket,
                session: Session::default(),
                shared,
            };
            counters::task_begins();
            tokio::spawn(Counted(connection.serve()));
        }
        Err(error) => {
            let (socket, _) = error.into_parts();
            refuse(&socket);
            connections.forget(&socket);
        }
    }
}

/// A task, each of its turns counted. An `async fn` around it would have room for it twice.
struct Counted<F>(F);

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, waker: &mut Waker<'_>) -> Poll<F::Output> {
        // SAFETY: the only field is never moved out of, and pinned as long as this is.
        let task = unsafe { self.map_unchecked_mut(|counted| &mut counted.0) };
        counters::task_goes_on();
        let polled = task.poll(waker);
        counters::task_pauses();
        polled
    }
}

/// A connection and its state.
struct Connection {
    socket: AsyncFd<OwnedFd>,
    session: Session,
    shared: &'static Shared,
}

impl Drop for Connection {
    /// However its task ends, a panic among the ways.
    fn drop(&mut self) {
        self.shared.connections.forget(&self.socket);
        counters::task_ended();
    }
}

impl Connection {
    /// Serves until the client goes, breaks the protocol or quits, or until the server is asked to
    /// end, in which case requests already read are answered first.
    async fn serve(mut self) {
        // An error means that the client has gone: there is nobody to tell.
        let _ = self.exchange().await;
        self.give_back();
        shut_down(self.socket.get_ref().as_fd());
    }

    async fn exchange(&mut self) -> Result<(), Errno> {
        let mut budget = BYTES_PER_TURN;
        loop {
            let read = poll_fn(|waker| self.lent(|own| own.poll_receive(budget, waker))).await?;
            if read == 0 {
                return Ok(());
            }
            loop {
                let stop = self.session.execute(&self.shared.context);
                if !self.session.output().is_empty() {
                    poll_fn(|waker| self.lent(|own| own.poll_send(waker))).await?;
                }
                match stop {
                    Stop::OutputFull => {}
                    Stop::Wait(time) => {
                        self.give_back();
                        // Boxed, for few connections wait: the others need no room for it.
                        Box::pin(tokio::time::sleep(time)).await;
                    }
                    Stop::Work(time) => burn(time),
                    Stop::NeedInput => break,
                    Stop::Close => return Ok(()),
                }
            }
            if self.shared.connections.stopping().load(Ordering::Relaxed) {
                return Ok(());
            }
            budget -= read;
            if budget == 0 {
                budget = BYTES_PER_TURN;
                self.give_back();
                tokio::task::yield_now().await;
            }
        }
    }

    /// Works in the thread's buffers; gives them back when it has to wait.
    fn lent<T>(&mut self, work: impl FnOnce(&mut Self) -> Poll<T>) -> Poll<T> {
        BUFFERS.with_borrow_mut(|buffers| self.session.borrow_buffers(buffers));
        let done = work(self);
        if done.is_pending() {
            self.give_back();
        }
        done
    }

    fn give_back(&mut self) {
        BUFFERS.with_borrow_mut(|buffers| self.session.return_buffers(buffers));
    }

    /// Reads once, at most `most` bytes; 0 when the client has ended its side.
    fn poll_receive(&mut self, most: usize, waker: &mut Waker<'_>) -> Poll<Result<usize, Errno>> {
        loop {
            let mut ready = ready!(self.socket.poll_read_ready(waker)).map_err(|_| Errno::IO)?;
            let input = self.session.input();
            let length = input.len();
            let spare = input.spare_capacity_mut();
            let room = spare.len().min(most);
            match recv(&self.socket, &mut spare[..room], RecvFlags::empty()) {
                Ok((_, read)) => {
                    // A short read has emptied the socket, and what comes later is a new event; only
                    // the end of the stream may have been reported already.
                    if read < room && !ready.ready().is_read_closed() {
                        ready.clear_ready();
                    }
                    // SAFETY: the kernel has written so many bytes behind the first `length`.
                    unsafe { input.set_len(length + read) };
                    return Poll::Ready(Ok(read));
                }
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Writes all that is to be written.
    fn poll_send(&mut self, waker: &mut Waker<'_>) -> Poll<Result<(), Errno>> {
        while !self.session.output().is_empty() {
            let mut ready = ready!(self.socket.poll_write_ready(waker)).map_err(|_| Errno::IO)?;
            match send(&self.socket, self.session.output(), SendFlags::NOSIGNAL) {
                Ok(written) => self.session.wrote(written),
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}
