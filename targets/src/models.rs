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
mod thread_per_core;
mod thread_pool;

use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};
use serde::Serialize;

pub(crate) use self::pooler::{Pool, PoolMode};
use crate::cli::Format;
use crate::serve::Server;

/// A way to serve many connections.
#[derive(Debug, Serialize)]
pub(crate) struct Model {
    /// Its name on the command line, in reports and in `INFO`.
    pub(crate) name: &'static str,
    /// How it serves a connection, in a few words.
    pub(crate) about: &'static str,
    /// The options that it takes of those that not every model takes.
    pub(crate) options: &'static [&'static str],
    /// Serves until asked to end.
    #[serde(skip)]
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
    thread_per_core::MODEL,
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

/// A model as programs read it.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    model: &'static Model,
    /// Why nobody can count what it switches in user space, if it does that uncounted.
    uncounted_switches: Option<&'static str>,
}

/// Prints the models that can be served, or those that cannot: for people one per line, for programs all with their options. A
/// reader that has seen enough is no error.
///
/// # Errors
/// When standard output cannot be written to.
pub(crate) fn list(format: Format, served: bool) -> Result<()> {
    let mut models = MODELS
        .iter()
        .filter(|model| foreign::can_serve(model.name) == served);
    let mut output = std::io::stdout().lock();
    let written = match format {
        Format::Table => {
            models.try_for_each(|model| writeln!(output, "{:<24} {}", model.name, model.about))
        }
        Format::Json => {
            let listed = |model| Listed {
                model,
                uncounted_switches: foreign::uncounted_switches(model.name),
            };
            let listed: Vec<_> = models.map(listed).collect();
            serde_json::to_string(&listed)
                .map_err(std::io::Error::from)
                .and_then(|list| writeln!(output, "{list}"))
        }
    };
    let written = written.and_then(|()| output.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
