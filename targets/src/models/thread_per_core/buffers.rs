//! The buffers that the kernel receives into: it takes the next one when data has come, so that a
//! connection at rest holds none.

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use crate::memory::Mapping;

/// The name of this group of buffers, of which each ring has one.
pub(super) const GROUP: u16 = 0;
/// How many there are, a power of two.
const COUNT: u16 = 128;
/// The size of each, in bytes.
const BYTES: usize = 4096;

/// Buffers, and the ring in shared memory that names those which the kernel may take.
pub(super) struct Buffers {
    memory: Mapping,
    ring: Mapping,
    tail: u16,
}

impl Buffers {
    pub(super) fn new(submitter: &Submitter<'_>) -> io::Result<Self> {
        let ring = Mapping::private(usize::from(COUNT) * size_of::<BufRingEntry>())?;
        let memory = Mapping::private(usize::from(COUNT) * BYTES)?;
        // SAFETY: the ring has so many entries, and is unmapped behind the io_uring.
        unsafe {
            submitter.register_buf_ring_with_flags(ring.base() as u64, COUNT, GROUP, 0)?;
        }
        let mut buffers = Self {
            memory,
            ring,
            tail: 0,
        };
        for number in 0..COUNT {
            buffers.give_back(number);
        }
        Ok(buffers)
    }

    /// The first `length` bytes of a buffer that the kernel has filled.
    pub(super) fn filled(&self, number: u16, length: usize) -> &[u8] {
        assert!(number < COUNT && length <= BYTES, "the kernel's answer");
        // SAFETY: the bytes lie in the mapping, and the kernel writes there no more until the buffer
        // is given back, which takes `&mut self`.
        unsafe {
            let start = self.memory.base().add(usize::from(number) * BYTES);
            std::slice::from_raw_parts(start, length)
        }
    }

    /// Lets the kernel have a buffer again.
    pub(super) fn give_back(&mut self, number: u16) {
        let entries = self.ring.base().cast::<BufRingEntry>();
        // SAFETY: the entry lies in the ring, and the kernel does not look at it before the tail
        // says so; the tail is an aligned `u16` in the ring's first entry.
        unsafe {
            let entry = &mut *entries.add(usize::from(self.tail % COUNT));
            let start = self.memory.base().add(usize::from(number) * BYTES);
            entry.set_addr(start as u64);
            entry.set_len(BYTES as u32);
            entry.set_bid(number);
            self.tail = self.tail.wrapping_add(1);
            let tail = BufRingEntry::tail(entries).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}
