//! What a scheduler in user space does, counted where others can read it: its switches are none of
//! the kernel's. With `--counters FILE` the counters are in that file, mapped; `docs/counters.md` says
//! where in it.
//!
//! Each thread writes to lines of the cache that no other thread writes to, with plain stores. What a
//! switch takes is measured for one in [`SAMPLED_ONE_IN`].

use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::Read as _;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::memory::{Mapping, PAGE_BYTES};

/// What the file begins with once all else is in place.
const MAGIC: u64 = u64::from_le_bytes(*b"cnscpcnt");
/// Raised whenever what is there already changes its place or meaning.
const VERSION: u32 = 1;
/// Where the files are that are open already, by descriptor.
const DESCRIPTORS: &str = "/proc/self/fd";
/// Of so many switches, the time of one is taken.
const SAMPLED_ONE_IN: u32 = 256;

/// The head of the file. Two cache lines, which are often fetched together.
#[repr(C, align(128))]
struct Head {
    magic: AtomicU64,
    version: AtomicU32,
    pid: AtomicU32,
    /// Where the threads' counters begin, and the distance between them, in bytes.
    threads_at: AtomicU32,
    thread_bytes: AtomicU32,
    threads: AtomicU32,
    sampled_one_in: AtomicU32,
    /// What taking the time costs, once for each switch that was measured, in nanoseconds.
    clock_ns: AtomicU64,
    /// The name of the model, then zeros.
    model: [AtomicU64; 4],
}

/// The counters of one thread, which alone writes to them; all only grow.
#[repr(C, align(128))]
struct Thread {
    /// Tasks that began on this thread. They may end on another.
    tasks_begun: AtomicU64,
    /// Tasks that ended on this thread.
    tasks_ended: AtomicU64,
    /// How often this thread went on with a task.
    switches: AtomicU64,
    /// Switches whose time was taken.
    sampled: AtomicU64,
    /// What they took together, in nanoseconds.
    sampled_ns: AtomicU64,
}

/// The counters of a server.
#[derive(Debug)]
pub(crate) struct Counters {
    mapping: Mapping,
    threads: usize,
    /// Threads that have theirs.
    taken: AtomicU32,
}

thread_local! {
    static OWN: Own = const { Own::none() };
}

/// What a thread knows of its own counters.
struct Own {
    counters: Cell<Option<&'static Thread>>,
    /// Switches until the next one whose time is taken.
    until_sample: Cell<u32>,
    /// When the last task paused, if the next switch's time is to be taken.
    paused: Cell<Option<Instant>>,
}

impl Counters {
    /// Counters for so many threads, in `file` if there is to be one.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(crate) fn new(file: Option<&Path>, model: &str, threads: usize) -> Result<Self> {
        let bytes = size_of::<Head>() + threads * size_of::<Thread>();
        let bytes = bytes.next_multiple_of(PAGE_BYTES);
        let mapping = match file {
            Some(path) => in_file(path, bytes).with_context(|| {
                format!(
                    "cannot make the counters {}; choose another file with --counters",
                    path.display()
                )
            })?,
            None => Mapping::shared(bytes).context("cannot map a page for counters")?,
        };
        let counters = Self {
            mapping,
            threads,
            taken: AtomicU32::new(0),
        };
        counters.describe(model);
        Ok(counters)
    }

    fn describe(&self, model: &str) {
        let head = self.head();
        let number = |field: &AtomicU32, value| field.store(value, Ordering::Relaxed);
        number(&head.version, VERSION);
        number(&head.pid, std::process::id());
        number(&head.threads_at, size_of::<Head>() as u32);
        number(&head.thread_bytes, size_of::<Thread>() as u32);
        number(&head.threads, self.threads as u32);
        number(&head.sampled_one_in, SAMPLED_ONE_IN);
        let clock = clock_cost().as_nanos() as u64;
        head.clock_ns.store(clock, Ordering::Relaxed);
        for (word, letters) in head.model.iter().zip(model.as_bytes().chunks(8)) {
            let mut bytes = [0; 8];
            bytes[..letters.len()].copy_from_slice(letters);
            word.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
        }
        head.magic.store(MAGIC, Ordering::Release);
    }

    /// Makes this thread count; to be called once by each of them.
    pub(crate) fn count_this_thread(&'static self) {
        let index = self.taken.fetch_add(1, Ordering::Relaxed) as usize;
        if index < self.threads {
            // SAFETY: the mapping is aligned to a page and has room for so many behind the head;
            // zeros are counters at 0, and all who refer to them use atomic operations.
            let thread = unsafe {
                let first = self.mapping.base().add(size_of::<Head>());
                &*first.cast::<Thread>().add(index)
            };
            OWN.with(|own| own.counters.set(Some(thread)));
        }
    }

    fn head(&self) -> &Head {
        // SAFETY: as in `count_this_thread`, and the head comes first.
        unsafe { &*self.mapping.base().cast() }
    }
}

/// A task begins.
pub(crate) fn task_begins() {
    OWN.with(|own| own.add(|thread| &thread.tasks_begun, 1));
}

/// A task has ended.
pub(crate) fn task_ended() {
    OWN.with(|own| own.add(|thread| &thread.tasks_ended, 1));
}

