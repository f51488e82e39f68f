//! One shard of the store: a hash table with chained entries in the shard's own arena.
//!
//! A process may die anywhere in here. So an entry is written in full before one store of a link
//! publishes it, a value is replaced by a new entry and never in place, and `changing` tells the
//! next holder of the lock that the free lists may be half changed: it makes them anew from the
//! entries. A dead process costs at most the command it was executing.

use std::sync::atomic::{AtomicU32, Ordering, compiler_fence};

use super::arena::{Arena, class_for};
use super::{Full, IncrementError, MAX_KEY_BYTES, MAX_VALUE_BYTES, integer};

/// The head of a shard, in shared memory, followed by the buckets and the arena.
#[repr(C)]
pub(crate) struct Header<L> {
    pub(crate) lock: L,
    changing: AtomicU32,
    bucket_mask: u32,
    buckets_at: u32,
    arena: Arena,
}

/// The head of an entry; the key's and the value's bytes follow.
#[repr(C)]
struct Entry {
    /// Must stay first: a link is the offset of a `u32`, be it a bucket or this field.
    next: u32,
    hash: u32,
    value_bytes: u32,
    key_bytes: u16,
    class: u8,
}

const ENTRY_BYTES: usize = size_of::<Entry>();

/// A shard whose lock is held.
pub(crate) struct Shard<L> {
    header: *mut Header<L>,
}

/// Where a key is, or would be.
struct Place {
    /// The offset of the `u32` that refers to the entry.
    link: u32,
    /// The offset of the entry, 0 if the key is not there.
    entry: u32,
}

impl<L> Shard<L> {
    /// A view of the shard whose header is at `header`.
    ///
    /// # Safety
    /// `header` comes from `Shard::format` on live memory, and the shard's lock is held as long as
    /// the view is used.
    pub(crate) unsafe fn held(header: *mut Header<L>) -> Self {
        Self { header }
    }

    /// Lays out an empty shard of `bytes` at `base`, all but its lock.
    ///
    /// # Safety
    /// `base` is aligned to 64, and `bytes` of zeroed memory there are nobody else's.
    pub(crate) unsafe fn format(base: *mut u8, bytes: u32) {
        let header = base.cast::<Header<L>>();
        let buckets = (bytes / 256).next_power_of_two().max(64);
        let buckets_at = (size_of::<Header<L>>() as u32).next_multiple_of(64);
        let arena_at = (buckets_at + buckets * 4).next_multiple_of(64);
        // SAFETY: header, buckets and arena lie in the shard, in this order; zeroed buckets are
        // empty chains.
        unsafe {
            (&raw mut (*header).bucket_mask).write(buckets - 1);
            (&raw mut (*header).buckets_at).write(buckets_at);
            (&raw mut (*header).arena).write(Arena::new(base, arena_at, bytes));
        }
    }

    /// Reads the value of `key` where it lies.
    pub(crate) fn get<R>(&self, key: &[u8], hash: u32, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let place = self.find(key, hash);
        (place.entry != 0).then(|| read(self.value(place.entry)))
    }

    /// Adds 1 to the integer at `key`, 0 if it is not there.
    pub(crate) fn increment(&mut self, key: &[u8], hash: u32) -> Result<i64, IncrementError> {
        let place = self.find(key, hash);
        let old = match place.entry {
            0 => 0,
            entry => integer::parse(self.value(entry)).ok_or(IncrementError::NotAnInteger)?,
        };
        let sum = old.checked_add(1).ok_or(IncrementError::Overflow)?;
        self.replace(&place, key, hash, integer::format(sum, &mut [0; 20]))?;
        Ok(sum)
    }

    /// Sets `key` to `value`.
    pub(crate) fn set(&mut self, key: &[u8], hash: u32, value: &[u8]) -> Result<(), Full> {
        let place = self.find(key, hash);
        self.replace(&place, key, hash, value)
    }

    /// Lets `change` see the value of `key`, and sets it to the new one if there is one. Answers what
    /// `change` does.
    pub(crate) fn update<R>(
        &mut self,
        key: &[u8],
        hash: u32,
        change: impl FnOnce(Option<&[u8]>) -> (R, Option<String>),
    ) -> Result<R, Full> {
        let place = self.find(key, hash);
        let old = (place.entry != 0).then(|| self.value(place.entry));
        let (answer, new) = change(old);
        if let Some(new) = new {
            self.replace(&place, key, hash, new.as_bytes())?;
        }
        Ok(answer)
    }

    /// Removes `key`; whether it was there.
    pub(crate) fn delete(&mut self, key: &[u8], hash: u32) -> bool {
        let place = self.find(key, hash);
        if place.entry == 0 {
            return false;
        }
        self.begin_change();
        self.set_link(place.link, self.entry(place.entry).next);
        self.free(place.entry);
        self.end_change();
        true
    }

    /// Puts right what a holder that died may have left: called first by who found the lock
    /// abandoned.
    pub(crate) fn repair(&mut self) {
        if self.header().changing.load(Ordering::Relaxed) != 0 {
            self.rebuild_arena();
            self.end_change();
        }
    }

    /// Leaves the shard as if its holder had died in the middle of a change.
    #[cfg(test)]
    pub(crate) fn wreck_free_lists(&mut self) {
        self.begin_change();
        self.arena().wreck();
    }

