//! Reads what a server publishes of its scheduler in user space: the layout is that of
//! `docs/counters.md`, and a file of another one is refused.
//!
//! The file has no name: it is ours, the server gets a descriptor of it, and it is gone with the two.

use crate::{
    errors::in_words,
    snapshot::{
        Method,
        user_space::{Scheduler, UserSpace},
    },
};
use rustix::{
    fs::{MemfdFlags, memfd_create},
    io::{FdFlags, fcntl_setfd},
};
use std::{
    fs::File,
    io::{self, Read, Seek},
    os::{
        fd::{AsRawFd, BorrowedFd},
        unix::process::CommandExt,
    },
    process::Command,
};

/// Name of the measure.
pub const MEASURE: &str = "user_space_switches";

const MAGIC: &[u8; 8] = b"cnscpcnt";
const VERSION: u32 = 1;
/// The head, and of each thread its counters.
const HEAD_BYTES: u64 = 72;
const COUNTERS_BYTES: u64 = 40;
/// A file of more is none of counters: 8,000 threads.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where to learn what a server's scheduler does.
#[derive(Debug)]
pub enum Source {
    /// From this file, which the server writes to.
    File(File),
    /// Nowhere, for this reason.
    Nowhere(String),
}

/// Why a file is not read as counters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It does not begin as one.
    #[error("the file does not begin with cnscpcnt")]
    NoCounters,
    /// Its layout is another.
    #[error(
        "the file is of version {0}, and {VERSION} is known; use the connscope-target of this connscope"
    )]
    Version(u32),
    /// It says it holds more than it does.
    #[error("the file has {bytes} bytes where its head says at least {needed}")]
    Truncated {
        /// What there is.
        bytes: u64,
        /// What there must be.
        needed: u64,
    },
    /// Its head leaves no room for counters.
    #[error("its head has them at byte {at}, {distance} apart, which leaves no room for them")]
    Places {
        /// Where the first thread's begin.
        at: u32,
        /// From one thread's to the next one's.
        distance: u32,
    },
}

impl Source {
    /// A new file, empty, for a server to publish its counters in; if there can be none, why.
    #[must_use]
    pub fn new() -> Self {
        match memfd_create("connscope-counters", MemfdFlags::CLOEXEC) {
            Ok(file) => Self::File(file.into()),
            Err(error) => Self::Nowhere(format!(
                "cannot make a file in memory for the counters of its scheduler: {}",
                in_words(&error.into())
            )),
        }
    }

    /// Lets the program that the command starts have the file, and no other; its path for that program.
    pub fn hand_to(&self, command: &mut Command) -> Option<String> {
        let Self::File(file) = self else {
            return None;
        };
        let descriptor = file.as_raw_fd();
        let keep_open = move || {
            // SAFETY: `self` is ours until the command has run, and so it is open in what we fork.
            let file = unsafe { BorrowedFd::borrow_raw(descriptor) };
            Ok(fcntl_setfd(file, FdFlags::empty())?)
        };
        // SAFETY: between fork and exec, only a system call that allocates nothing.
        unsafe { command.pre_exec(keep_open) };
        Some(format!("/proc/self/fd/{descriptor}"))
    }

    /// What is known now.
    #[must_use]
    pub fn read(&mut self) -> UserSpace {
        match self {
            Self::Nowhere(reason) => UserSpace::Unseen(reason.clone()),
            Self::File(file) => match read(file) {
                Ok(scheduler) => UserSpace::Counted(scheduler),
                Err(reason) => UserSpace::Unseen(format!(
                    "cannot read the counters of its scheduler: {reason}"
                )),
            },
        }
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::new()
    }
}

/// How it is read.
#[must_use]
pub fn method() -> Method {
    Method {
        measure: MEASURE.into(),
        method: format!(
            "the server's own counters (docs/counters.md, version {VERSION}), read with each snapshot"
        ),
    }
}

fn read(file: &mut File) -> Result<Scheduler, String> {
    let bytes = whole(file).map_err(|error| in_words(&error))?;
    parse(&bytes).map_err(|refused| refused.to_string())
}

fn whole(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The counters of all threads together.
fn parse(bytes: &[u8]) -> Result<Scheduler, Refused> {
    if !bytes.starts_with(MAGIC) {
        return Err(Refused::NoCounters);
    }
    let length = bytes.len() as u64;
    let has = |needed: u64| match needed <= length {
        true => Ok(()),
        false => Err(Refused::Truncated {
            bytes: length,
            needed,
        }),
    };
    // Nothing but the version keeps its place in all of them.
    has(12)?;
    let version = u32_at(bytes, 8);
    if version != VERSION {
        return Err(Refused::Version(version));
    }
    has(HEAD_BYTES)?;
    let [at, distance, threads] = [16, 20, 24].map(|place| u32_at(bytes, place));
    if u64::from(at) < HEAD_BYTES || u64::from(distance) < COUNTERS_BYTES {
        return Err(Refused::Places { at, distance });
    }
    // Of numbers of 32 bits: no overflow.
    has(u64::from(at) + u64::from(threads) * u64::from(distance))?;
    let of_threads = &bytes[at as usize..];
    let threads = of_threads
        .chunks_exact(distance as usize)
        .take(threads as usize);
    let sum = |place: usize| threads.clone().map(|of| u64_at(of, place)).sum();
    Ok(Scheduler {
        tasks_begun: sum(0),
        tasks_ended: sum(8),
        switches: sum(16),
        sampled: sum(24),
        sampled_ns: sum(32),
        clock_ns: u64_at(bytes, 32),
    })
}

fn u32_at(bytes: &[u8], place: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[place..place + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], place: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[place..place + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests;