/// This thread goes on with a task.
pub(crate) fn task_goes_on() {
    OWN.with(Own::task_goes_on);
}

/// The task that this thread was at pauses, or has ended.
pub(crate) fn task_pauses() {
    OWN.with(|own| {
        if own.until_sample.get() == 0 {
            own.paused.set(Some(Instant::now()));
        }
    });
}

/// This thread has nothing to do: what comes now is no part of a switch.
pub(crate) fn thread_idles() {
    OWN.with(|own| own.paused.set(None));
}

impl Own {
    const fn none() -> Self {
        Self {
            counters: Cell::new(None),
            until_sample: Cell::new(SAMPLED_ONE_IN - 1),
            paused: Cell::new(None),
        }
    }

    fn task_goes_on(&self) {
        self.add(|thread| &thread.switches, 1);
        match self.until_sample.get() {
            0 => {
                if let Some(paused) = self.paused.take() {
                    let took = paused.elapsed().as_nanos() as u64;
                    self.add(|thread| &thread.sampled_ns, took);
                    self.add(|thread| &thread.sampled, 1);
                    self.until_sample.set(SAMPLED_ONE_IN - 1);
                }
            }
            left => self.until_sample.set(left - 1),
        }
    }

    fn add(&self, counter: impl FnOnce(&Thread) -> &AtomicU64, more: u64) {
        if let Some(thread) = self.counters.get() {
            let counter = counter(thread);
            // No other thread writes to it.
            counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        }
    }
}

/// A new file in place of what may be there, which others may still have mapped; or that behind a
/// descriptor that was handed to us, which may have no name.
fn in_file(path: &Path, bytes: usize) -> std::io::Result<Mapping> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    if path.parent() != Some(Path::new(DESCRIPTORS)) {
        remove_counters(path)?;
        options.create_new(true);
    }
    let file = options.open(path)?;
    file.set_len(bytes as u64)?;
    Ok(Mapping::of_file(&file, bytes)?)
}

/// Removes a file with counters, or an empty one, and nothing else.
fn remove_counters(path: &Path) -> std::io::Result<()> {
    let kind = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        found => found?.file_type(),
    };
    let mut start = Vec::new();
    if kind.is_file() {
        let file = std::fs::File::open(path)?;
        file.take(size_of_val(&MAGIC) as u64)
            .read_to_end(&mut start)?;
    }
    if !kind.is_file() || !(start.is_empty() || start == MAGIC.to_le_bytes()) {
        return Err(std::io::Error::new(
            std::io::ErrorKind::AlreadyExists,
            "there is something else",
        ));
    }
    std::fs::remove_file(path)
}

/// What taking the time takes: the least of many.
fn clock_cost() -> Duration {
    let costs = (0..100).map(|_| Instant::now().elapsed());
    costs.min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_documented_one() {
        assert_eq!(size_of::<Head>(), 128);
        assert_eq!(size_of::<Thread>(), 128);
        let offsets = [
            std::mem::offset_of!(Head, version),
            std::mem::offset_of!(Head, pid),
            std::mem::offset_of!(Head, threads_at),
            std::mem::offset_of!(Head, thread_bytes),
            std::mem::offset_of!(Head, threads),
            std::mem::offset_of!(Head, sampled_one_in),
            std::mem::offset_of!(Head, clock_ns),
            std::mem::offset_of!(Head, model),
        ];
        assert_eq!(offsets, [8, 12, 16, 20, 24, 28, 32, 40]);
        let offsets = [
            std::mem::offset_of!(Thread, tasks_begun),
            std::mem::offset_of!(Thread, tasks_ended),
            std::mem::offset_of!(Thread, switches),
            std::mem::offset_of!(Thread, sampled),
            std::mem::offset_of!(Thread, sampled_ns),
        ];
        assert_eq!(offsets, [0, 8, 16, 24, 32]);
    }

    #[test]
    fn switches_are_counted_and_one_in_so_many_is_timed() {
        let counters = Box::leak(Box::new(Counters::new(None, "x", 1).expect("a page")));
        counters.count_this_thread();
        task_begins();
        let rounds = 10;
        for round in 0..rounds * SAMPLED_ONE_IN {
            task_goes_on();
            task_pauses();
            if round % SAMPLED_ONE_IN == SAMPLED_ONE_IN - 2 {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        let thread = OWN.with(|own| own.counters.get().expect("its counters"));
        let counted = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        assert_eq!(counted(&thread.tasks_begun), 1);
        assert_eq!(counted(&thread.tasks_ended), 0);
        assert_eq!(
            counted(&thread.switches),
            u64::from(rounds * SAMPLED_ONE_IN)
        );
        assert_eq!(counted(&thread.sampled), u64::from(rounds));
        // The pause of two milliseconds is in each of them.
        let mean = counted(&thread.sampled_ns) / u64::from(rounds);
        assert!(mean >= 2_000_000, "{mean}");
        // A thread that was idle since the last task measures no switch.
        for _ in 0..SAMPLED_ONE_IN {
            task_goes_on();
            task_pauses();
            thread_idles();
        }
        assert_eq!(counted(&thread.sampled), u64::from(rounds));
    }
}
