//! A kernel thread for each connection: as MySQL does.

use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Result, anyhow};

use super::Model;
use crate::blocking;
use crate::connections::Connections;
use crate::errors::in_words;
use crate::listen::{Event, refuse};
use crate::serve::Server;
use crate::signals::asks_to_end;
use crate::store::BetweenThreads;
use crate::work::Context;

/// This model.
pub(crate) const MODEL: Model = Model {
    name: "thread-per-connection",
    about: "one kernel thread for each connection (as MySQL)",
    options: &[],
    serve,
};

fn serve(mut server: Server) -> Result<()> {
    // Threads may outlive this function by a moment when the drain is cut short, and the process
    // ends then: what they refer to is never freed.
    let store = Box::leak(Box::new(server.store::<BetweenThreads>()?));
    let connections: &'static Connections = Box::leak(Box::default());
    let context = server.context(MODEL.name, store, connections.count());
    let shared: &'static Shared = Box::leak(Box::new(Shared {
        context,
        connections,
    }));
    let signals = server.catch_signals(&[])?;
    let attributes = ThreadAttributes::new(server.stack_bytes)?;
    server.announce()?;
    loop {
        match server.listener.wait(&signals) {
            Event::Signal(signal) if asks_to_end(signal) => break,
            Event::Signal(_) => {}
            Event::Connection(connection) => {
                if connections.begin(&connection, server.max_connections) {
                    start(connection, shared, &attributes);
                } else {
                    refuse(&connection);
                }
            }
        }
    }
    drop(server.listener);
    connections.end();
    Ok(())
}

/// What the threads share.
struct Shared {
    context: Context<'static, BetweenThreads>,
    connections: &'static Connections,
}

/// What a thread is started with.
struct Start {
    connection: OwnedFd,
    shared: &'static Shared,
}

/// Serves `connection`, which is counted in, on a new thread, or refuses it when there is none to be had.
fn start(connection: OwnedFd, shared: &'static Shared, attributes: &ThreadAttributes) {
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
        shared.connections.forget(&start.connection);
    }
}

extern "C" fn run(start: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: `start` passed the box to this thread alone.
    let start = unsafe { Box::from_raw(start.cast::<Start>()) };
    let Start { connection, shared } = *start;
    // A panic ends this connection only; its message has been printed.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let stopping = shared.connections.stopping();
        blocking::serve_socket(&connection, &shared.context, stopping);
    }));
    shared.connections.forget(&connection);
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
