//! Blocks of a shard: power-of-two size classes, offsets instead of pointers, so that every process
//! sees the same blocks wherever it has the mapping.
//!
//! Freed blocks go to the list of their class and are joined again only when a class and all larger
//! ones are empty (`Arena::rebuild`), so that the common path is one push or one pop.

/// The smallest block, in bytes; offsets of blocks are multiples of it from the arena's start.
pub(crate) const MIN_BLOCK: u32 = 64;
/// Classes 0..=14: 64 bytes to 1 MiB.
pub(crate) const CLASSES: usize = 15;
/// The largest block, in bytes: 1 MiB.
pub(crate) const MAX_BLOCK: u32 = MIN_BLOCK << (CLASSES - 1);

/// The smallest class that holds `bytes`, `None` above 1 MiB.
pub(crate) fn class_for(bytes: usize) -> Option<u8> {
    if bytes > MAX_BLOCK as usize {
        return None;
    }
    let block = (bytes as u32).max(MIN_BLOCK).next_power_of_two();
    Some((block.trailing_zeros() - MIN_BLOCK.trailing_zeros()) as u8)
}

/// The size of a block of `class`, in bytes.
pub(crate) fn class_bytes(class: u8) -> u32 {
    MIN_BLOCK << class
}

/// The free lists of one shard. Lives in the shard's header, in shared memory; every offset counts
/// from the shard's first byte, and 0 stands for none, since the header is there.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Arena {
    start: u32,
    end: u32,
    free: [u32; CLASSES],
    /// Bytes freed since blocks were last joined: 0 means that joining would find nothing.
    freed_bytes: u64,
}

impl Arena {
    /// An arena over the offsets `start..end`, all free.
    ///
    /// # Safety
    /// `base` is the shard's first byte and `start..end` lies in the shard, unused.
    pub(crate) unsafe fn new(base: *mut u8, start: u32, end: u32) -> Self {
        let end = start + (end - start) / MIN_BLOCK * MIN_BLOCK;
        let mut arena = Self {
            start,
            end,
            free: [0; CLASSES],
            freed_bytes: 0,
        };
        // SAFETY: the caller's promise.
        unsafe { arena.add_free_range(base, start, end) };
        arena
    }

    /// Takes a block of `class`, splitting a larger one where there is none.
    ///
    /// # Safety
    /// `base` is the first byte of the shard that this arena was made for, and nobody else uses it
    /// now.
    pub(crate) unsafe fn take(&mut self, base: *mut u8, class: u8) -> Option<u32> {
        let found = (usize::from(class)..CLASSES).find(|&class| self.free[class] != 0)?;
        let block = self.free[found];
        // SAFETY: a block on a free list holds the offset of the next one in its first bytes.
        self.free[found] = unsafe { base.add(block as usize).cast::<u32>().read() };
        for smaller in (usize::from(class)..found).rev() {
            let upper_half = block + class_bytes(smaller as u8);
            // SAFETY: the upper half of the block just taken is free and nobody else's.
            unsafe { self.push(base, upper_half, smaller) };
        }
        Some(block)
    }

    /// Gives back a block that `take` gave for the same `class`.
    ///
    /// # Safety
    /// As `take`, and nothing refers to the block any more.
    pub(crate) unsafe fn give_back(&mut self, base: *mut u8, block: u32, class: u8) {
        self.freed_bytes += u64::from(class_bytes(class));
        // SAFETY: the caller's promise.
        unsafe { self.push(base, block, usize::from(class)) };
    }

    /// Whether blocks were freed since the last rebuild, so that another may find larger ones.
    pub(crate) fn may_join(&self) -> bool {
        self.freed_bytes > 0
    }

    /// Makes the free lists anew from what is in use: `used` holds (offset, class), in any order.
    /// Joins freed blocks, and repairs lists that a dying process left half changed.
    ///
    /// # Safety
    /// As `take`, and `used` names every block in use.
    pub(crate) unsafe fn rebuild(&mut self, base: *mut u8, used: &mut [(u32, u8)]) {
        used.sort_unstable();
        self.free = [0; CLASSES];
        self.freed_bytes = 0;
        let mut from = self.start;
        for &(block, class) in used.iter() {
            // SAFETY: nothing lies between the end of one used block and the start of the next.
            unsafe { self.add_free_range(base, from, block) };
            from = block + class_bytes(class);
        }
        // SAFETY: as above, behind the last used block.
        unsafe { self.add_free_range(base, from, self.end) };
    }

    /// Makes the free lists useless, for tests of `rebuild`.
    #[cfg(test)]
    pub(crate) fn wreck(&mut self) {
        self.free = [self.start + 1; CLASSES];
    }

    /// Cuts `from..to` into the largest blocks whose offset is a multiple of their size.
    ///
    /// # Safety
    /// As `take`, and the range is free.
    unsafe fn add_free_range(&mut self, base: *mut u8, mut from: u32, to: u32) {
        while from < to {
            let aligned = match from - self.start {
                0 => MAX_BLOCK,
                offset => (1 << offset.trailing_zeros()).min(MAX_BLOCK),
            };
            let room = (to - from).min(MAX_BLOCK);
            let fitting = 1 << (u32::BITS - 1 - room.leading_zeros());
            let block = aligned.min(fitting);
            let class = (block.trailing_zeros() - MIN_BLOCK.trailing_zeros()) as usize;
            // SAFETY: the block lies in the free range.
            unsafe { self.push(base, from, class) };
            from += block;
        }
    }

    /// # Safety
    /// `block` is free, of `class`, and in this shard.
    unsafe fn push(&mut self, base: *mut u8, block: u32, class: usize) {
        // SAFETY: a free block is at least 64 bytes and aligned to 64.
        unsafe {
            base.add(block as usize)
                .cast::<u32>()
                .write(self.free[class])
        };
        self.free[class] = block;
    }
}
