//! An event loop that leaves CPU-heavy requests to threads: a hybrid, as many network programs are.
//!
//! The loop does everything but `WORK` that takes longer than handing it over and back, which costs
//! some 10 microseconds and wakes two threads. A connection's later requests wait for its work, so its
//! replies are in order; others are served meanwhile. A client that ends its side still gets its reply.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use anyhow::Result;

use super::Model;
use crate::event_loop::{Entrance, EventLoop};
use crate::serve::Server;
use crate::store::SingleThread;
use crate::work::Context;

/// This model.
pub(crate) const MODEL: Model = Model {
    name: "event-loop-workers",
    about: "event loop, CPU-heavy requests on worker threads (hybrids)",
    options: &["--workers"],
    serve,
};

/// `WORK` from here on is handed over.
const HEAVY: Duration = Duration::from_micros(20);

fn serve(server: Server) -> Result<()> {
    let store = server.store::<SingleThread>()?;
    let clients = AtomicU32::new(0);
    let context = Context {
        heavy_work: HEAVY,
        ..server.context(MODEL.name, &store, &clients)
    };
    let signals = server.catch_signals(&[])?;
    let mut event_loop = EventLoop::new(&context, signals, &server.listener, Entrance::Own)?;
    event_loop.hire(server.workers, server.stack_bytes)?;
    server.announce()?;
    event_loop.run(server.listener)
}
