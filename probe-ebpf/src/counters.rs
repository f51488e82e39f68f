//! The kernel's own perf counters of tasks, and of all that they create.

use perf_event::{
    Builder, Counter, ReadFormat,
    events::{Cache, CacheId, CacheOp, CacheResult, Event, Hardware, Software},
};
use std::{io, time::Duration};

/// Where the events are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// By the kernel.
    Software,
    /// By the CPU.
    Hardware,
}

/// Names of the events of each source, in the order of their [`Reading`]s.
pub const SOFTWARE: [&str; 4] = [
    "context_switches",
    "cpu_migrations",
    "page_faults",
    "task_clock",
];
#[allow(missing_docs)]
pub const HARDWARE: [&str; 4] = ["cycles", "instructions", "dtlb_load_misses", "cache_misses"];

/// What one counter has counted since it was opened, in all tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Events; nanoseconds of `task_clock`.
    pub count: u64,
    /// Time that the tasks were on a CPU.
    pub enabled_ns: u64,
    /// Of this, the time in which the counter counted: less where counters had to take turns.
    pub running_ns: u64,
}

/// Counters of some tasks. Each is a file descriptor; closed when dropped.
pub struct Counters {
    /// By event; none of an event that the CPU cannot count.
    events: Vec<Option<Vec<Counter>>>,
}

/// Why there are no counters.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is nothing that counts.
    #[error("no PMU on this machine")]
    NoPmu,
    /// The caller may not.
    #[error("cannot open perf counters: {0}; needs root, or CAP_PERFMON")]
    NotPermitted(io::Error),
    /// All else.
    #[error("cannot open perf counters: {0}")]
    Failed(io::Error),
}

impl Counters {
    /// Opens all counters of a source for these threads and for what they create from now on.
    /// Threads that have ended are left out.
    ///
    /// # Errors
    /// If none of the events can be counted here, or descriptors are short.
    pub fn open(source: Source, threads: &[u32]) -> Result<Self, Refused> {
        let mut events = Vec::new();
        for builder in &mut builders(source) {
            // Not of us, but whether it can be counted at all: the tasks may have ended.
            let possible = builder.observe_self().build();
            events.push(match possible.map_err(refusal) {
                Ok(_) => Some(of_threads(builder, threads)?),
                Err(Refused::NoPmu) => None,
                Err(error) => return Err(error),
            });
        }
        match events.iter().any(Option::is_some) {
            true => Ok(Self { events }),
            false => Err(Refused::NoPmu),
        }
    }

    /// How many descriptors the counters of so many threads need.
    #[must_use]
    pub fn needed(source: Source, threads: usize) -> usize {
        threads
            * match source {
                Source::Software => SOFTWARE.len(),
                Source::Hardware => HARDWARE.len(),
            }
    }

    /// What was counted so far, in the order of the names.
    ///
    /// # Errors
    /// If a counter cannot be read.
    pub fn read(&mut self) -> io::Result<Vec<Option<Reading>>> {
        let sum = |event: &mut Option<Vec<Counter>>| event.as_mut().map(sum).transpose();
        self.events.iter_mut().map(sum).collect()
    }
}

fn builders(source: Source) -> Vec<Builder<'static>> {
    match source {
        Source::Software => [
            Software::CONTEXT_SWITCHES,
            Software::CPU_MIGRATIONS,
            Software::PAGE_FAULTS,
            Software::TASK_CLOCK,
        ]
        .map(builder)
        .into(),
        Source::Hardware => vec![
            builder(Hardware::CPU_CYCLES),
            builder(Hardware::INSTRUCTIONS),
            builder(Cache {
                which: CacheId::DTLB,
                operation: CacheOp::READ,
                result: CacheResult::MISS,
            }),
            builder(Hardware::CACHE_MISSES),
        ],
    }
}

fn builder<E: Event>(event: E) -> Builder<'static> {
    let mut builder = Builder::new(event);
    builder
        .any_cpu()
        .inherit(true)
        .enabled(true)
        .include_kernel()
        .exclude_hv(false)
        .read_format(ReadFormat::TOTAL_TIME_ENABLED | ReadFormat::TOTAL_TIME_RUNNING);
    builder
}

fn of_threads(builder: &mut Builder<'static>, threads: &[u32]) -> Result<Vec<Counter>, Refused> {
    let mut counters = Vec::with_capacity(threads.len());
    for thread in threads {
        match builder.observe_pid(thread.cast_signed()).build() {
            Ok(counter) => counters.push(counter),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            Err(error) => return Err(refusal(error)),
        }
    }
    Ok(counters)
}

fn refusal(error: io::Error) -> Refused {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV) => Refused::NoPmu,
        Some(libc::EACCES | libc::EPERM) => Refused::NotPermitted(error),
        _ => Refused::Failed(error),
    }
}

fn sum(counters: &mut Vec<Counter>) -> io::Result<Reading> {
    let mut sum = Reading::default();
    let ns = |time: Option<Duration>| time.unwrap_or_default().as_nanos() as u64;
    for counter in counters {
        let read = counter.read_full()?;
        sum.count += read.count();
        sum.enabled_ns += ns(read.time_enabled());
        sum.running_ns += ns(read.time_running());
    }
    Ok(sum)
}
