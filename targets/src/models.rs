//! The one list of concurrency models.

mod async_tasks;
mod event_loop;
mod event_loop_workers;
pub(crate) mod foreign;
mod green_threads;
mod pooler;
mod process_per_connection;
mod process_pool;
mod thread_per_connection;
mod thread_pool;

use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};

pub(crate) use self::pooler::{Pool, PoolMode};
use crate::serve::Server;

/// A way to serve many connections.
#[derive(Debug)]
pub(crate) struct Model {
    /// Its name on the command line, in reports and in `INFO`.
    pub(crate) name: &'static str,
    /// How it serves a connection, in a few words.
    pub(crate) about: &'static str,
    /// The options that it takes of those that not every model takes.
    pub(crate) options: &'static [&'static str],
    /// Serves until asked to end.
    pub(crate) serve: fn(Server) -> Result<()>,
}

/// Every model there is.
pub(crate) const MODELS: &[Model] = &[
    process_per_connection::MODEL,
    process_pool::MODEL,
    thread_per_connection::MODEL,
    thread_pool::MODEL,
    event_loop::MODEL,
    event_loop_workers::MODEL,
    async_tasks::MODEL,
    green_threads::MODEL,
    pooler::MODEL,
    foreign::GOROUTINES,
    foreign::VIRTUAL_THREADS,
];

/// The model of that name.
pub(crate) fn find(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.name == name)
}

/// Prints the models that can be served, one per line. A reader that has seen enough is no error.
///
/// # Errors
/// When standard output cannot be written to.
pub(crate) fn list() -> Result<()> {
    let mut output = std::io::stdout().lock();
    let written = MODELS
        .iter()
        .filter(|model| foreign::can_serve(model.name))
        .try_for_each(|model| writeln!(output, "{:<24} {}", model.name, model.about))
        .and_then(|()| output.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
