//! A coroutine with a stack of its own for each connection, on a few threads: as goroutines and
//! virtual threads do. The code of a connection is the one of a kernel thread that blocks; only
//! what its calls do differs: they switch to another coroutine, in user space.
//!
//! Coroutines are `corosensei`'s, with an epoll instance, timers and a run queue for each thread
//! here. A coroutine stays on its thread, and a new one goes to the thread that has the fewest: Go
//! and Java move them, but code that was compiled for one thread (what it keeps of thread-local
//! addresses) is not safe to move in Rust. So a `WORK` holds up the coroutines of its own thread only,
//! but those until it is done. The runtime that moves them all the same, `may`, panics where a stack
//! cannot be mapped, writes to both ends of each stack, and goes on with a coroutine that slept on
//! the one thread of its timers, which a `WORK` after a `WAIT` then stops for all.
//!
//! A stack is `--stack-size` of address space, and what was touched of it is memory, a page at
//! least. With its guard page it takes two of the mappings that a process may have
//! (`vm.max_map_count`, 65,530 by default): about 32,000 coroutines, then clients are refused.
//!
//! Threads have buffers for reading and writing, lent to the coroutine that they run: a coroutine
//! keeps its own only while it is in the middle of a request or of a reply.

mod green;
mod scheduler;
mod stacks;
mod worker;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustix::net::SocketFlags;

use self::green::Green;
use self::scheduler::Scheduler;
use self::stacks::{Budget, Stacks};
use self::worker::Worker;
use super::Model;
use crate::blocking;
use crate::connections::Connections;
use crate::listen::{Event, refuse};
use crate::serve::Server;
use crate::session::Session;
use crate::signals::asks_to_end;
use crate::store::BetweenThreads;
use crate::work::Context;

/// This model.
pub(crate) const MODEL: Model = Model {
    name: "green-threads",
    about: "a stackful coroutine for each connection on a few threads (as goroutines)",
    options: &["--workers", "--counters"],
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
    let workers = start_workers(&server, shared)?;
    server.announce()?;
    loop {
        match server.listener.wait_for(&signals, SocketFlags::NONBLOCK) {
            Event::Signal(signal) if asks_to_end(signal) => break,
            Event::Signal(_) => {}
            Event::Connection(socket) => {
                if !connections.begin(&socket, server.max_connections) {
                    refuse(&socket);
                } else if let Some(idlest) = workers.iter().min_by_key(|worker| worker.load()) {
                    idlest.give(socket);
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

fn start_workers(server: &Server, shared: &'static Shared) -> Result<Vec<Arc<Worker>>> {
    let budget = Arc::new(Budget::of_this_host());
    let counters = server.thread_counters(MODEL.name)?;
    let start = |number| {
        let stacks = Stacks::new(server.stack_bytes, budget.clone());
        let (poll, worker) = Worker::new().context("cannot make an epoll instance")?;
        let own = worker.clone();
        std::thread::Builder::new()
            .name(format!("worker {number}"))
            .stack_size(server.stack_bytes)
            .spawn(move || {
                counters.count_this_thread();
                run(Scheduler::new(poll, own, stacks), shared);
            })
            .context("cannot start a thread; choose fewer --workers")?;
        Ok(worker)
    };
    (0..server.workers).map(start).collect()
}

/// What a thread does as long as the process lives.
fn run(mut scheduler: Scheduler, shared: &'static Shared) {
    let serve = |connection: &Green<'_>| {
        // A panic ends this connection only; its message has been printed.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let mut session = Session::default();
            let stopping = shared.connections.stopping();
            blocking::serve(connection, &mut session, &shared.context, stopping);
            green::give_back(&mut session);
        }));
        shared.connections.forget(connection);
    };
    let error = scheduler.run(serve, |socket| {
        refuse(&socket);
        shared.connections.forget(&socket);
    });
    // The connections of this thread would hang: better none at all.
    eprintln!("connscope-target: cannot wait for events: {error}");
    std::process::exit(1);
}
