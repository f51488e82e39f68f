//! One thread, readiness events, non-blocking sockets: as Redis does.

use std::sync::atomic::AtomicU32;

use anyhow::Result;

use super::Model;
use crate::event_loop::{Entrance, EventLoop};
use crate::serve::Server;
use crate::store::SingleThread;

/// This model.
pub(crate) const MODEL: Model = Model {
    name: "event-loop",
    about: "one thread, epoll, non-blocking sockets (as Redis)",
    options: &[],
    serve,
};

fn serve(server: Server) -> Result<()> {
    let store = server.store::<SingleThread>()?;
    let clients = AtomicU32::new(0);
    let context = server.context(MODEL.name, &store, &clients);
    let signals = server.catch_signals(&[])?;
    let event_loop = EventLoop::new(&context, signals, &server.listener, Entrance::Own)?;
    server.announce()?;
    event_loop.run(server.listener)
}
