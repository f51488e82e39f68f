//! The key-value state that all connections of a server share, in one mapping that forked processes
//! share too. One implementation for every model; only the lock differs.
//!
//! Bounds, the same in every model: keys up to 1 KiB, values up to 512 KiB, and all entries
//! together within the mapping. The mapping is cut into shards (one per 4 MiB, at most 64), each with
//! its own lock; an entry takes the next power of two of its size (16 bytes of head, key, value),
//! at least 64 bytes. So a shard may be full a little before the others are.

mod arena;
mod integer;
mod lock;
mod shard;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::marker::PhantomData;

use lock::Found;
pub(crate) use lock::{BetweenProcesses, BetweenThreads, Lock, SingleThread};
use shard::{Header, Shard};

use crate::memory::Mapping;

/// The longest key, in bytes.
pub(crate) const MAX_KEY_BYTES: usize = 1024;
/// The longest value, in bytes.
pub(crate) const MAX_VALUE_BYTES: usize = 512 * 1024;
/// The smallest store, in bytes: room for one value of the largest size.
pub(crate) const MIN_BYTES: usize = 2 << 20;
/// The largest store, in bytes: 64 shards of 1 GiB.
pub(crate) const MAX_BYTES: usize = 64 << 30;

const SHARD_BYTES: usize = 4 << 20;
const MAX_SHARDS: usize = 64;

/// The store has no room for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Why a value was not incremented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IncrementError {
    /// The value is no decimal integer of 64 bits.
    NotAnInteger,
    /// The value is the largest there is.
    Overflow,
    /// There is no room for the new value.
    Full,
}

impl From<Full> for IncrementError {
    fn from(Full: Full) -> Self {
        Self::Full
    }
}

/// The shared key-value state.
pub(crate) struct Store<L> {
    mapping: Mapping,
    shard_bytes: usize,
    /// One less than the number of shards, which is a power of two.
    shard_mask: u64,
    hasher: RandomState,
    lock: PhantomData<L>,
}

// SAFETY: shards are reached only under their lock, and with `L: Sync` that lock excludes all other
// threads.
unsafe impl<L: Sync> Sync for Store<L> {}

impl<L: Lock> Store<L> {
    /// An empty store of `bytes` (`MIN_BYTES..=MAX_BYTES`; the caller checks). Processes forked
    /// later share it.
    ///
    /// # Errors
    /// When the memory cannot be mapped or a lock cannot be made.
    pub(crate) fn new(bytes: usize) -> std::io::Result<Self> {
        assert!(
            (MIN_BYTES..=MAX_BYTES).contains(&bytes),
            "store of {bytes} bytes"
        );
        let shards = (bytes / SHARD_BYTES).clamp(1, MAX_SHARDS);
        let shards = 1 << shards.ilog2();
        let shard_bytes = (bytes / shards) / 64 * 64;
        let store = Self {
            mapping: Mapping::shared(bytes)?,
            shard_bytes,
            shard_mask: shards as u64 - 1,
            hasher: RandomState::new(),
            lock: PhantomData,
        };
        for index in 0..shards {
            let header = store.header(index);
            // SAFETY: each shard is its own part of the fresh, zeroed mapping, aligned to 64.
            unsafe {
                Shard::<L>::format(header.cast(), shard_bytes as u32);
                L::init(&raw mut (*header).lock)?;
            }
        }
        Ok(store)
    }

    /// The size of the store, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.mapping.bytes()
    }

    /// Runs `read` on the value of `key`, in place and under its lock; `None` if it is not there.
    pub(crate) fn get<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.with_shard(key, |shard, hash| shard.get(key, hash, read))
    }

    /// Sets `key` (at most `MAX_KEY_BYTES`) to `value` (at most `MAX_VALUE_BYTES`); the caller
    /// checks.
    ///
    /// # Errors
    /// `Full` when there is no room; the old value stays.
    pub(crate) fn set(&self, key: &[u8], value: &[u8]) -> Result<(), Full> {
        self.with_shard(key, |shard, hash| shard.set(key, hash, value))
    }

    /// Removes `key`; whether it was there.
    pub(crate) fn delete(&self, key: &[u8]) -> bool {
        self.with_shard(key, |shard, hash| shard.delete(key, hash))
    }

    /// Adds 1 to the decimal integer at `key` (0 if it is not there) and answers the sum.
    ///
    /// # Errors
    /// See [`IncrementError`]; the old value stays.
    pub(crate) fn increment(&self, key: &[u8]) -> Result<i64, IncrementError> {
        self.with_shard(key, |shard, hash| shard.increment(key, hash))
    }

    /// Lets `change` see the value of `key` (at most `MAX_KEY_BYTES`; the caller checks), `None` if it
    /// is not there, and sets it to the new value (at most `MAX_VALUE_BYTES`), if `change` makes one:
    /// nothing comes between. Answers what `change` does besides.
    ///
    /// # Errors
    /// `Full` when there is no room; the old value stays.
    pub(crate) fn update<R>(
        &self,
        key: &[u8],
        change: impl FnOnce(Option<&[u8]>) -> (R, Option<String>),
    ) -> Result<R, Full> {
        self.with_shard(key, |shard, hash| shard.update(key, hash, change))
    }

    fn with_shard<R>(&self, key: &[u8], work: impl FnOnce(&mut Shard<L>, u32) -> R) -> R {
        let hash = self.hasher.hash_one(key);
        let header = self.header((hash & self.shard_mask) as usize);
        // SAFETY: `new` made the lock, and it lives as long as the mapping.
        let lock = unsafe { &(*header).lock };
        lock.with(|found| {
            // SAFETY: the shard's lock is held while this closure runs.
            let mut shard = unsafe { Shard::held(header) };
            if found == Found::Abandoned {
                shard.repair();
            }
            // The low bits chose the shard, the high ones choose the bucket.
            work(&mut shard, (hash >> 32) as u32)
        })
    }

    fn header(&self, shard: usize) -> *mut Header<L> {
        // SAFETY: shards lie side by side in the mapping.
        unsafe { self.mapping.base().add(shard * self.shard_bytes).cast() }
    }
}
