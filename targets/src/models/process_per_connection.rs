//! A forked process for each connection, shared state in a shared mapping: as PostgreSQL does.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use anyhow::Result;
use libc::c_int;

use super::Model;
use crate::blocking;
use crate::listen::{Event, Listener, refuse};
use crate::processes::Children;
use crate::serve::{Server, SharedCounters};
use crate::signals::{Signals, asks_to_end};
use crate::store::BetweenProcesses;
use crate::work::Context;

/// This model.
pub(crate) const MODEL: Model = Model {
    name: "process-per-connection",
    about: "fork() on accept, shared state in a shared mapping (as PostgreSQL)",
    options: &[],
    serve,
};

/// In a child: that it was asked to end, and the connection it serves.
static STOPPING: AtomicBool = AtomicBool::new(false);
static CONNECTION: AtomicI32 = AtomicI32::new(-1);

fn serve(mut server: Server) -> Result<()> {
    let store = server.store::<BetweenProcesses>()?;
    let counters = SharedCounters::new(1)?;
    let clients = &counters.get()[0];
    let context = server.context(MODEL.name, &store, clients);
    let signals = server.catch_signals(&[libc::SIGCHLD])?;
    let mut children = Children::none();
    server.announce()?;
    loop {
        match server.listener.wait(&signals) {
            Event::Signal(signal) if asks_to_end(signal) => break,
            Event::Signal(_) => reap(&mut children, clients),
            Event::Connection(connection) => {
                if children.len() >= server.max_connections as usize {
                    reap(&mut children, clients);
                }
                if children.len() >= server.max_connections as usize {
                    refuse(&connection);
                    continue;
                }
                let begun = children.fork((), || {
                    serve_child(&connection, &server.listener, &signals, &context);
                });
                match begun {
                    Ok(()) => {
                        clients.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(_) => refuse(&connection),
                }
            }
        }
    }
    drop(server.listener);
    children.end(&signals, |()| {
        clients.fetch_sub(1, Ordering::Relaxed);
    });
    Ok(())
}

/// Counts those down who have ended.
fn reap(children: &mut Children<()>, clients: &AtomicU32) {
    children.reap(|()| {
        clients.fetch_sub(1, Ordering::Relaxed);
    });
}

fn serve_child(
    connection: &OwnedFd,
    listener: &Listener,
    signals: &Signals,
    context: &Context<'_, BetweenProcesses>,
) {
    CONNECTION.store(connection.as_raw_fd(), Ordering::Relaxed);
    end_on_signal();
    close_inherited(listener, signals);
    blocking::serve_socket(connection, context, &STOPPING);
}

/// Closes the parent's descriptors, which this child must not keep open.
fn close_inherited(listener: &Listener, signals: &Signals) {
    signals.release();
    for descriptor in listener.descriptors().chain([signals.as_fd().as_raw_fd()]) {
        // SAFETY: this process never uses nor drops their owners: it ends with `_exit`.
        unsafe { libc::close(descriptor) };
    }
}

/// Makes the signals that ask to end wake a read that blocks, however late it begins.
fn end_on_signal() {
    extern "C" fn stop_reading(_: c_int) {
        STOPPING.store(true, Ordering::Relaxed);
        // SAFETY: `shutdown` is async-signal-safe; at worst the descriptor is not open.
        unsafe { libc::shutdown(CONNECTION.load(Ordering::Relaxed), libc::SHUT_RD) };
    }
    let handler: extern "C" fn(c_int) = stop_reading;
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: the handler does nothing but an atomic store and a system call. `errno` may
        // change under an interrupted call, which rustix does not use and the rest retries.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}
