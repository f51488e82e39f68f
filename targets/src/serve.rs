//! What every server does before and around serving, whatever its model.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use rustix::thread::sched_getaffinity;

use crate::cli::Serve;
use crate::counters::Counters;
use crate::errors::in_words;
use crate::limits::raise_open_files;
use crate::listen::Listener;
use crate::memory::{Mapping, PAGE_BYTES};
use crate::models::{self, Pool, foreign};
use crate::signals::Signals;
use crate::store::{Lock, Store};
use crate::work::Context;

/// How long a server that was asked to end waits for requests in progress.
pub(crate) const DRAIN: Duration = Duration::from_millis(1500);

/// The most threads of a pool that grows, unless it is told otherwise.
const MAX_WORKERS: usize = 1024;

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
    /// Threads that serve, in models with a fixed number of them.
    pub(crate) workers: usize,
    /// The most threads of a pool that grows.
    pub(crate) max_workers: usize,
    /// Where to count what a scheduler in user space does, besides in memory.
    pub(crate) counters: Option<PathBuf>,
    /// The server to forward requests to, and how, in a model that does.
    pub(crate) pool: Option<Pool>,
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
        workers: options.workers.map_or_else(usable_cpus, usize::from),
        max_workers: options.max_workers.map_or(MAX_WORKERS, usize::from),
        counters: options.counters.clone(),
        pool: options.pool.pool(),
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
        self.store_of(self.shared_state_bytes)
    }

    /// A part of the shared state, of so many bytes.
    ///
    /// # Errors
    /// When there is not so much memory.
    pub(crate) fn store_of<L: Lock>(&self, bytes: usize) -> Result<Store<L>> {
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
            all_clients: std::slice::from_ref(clients),
            max_clients: self.max_connections,
            model,
            allow_crash: self.allow_crash,
            state_bytes: store.bytes(),
            heavy_work: Duration::MAX,
        }
    }

    /// Counters for the threads that serve, which never end.
    ///
    /// # Errors
    /// When their file cannot be made.
    pub(crate) fn thread_counters(&self, model: &str) -> Result<&'static Counters> {
        let counters = Counters::new(self.counters.as_deref(), model, self.workers)?;
        Ok(Box::leak(Box::new(counters)))
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
        announce(self.listener.address()?)
    }
}

/// Says that clients are served at `address` from now on.
///
/// # Errors
/// When nobody can be told, since standard output is closed.
pub(crate) fn announce(address: SocketAddr) -> Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "listening on {address}")
        .and_then(|()| output.flush())
        .context("cannot write to standard output")
}

/// Counters in memory that forked processes share.
#[derive(Debug)]
pub(crate) struct SharedCounters {
    mapping: Mapping,
    count: usize,
}

impl SharedCounters {
    /// So many counters (more than 0), each at 0.
    ///
    /// # Errors
    /// When no page can be mapped.
    pub(crate) fn new(count: usize) -> Result<Self> {
        let bytes = (count * size_of::<AtomicU32>()).next_multiple_of(PAGE_BYTES);
        let mapping = Mapping::shared(bytes).context("cannot map a shared page")?;
        Ok(Self { mapping, count })
    }

    /// The counters.
    pub(crate) fn get(&self) -> &[AtomicU32] {
        // SAFETY: the mapping is zeroed, aligned to a page, no smaller than the counters, and lives
        // as long as `self`; nothing else refers to it.
        unsafe { std::slice::from_raw_parts(self.mapping.base().cast(), self.count) }
    }
}

/// The CPUs that this process may run on.
fn usable_cpus() -> usize {
    // Fails only where there are more CPUs than the set has room for.
    sched_getaffinity(None).map_or(1, |cpus| cpus.count().max(1) as usize)
}

fn resident_heap(bytes: usize) -> Result<Vec<u8>> {
    let mut heap = Vec::new();
    heap.try_reserve_exact(bytes)
        .map_err(|_| anyhow!("cannot allocate {bytes} bytes; choose less with --resident"))?;
    // Not zeros, which need no writing where the allocator has zeroed pages.
    heap.resize(bytes, 1);
    Ok(heap)
}
