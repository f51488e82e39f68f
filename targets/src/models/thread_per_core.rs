//! One pinned thread for each core, which shares nothing with the others: as ScyllaDB and Seastar do.
//!
//! Each core has a listener of its own at the one address (`SO_REUSEPORT`: the kernel spreads clients
//! over them), an io_uring (multishot accept and receive, buffers that the kernel picks when data has
//! come, everything handed over with the wait), and a part of the keys that nobody else touches, so
//! without locks. A request for another core's key goes there in a message, with all others of the same
//! pipeline for that core, and its reply comes back in one. `BOOK` goes to the core of its seat once for
//! each of its steps. A connection that for a while asks for the keys of one other core alone moves there,
//! where a client that knows the cores connects to begin with; not if only some of the cores have keys.
//!
//! `WORK` holds up the connections of its core, and requests for its keys. A core that owns keys has at
//! least 2 MiB of the state: with less than that for each, the first cores own all of it.
//!
//! Needs Linux 6.1, for rings that only do their kernel work when their thread asks for it.

mod batch;
mod buffers;
mod connection;
mod core;
mod desk;
mod mail;
mod pull;
mod ring;
mod routes;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicUsize};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use self::core::Core;
use self::desk::Desk;
use self::mail::{Address, LetterBox, Message, letter_box};
use self::ring::Ring;
use self::routes::Routes;
use super::Model;
use crate::errors::in_words;
use crate::listen::Listener;
use crate::serve::{Server, announce};
use crate::signals::{Signals, asks_to_end};
use crate::store::{MIN_BYTES, SingleThread, Store};
use crate::work::Context;

/// This model.
pub(crate) const MODEL: Model = Model {
    name: "thread-per-core",
    about: "a pinned thread with io_uring and its own keys per core (as ScyllaDB)",
    options: &["--workers"],
    serve,
};

fn serve(server: Server) -> Result<()> {
    let cores = server.workers;
    let clients: &'static AtomicU32 = Box::leak(Box::default());
    let open: &'static AtomicUsize = Box::leak(Box::new(AtomicUsize::new(cores)));
    let owners = (server.shared_state_bytes / MIN_BYTES).clamp(1, cores);
    let routes = Routes::new(owners);
    // Before there are other threads: they all are to leave the signals alone.
    let signals = server.catch_signals(&[])?;
    let address = server.listener.address()?;
    let others = (1..cores).map(|_| server.listener.another());
    let others = others.collect::<Result<Vec<_>>>()?;
    let boxes = (0..cores)
        .map(|_| letter_box())
        .collect::<Result<Vec<_>, _>>();
    let (boxes, addresses): (Vec<_>, Vec<_>) = boxes
        .context("cannot make an eventfd for each core")?
        .into_iter()
        .unzip();
    let starts = boxes.into_iter().zip(cpus().into_iter().cycle());
    let starts = starts.enumerate().map(|(own, (letter_box, cpu))| {
        let bytes = match own < owners {
            true => server.shared_state_bytes / owners,
            // Never used, and so never more than mapped.
            false => MIN_BYTES,
        };
        Ok(Start {
            own: own as u16,
            cpu,
            letter_box,
            addresses: addresses.clone(),
            routes: routes.clone(),
            store: server.store_of(bytes)?,
            state_bytes: server.shared_state_bytes,
            max_clients: server.max_connections,
            allow_crash: server.allow_crash,
            clients,
            open,
        })
    });
    let starts = starts.collect::<Result<Vec<_>>>()?;
    let listeners = std::iter::once(server.listener).chain(others);
    let threads = start(starts.into_iter().zip(listeners), server.stack_bytes)?;
    announce(address)?;
    wait_until_asked_to_end(&signals);
    for address in &addresses {
        address.send(Message::End);
    }
    for thread in threads {
        // A panic has said what there is to say.
        thread.join().map_err(|_| anyhow!("a core has failed"))??;
    }
    Ok(())
}

/// What a core is started with.
struct Start {
    own: u16,
    cpu: usize,
    letter_box: LetterBox,
    addresses: Vec<Address>,
    routes: Routes,
    store: Store<SingleThread>,
    state_bytes: usize,
    max_clients: u32,
    allow_crash: bool,
    clients: &'static AtomicU32,
    open: &'static AtomicUsize,
}

/// Starts the cores, and answers when all of them serve.
fn start(
    starts: impl Iterator<Item = (Start, Listener)>,
    stack_bytes: usize,
) -> Result<Vec<JoinHandle<Result<()>>>> {
    let (ready, readiness) = channel();
    let mut threads = Vec::new();
    for (start, listener) in starts {
        let ready = ready.clone();
        let thread = thread::Builder::new().stack_size(stack_bytes);
        let thread = thread.spawn(move || start.run(listener, &ready));
        let failed = |error| anyhow!("cannot start a thread for each core: {}", in_words(error));
        threads.push(thread.map_err(failed)?);
    }
    readiness
        .iter()
        .take(threads.len())
        .collect::<Result<()>>()?;
    Ok(threads)
}

impl Start {
    /// Serves on this thread; tells `ready` whether it could begin to.
    fn run(self, listener: Listener, ready: &Sender<Result<()>>) -> Result<()> {
        let ring = pin(self.cpu).and_then(|()| make_ring());
        let ring = match ring {
            Ok(ring) => ring,
            Err(error) => {
                let _ = ready.send(Err(error));
                return Ok(());
            }
        };
        let context = Context {
            store: &self.store,
            clients: self.clients,
            all_clients: std::slice::from_ref(self.clients),
            max_clients: self.max_clients,
            state_bytes: self.state_bytes,
            model: MODEL.name,
            allow_crash: self.allow_crash,
            heavy_work: Duration::MAX,
        };
        let desk = Desk::new(self.own, context, self.routes, self.open);
        let core = Core::new(ring, desk, self.letter_box, self.addresses, listener);
        let _ = ready.send(Ok(()));
        // The others cannot do without its keys.
        match catch_unwind(AssertUnwindSafe(|| core.run())) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                eprintln!("connscope-target: core {}: {error:#}", self.own);
                std::process::exit(1);
            }
            // The panic has been printed.
            Err(_) => std::process::exit(1),
        }
    }
}

fn make_ring() -> Result<Ring> {
    Ring::new().map_err(|error| {
        let remedy = match error.raw_os_error() {
            Some(libc::EPERM) => {
                "allow it with kernel.io_uring_disabled=0, and in the sandbox that this runs in"
            }
            Some(libc::ENOSYS | libc::EINVAL) => "it needs Linux 6.1 or newer",
            _ => "choose another model",
        };
        anyhow!("cannot make an io_uring: {}; {remedy}", in_words(error))
    })
}

/// The CPUs that this process may run on.
fn cpus() -> Vec<usize> {
    let cpus = sched_getaffinity(None);
    let cpus = cpus.map(|set| {
        (0..CpuSet::MAX_CPU)
            .filter(|&cpu| set.is_set(cpu))
            .collect()
    });
    // Fails only where there are more CPUs than the set has room for.
    cpus.unwrap_or_else(|_| vec![0])
}

/// Keeps this thread on one CPU.
fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("cannot pin a thread to CPU {cpu}"))
}

fn wait_until_asked_to_end(signals: &Signals) {
    loop {
        while let Some(signal) = signals.next() {
            if asks_to_end(signal) {
                return;
            }
        }
        let _ = poll(&mut [PollFd::new(signals, PollFlags::IN)], None);
    }
}
