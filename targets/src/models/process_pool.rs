//! Pre-forked workers that accept at one listener: as pre-fork servers do.
//!
//! Connections last, so a worker that blocked on one at a time would leave all but as many as there
//! are workers waiting to be accepted. Here each worker runs an event loop over the connections that it
//! has accepted, as nginx's workers and pre-forked database front ends do; the state is in a shared
//! mapping. The kernel wakes the worker that has waited longest; one that has more than its share of
//! connections leaves the next to others for a moment. A connection stays with its worker: while that
//! is busy with one, its others wait.
//!
//! A worker that dies takes its connections with it, gives back the lock it held and is replaced; one
//! that dies as soon as it was made is replaced after a pause, so that no loop of forks takes the CPU.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, poll};

use super::Model;
use crate::event_loop::{Entrance, EventLoop};
use crate::processes::Children;
use crate::serve::{Server, SharedCounters};
use crate::signals::{Signals, asks_to_end};
use crate::store::BetweenProcesses;
use crate::work::Context;

/// This model.
pub(crate) const MODEL: Model = Model {
    name: "process-pool",
    about: "pre-forked workers with an event loop each (as nginx)",
    options: &["--workers"],
    serve,
};

/// The time from one worker in a place to the next, at least.
const PAUSE: Duration = Duration::from_millis(100);

fn serve(server: Server) -> Result<()> {
    let store = server.store::<BetweenProcesses>()?;
    let counters = SharedCounters::new(server.workers)?;
    let counts = counters.get();
    let signals = server.catch_signals(&[libc::SIGCHLD])?;
    let mut pool = Pool {
        children: Children::none(),
        counts,
        places: vec![Place::default(); server.workers],
    };
    let ready = SharedCounters::new(1)?;
    let ready = &ready.get()[0];
    let begin = |worker: usize| {
        let context = Context {
            all_clients: counts,
            ..server.context(MODEL.name, &store, &counts[worker])
        };
        work(&server, &context, &signals, ready);
    };
    pool.fill(begin).context("cannot fork a worker")?;
    pool.wait_for_all(ready)?;
    server.announce()?;
    loop {
        wait(&signals, pool.next_replacement());
        while let Some(signal) = signals.next() {
            if asks_to_end(signal) {
                drop(server.listener);
                pool.children.end(&signals, |_| {});
                return Ok(());
            }
        }
        pool.reap();
        // Without a process to be had now, the others serve on, and it is tried again.
        let _ = pool.fill(begin);
    }
}

/// What a worker does, in a process of its own; it counts itself in when it is `ready`.
fn work(
    server: &Server,
    context: &Context<'_, BetweenProcesses>,
    parents: &Signals,
    ready: &AtomicU32,
) {
    // SAFETY: this process never goes back to the owners of these descriptors: it ends with `_exit`.
    let listener = unsafe {
        libc::close(parents.as_fd().as_raw_fd());
        server.listener.inherited()
    };
    let served = server.catch_signals(&[]).and_then(|signals| {
        let event_loop = EventLoop::new(context, signals, &listener, Entrance::Shared)?;
        ready.fetch_add(1, Ordering::SeqCst);
        event_loop.run(listener)
    });
    if let Err(error) = served {
        eprintln!("connscope-target: worker {}: {error:#}", std::process::id());
    }
}

/// Blocks until there is a signal, or until that time.
fn wait(signals: &Signals, until: Option<Instant>) {
    let left = until.map(|at| at.saturating_duration_since(Instant::now()));
    let left = left.map(|left| left.try_into().unwrap_or_default());
    let mut waited = [PollFd::new(signals, PollFlags::IN)];
    // An interruption is as good a reason to look again as any.
    let _ = poll(&mut waited, left.as_ref());
}

/// The workers, each in its place.
struct Pool<'a> {
    children: Children<usize>,
    /// How many connections the worker of each place serves.
    counts: &'a [AtomicU32],
    places: Vec<Place>,
}

/// Where a worker is, or is to be.
#[derive(Clone, Default)]
struct Place {
    taken: bool,
    /// When the next worker may begin, if it has to wait.
    not_before: Option<Instant>,
}

impl Pool<'_> {
    /// Begins a worker wherever one is missing and may begin.
    fn fill(&mut self, work: impl Fn(usize)) -> std::io::Result<()> {
        for (worker, place) in self.places.iter_mut().enumerate() {
            let now = Instant::now();
            if place.taken || place.not_before.is_some_and(|at| at > now) {
                continue;
            }
            // Also where there is no process to be had: that, too, is tried again later.
            place.not_before = Some(now + PAUSE);
            self.children.fork(worker, || work(worker))?;
            place.taken = true;
        }
        Ok(())
    }

    /// Waits until all workers accept: else the first one would get all early clients.
    fn wait_for_all(&mut self, ready: &AtomicU32) -> Result<()> {
        while (ready.load(Ordering::SeqCst) as usize) < self.places.len() {
            std::thread::sleep(Duration::from_millis(1));
            self.reap();
            if self.children.len() < self.places.len() {
                bail!("cannot start the workers: one of them has died");
            }
        }
        Ok(())
    }

    /// Takes leave of dead workers and of their connections.
    fn reap(&mut self) {
        self.children.reap(|worker| {
            self.counts[worker].store(0, Ordering::SeqCst);
            self.places[worker].taken = false;
        });
    }

    /// When a worker that is missing may begin.
    fn next_replacement(&self) -> Option<Instant> {
        let missing = self.places.iter().filter(|place| !place.taken);
        missing.filter_map(|place| place.not_before).min()
    }
}
