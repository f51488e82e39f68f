//! A forked process for each connection, shared state in a shared mapping: as PostgreSQL does.

use std::collections::HashSet;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Instant;

use anyhow::Result;
use libc::{c_int, pid_t};
use rustix::process::{
    Pid, Signal, WaitOptions, kill_process, set_parent_process_death_signal, wait,
};

use super::Model;
use crate::listen::{Event, Listener, refuse};
use crate::serve::{DRAIN, Server, SharedCounter};
use crate::session::blocking;
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
    let clients = SharedCounter::new()?;
    let context = server.context(MODEL.name, &store, clients.get());
    let signals = server.catch_signals(&[libc::SIGCHLD])?;
    let mut children = Children {
        pids: HashSet::new(),
        context: &context,
    };
    server.announce()?;
    loop {
        match server.listener.wait(&signals) {
            Event::Signal(signal) if asks_to_end(signal) => break,
            Event::Signal(_) => children.reap(),
            Event::Connection(connection) => {
                if children.pids.len() >= server.max_connections as usize {
                    children.reap();
                }
                if children.pids.len() >= server.max_connections as usize {
                    refuse(&connection);
                } else {
                    children.start(connection, &server.listener, &signals);
                }
            }
        }
    }
    drop(server.listener);
    children.end(&signals);
    Ok(())
}

/// The processes that serve connections.
struct Children<'a> {
    pids: HashSet<Pid>,
    context: &'a Context<'a, BetweenProcesses>,
}

impl Children<'_> {
    /// Serves `connection` in a new process, or refuses it when there is none to be had.
    fn start(&mut self, connection: OwnedFd, listener: &Listener, signals: &Signals) {
        let parent = rustix::process::getpid();
        // SAFETY: this process has one thread, so the child may go on as it likes.
        match unsafe { libc::fork() } {
            0 => serve_child(parent, &connection, listener, signals, self.context),
            pid => match Pid::from_raw(pid.max(0) as pid_t) {
                Some(child) => {
                    self.pids.insert(child);
                    self.context.clients.fetch_add(1, Ordering::Relaxed);
                }
                None => refuse(&connection),
            },
        }
    }

    /// Takes leave of the children that have ended, however they did.
    fn reap(&mut self) {
        while let Ok(Some((child, _))) = wait(WaitOptions::NOHANG) {
            if self.pids.remove(&child) {
                self.context.clients.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Asks all children to end, and makes them after `DRAIN`.
    fn end(mut self, signals: &Signals) {
        let deadline = Instant::now() + DRAIN;
        self.signal_all(Signal::TERM);
        self.reap();
        while !self.pids.is_empty() {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                self.signal_all(Signal::KILL);
                return;
            };
            let left = left.try_into().unwrap_or_default();
            let mut waited = [rustix::event::PollFd::new(
                signals,
                rustix::event::PollFlags::IN,
            )];
            let _ = rustix::event::poll(&mut waited, Some(&left));
            while signals.next().is_some() {}
            self.reap();
        }
    }

    fn signal_all(&self, signal: Signal) {
        for &child in &self.pids {
            // Not reaped yet, so the number is still this child's.
            let _ = kill_process(child, signal);
        }
    }
}

/// What a child does from its first to its last instruction.
fn serve_child(
    parent: Pid,
    connection: &OwnedFd,
    listener: &Listener,
    signals: &Signals,
    context: &Context<'_, BetweenProcesses>,
) -> ! {
    let served = catch_unwind(AssertUnwindSafe(|| {
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        // The parent may have died before the line above.
        if rustix::process::getppid() != Some(parent) {
            return;
        }
        CONNECTION.store(connection.as_raw_fd(), Ordering::Relaxed);
        end_on_signal();
        close_inherited(listener, signals);
        blocking::serve_socket(connection, context, &STOPPING);
    }));
    // SAFETY: ends this process at once: what is left to clean up is the parent's.
    unsafe { libc::_exit(if served.is_ok() { 0 } else { 101 }) }
}

/// Closes the parent's descriptors, which this child must not keep open.
fn close_inherited(listener: &Listener, signals: &Signals) {
    signals.release();
    for descriptor in listener.descriptors().chain([signals_descriptor(signals)]) {
        // SAFETY: this process never uses nor drops their owners: it ends with `_exit`.
        unsafe { libc::close(descriptor) };
    }
}

fn signals_descriptor(signals: &Signals) -> RawFd {
    std::os::fd::AsFd::as_fd(signals).as_raw_fd()
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
