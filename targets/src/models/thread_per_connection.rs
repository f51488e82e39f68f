//! A kernel thread for each connection: as MySQL does.

use std::collections::HashSet;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use rustix::net::{Shutdown, shutdown};

use super::Model;
use crate::blocking;
use crate::errors::in_words;
use crate::listen::{Event, refuse};
use crate::serve::{DRAIN, Server};
use crate::signals::asks_to_end;
use crate::store::BetweenThreads;
use crate::work::Context;

/// This model.
pub(crate) const MODEL: Model = Model {
    name: "thread-per-connection",
    about: "one kernel thread for each connection (as MySQL)",
    serve,
};

fn serve(mut server: Server) -> Result<()> {
    // Threads may outlive this function by a moment when the drain is cut short, and the process
    // ends then: what they refer to is never freed.
    let store = Box::leak(Box::new(server.store::<BetweenThreads>()?));
    let clients = Box::leak(Box::new(AtomicU32::new(0)));
    let context = server.context(MODEL.name, store, clients);
    let shared: &'static Shared = Box::leak(Box::new(Shared {
        context,
        stopping: AtomicBool::new(false),
        connections: Mutex::new(HashSet::new()),
        ended: Condvar::new(),
    }));
    let signals = server.catch_signals(&[])?;
    let attributes = ThreadAttributes::new(server.stack_bytes)?;
    server.announce()?;
    loop {
        match server.listener.wait(&signals) {
            Event::Signal(signal) if asks_to_end(signal) => break,
            Event::Signal(_) => {}
            Event::Connection(connection) => {
                if shared.lock().len() >= server.max_connections as usize {
                    refuse(&connection);
                } else {
                    start(connection, shared, &attributes);
                }
            }
        }
    }
    drop(server.listener);
    shared.end();
    Ok(())
}

/// What the threads share.
struct Shared {
    context: Context<'static, BetweenThreads>,
    stopping: AtomicBool,
    /// The connections being served, taken hold of when one begins or ends, never for a request.
    connections: Mutex<HashSet<RawFd>>,
    /// Signalled when a connection has ended while stopping.
    ended: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashSet<RawFd>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, connection: &OwnedFd) {
        self.lock().insert(connection.as_raw_fd());
        self.context.clients.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets the connection before its descriptor may be used again.
    fn forget(&self, connection: OwnedFd) {
        self.lock().remove(&connection.as_raw_fd());
        self.context.clients.fetch_sub(1, Ordering::Relaxed);
        drop(connection);
        if self.stopping.load(Ordering::Relaxed) {
            self.ended.notify_one();
        }
    }

    /// Wakes all threads that block in a read and waits for all to end, at most for `DRAIN`.
    fn end(&self) {
        let deadline = Instant::now() + DRAIN;
        self.stopping.store(true, Ordering::Relaxed);
        let mut connections = self.lock();
        for &descriptor in connections.iter() {
            // SAFETY: the thread forgets the connection, under the lock held here, before it closes
            // the descriptor.
            let connection = unsafe { BorrowedFd::borrow_raw(descriptor) };
            let _ = shutdown(connection, Shutdown::Read);
        }
        while !connections.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return;
            }
            let waited = self.ended.wait_timeout(connections, left);
            connections = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// What a thread is started with.
struct Start {
    connection: OwnedFd,
    shared: &'static Shared,
}

/// Serves `connection` on a new thread, or refuses it when there is none to be had.
fn start(connection: OwnedFd, shared: &'static Shared, attributes: &ThreadAttributes) {
    shared.begin(&connection);
    let start = Box::into_raw(Box::new(Start { connection, shared }));
    let mut thread = 0;
    // The standard library would add a signal stack (a mapping and three system calls) and a
    // handle to each thread, which the model does not imply.
    // SAFETY: the attributes are initialised, and `run` takes the box over.
    let error = unsafe {
        libc::pthread_create(&raw mut thread, &raw const attributes.0, run, start.cast())
    };
    if error != 0 {
        // SAFETY: no thread was made, so the box is still this function's.
        let start = unsafe { Box::from_raw(start) };
        refuse(&start.connection);
        shared.forget(start.connection);
    }
}

extern "C" fn run(start: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: `start` passed the box to this thread alone.
    let start = unsafe { Box::from_raw(start.cast::<Start>()) };
    let Start { connection, shared } = *start;
    // A panic ends this connection only; its message has been printed.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        blocking::serve(&connection, &shared.context, &shared.stopping);
    }));
    shared.forget(connection);
    std::ptr::null_mut()
}

/// How threads are made: detached, with a stack of a given size.
struct ThreadAttributes(libc::pthread_attr_t);

impl ThreadAttributes {
    fn new(stack_bytes: usize) -> Result<Self> {
        let mut attributes = std::mem::MaybeUninit::uninit();
        let error = |error| {
            let error = in_words(std::io::Error::from_raw_os_error(error));
            anyhow!(
                "cannot make threads with {stack_bytes} bytes of stack: {error}; choose another --stack-size"
            )
        };
        // SAFETY: initialised first.
        unsafe {
            match libc::pthread_attr_init(attributes.as_mut_ptr()) {
                0 => {}
                code => return Err(error(code)),
            }
            match libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), stack_bytes) {
                0 => {}
                code => return Err(error(code)),
            }
            libc::pthread_attr_setdetachstate(
                attributes.as_mut_ptr(),
                libc::PTHREAD_CREATE_DETACHED,
            );
            Ok(Self(attributes.assume_init()))
        }
    }
}
