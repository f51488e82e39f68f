//! What every server does before and around serving, whatever its model.

use std::io::Write;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

use crate::cli::Serve;
use crate::errors::in_words;
use crate::limits::raise_open_files;
use crate::listen::Listener;
use crate::memory::{Mapping, PAGE_BYTES};
use crate::models::{self, foreign};
use crate::signals::Signals;
use crate::store::{Lock, Store};
use crate::work::Context;

/// How long a server that was asked to end waits for requests in progress.
pub(crate) const DRAIN: Duration = Duration::from_millis(1500);

/// What a model is given to serve with.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where clients come in.
    pub(crate) listener: Listener,
    /// The most connections served at a time.
    pub(crate) max_connections: u32,
    /// The stack of each thread, in bytes.
    pub(crate) stack_bytes: usize,
    /// The size of the shared state, in bytes.
    pub(crate) shared_state_bytes: usize,
    /// Whether `CRASH` is obeyed.
    pub(crate) allow_crash: bool,
    /// The heap to write before serving, in bytes.
    pub(crate) resident_bytes: usize,
    /// Heap written before serving, for a fork to copy the page tables of.
    _resident: Vec<u8>,
}

/// Serves as `options` say until a signal asks to end.
///
/// # Errors
/// When the server cannot start.
pub(crate) fn run(options: &Serve) -> Result<()> {
    let model = models::find(&options.model)
        .ok_or_else(|| anyhow!("no model {}; see connscope-target models", options.model))?;
    raise_open_files(0);
    // A program that takes our place writes its own.
    let resident_here = match foreign::is_foreign(model.name) {
        true => 0,
        false => options.resident,
    };
    let server = Server {
        listener: Listener::bind(options.listen, options.backlog)?,
        max_connections: options.max_connections.unwrap_or(u32::MAX),
        stack_bytes: options.stack_size,
        shared_state_bytes: options.shared_state,
        allow_crash: options.allow_crash,
        resident_bytes: options.resident,
        _resident: resident_heap(resident_here)?,
    };
    (model.serve)(server)
}

impl Server {
    /// The shared state, empty.
    ///
    /// # Errors
    /// When there is not so much memory.
    pub(crate) fn store<L: Lock>(&self) -> Result<Store<L>> {
        let bytes = self.shared_state_bytes;
        Store::new(bytes).map_err(|error| {
            let error = in_words(error);
            anyhow!(
                "cannot map {bytes} bytes of shared state: {error}; choose less with --shared-state"
            )
        })
    }

    /// What commands see.
    pub(crate) fn context<'a, L: Lock>(
        &self,
        model: &'static str,
        store: &'a Store<L>,
        clients: &'a AtomicU32,
    ) -> Context<'a, L> {
        Context {
            store,
            clients,
            max_clients: self.max_connections,
            model,
            allow_crash: self.allow_crash,
        }
    }

    /// Catches the signals that ask to end, and `more`.
    ///
    /// # Errors
    /// When there is no descriptor for them.
    pub(crate) fn catch_signals(&self, more: &[libc::c_int]) -> Result<Signals> {
        let signals = [&[libc::SIGTERM, libc::SIGINT], more].concat();
        Signals::catch(&signals).context("cannot catch signals")
    }

    /// Says that clients are served from now on.
    ///
    /// # Errors
    /// When nobody can be told, since standard output is closed.
    pub(crate) fn announce(&self) -> Result<()> {
        let mut output = std::io::stdout().lock();
        writeln!(output, "listening on {}", self.listener.address()?)
            .and_then(|()| output.flush())
            .context("cannot write to standard output")
    }
}

/// A counter in memory that forked processes share.
#[derive(Debug)]
pub(crate) struct SharedCounter(Mapping);

impl SharedCounter {
    /// A counter at 0.
    ///
    /// # Errors
    /// When no page can be mapped.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(
            Mapping::shared(PAGE_BYTES).context("cannot map a shared page")?,
        ))
    }

    /// The counter.
    pub(crate) fn get(&self) -> &AtomicU32 {
        // SAFETY: the mapping is zeroed, aligned to a page, larger than the counter, and lives as
        // long as `self`; nothing else refers to it.
        unsafe { &*self.0.base().cast::<AtomicU32>() }
    }
}

fn resident_heap(bytes: usize) -> Result<Vec<u8>> {
    let mut heap = Vec::new();
    heap.try_reserve_exact(bytes)
        .map_err(|_| anyhow!("cannot allocate {bytes} bytes; choose less with --resident"))?;
    // Not zeros, which need no writing where the allocator has zeroed pages.
    heap.resize(bytes, 1);
    Ok(heap)
}