    fn replace(&mut self, place: &Place, key: &[u8], hash: u32, value: &[u8]) -> Result<(), Full> {
        debug_assert!(key.len() <= MAX_KEY_BYTES && value.len() <= MAX_VALUE_BYTES);
        let class = class_for(ENTRY_BYTES + key.len() + value.len()).ok_or(Full)?;
        self.begin_change();
        let Some(new) = self.allocate(class) else {
            self.end_change();
            return Err(Full);
        };
        let next = match place.entry {
            0 => self.link(place.link),
            old => self.entry(old).next,
        };
        let head = Entry {
            next,
            hash,
            value_bytes: value.len() as u32,
            key_bytes: key.len() as u16,
            class,
        };
        // SAFETY: the block is at least as large as head, key and value, and nobody else's yet.
        unsafe {
            let at = self.at(new);
            at.cast::<Entry>().write(head);
            at.add(ENTRY_BYTES)
                .copy_from_nonoverlapping(key.as_ptr(), key.len());
            at.add(ENTRY_BYTES + key.len())
                .copy_from_nonoverlapping(value.as_ptr(), value.len());
        }
        self.set_link(place.link, new);
        if place.entry != 0 {
            self.free(place.entry);
        }
        self.end_change();
        Ok(())
    }

    fn allocate(&mut self, class: u8) -> Option<u32> {
        let base = self.base();
        // SAFETY: `base` is this shard's, whose lock is held.
        if let Some(block) = unsafe { self.arena().take(base, class) } {
            return Some(block);
        }
        if !self.arena().may_join() {
            return None;
        }
        self.rebuild_arena();
        // SAFETY: as above.
        unsafe { self.arena().take(base, class) }
    }

    fn free(&mut self, entry: u32) {
        let (base, class) = (self.base(), self.entry(entry).class);
        // SAFETY: the entry is linked nowhere any more.
        unsafe { self.arena().give_back(base, entry, class) };
    }

    fn rebuild_arena(&mut self) {
        let mut used = Vec::new();
        for bucket in 0..=self.header().bucket_mask {
            let mut entry = self.link(self.header().buckets_at + bucket * 4);
            while entry != 0 {
                used.push((entry, self.entry(entry).class));
                entry = self.entry(entry).next;
            }
        }
        let base = self.base();
        // SAFETY: every entry in use is on a chain: links are changed by one store, and only to
        // entries written in full.
        unsafe { self.arena().rebuild(base, &mut used) };
    }

    fn find(&self, key: &[u8], hash: u32) -> Place {
        let header = self.header();
        let mut link = header.buckets_at + (hash & header.bucket_mask) * 4;
        loop {
            let at = self.link(link);
            if at == 0 {
                return Place { link, entry: 0 };
            }
            if self.entry(at).hash == hash && self.key(at) == key {
                return Place { link, entry: at };
            }
            link = at;
        }
    }

    fn begin_change(&self) {
        self.header().changing.store(1, Ordering::Relaxed);
        // Only the order of this thread's own stores matters: who sees them either follows in the
        // lock's order or after this thread's death.
        compiler_fence(Ordering::SeqCst);
    }

    fn end_change(&self) {
        compiler_fence(Ordering::SeqCst);
        self.header().changing.store(0, Ordering::Relaxed);
    }

    fn link(&self, at: u32) -> u32 {
        // SAFETY: `at` is the offset of a bucket or of an entry's first field, both aligned `u32`s.
        unsafe { self.at(at).cast::<u32>().read() }
    }

    fn set_link(&self, at: u32, entry: u32) {
        compiler_fence(Ordering::SeqCst);
        // SAFETY: as `link`; one aligned store, never seen half.
        unsafe { self.at(at).cast::<u32>().write_volatile(entry) };
        compiler_fence(Ordering::SeqCst);
    }

    fn entry(&self, at: u32) -> &Entry {
        // SAFETY: `at` came from a link, so an entry written in full is there.
        unsafe { &*self.at(at).cast::<Entry>() }
    }

    fn key(&self, at: u32) -> &[u8] {
        let bytes = usize::from(self.entry(at).key_bytes);
        // SAFETY: the key follows the entry's head.
        unsafe { std::slice::from_raw_parts(self.at(at).add(ENTRY_BYTES), bytes) }
    }

    fn value(&self, at: u32) -> &[u8] {
        let entry = self.entry(at);
        let start = ENTRY_BYTES + usize::from(entry.key_bytes);
        // SAFETY: the value follows the key.
        unsafe { std::slice::from_raw_parts(self.at(at).add(start), entry.value_bytes as usize) }
    }

    fn header(&self) -> &Header<L> {
        // SAFETY: `held` promises a live header.
        unsafe { &*self.header }
    }

    fn arena(&mut self) -> &mut Arena {
        // SAFETY: the lock is held, so this is the only reference to the arena.
        unsafe { &mut (*self.header).arena }
    }

    fn base(&self) -> *mut u8 {
        self.header.cast()
    }

    fn at(&self, offset: u32) -> *mut u8 {
        // SAFETY: every offset kept in a shard lies in it.
        unsafe { self.base().add(offset as usize) }
    }
}
