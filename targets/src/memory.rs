//! Memory mappings: shared ones for state that forked processes see, private ones for memory that one
//! connection holds, and files.

use std::os::fd::AsFd;
use std::ptr::{NonNull, null_mut};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};

/// The page size of every x86-64 host, in bytes; the step in which memory is touched.
pub(crate) const PAGE_BYTES: usize = 4096;

/// A mapping, unmapped when dropped; an anonymous one is zeroed when made.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a mapping is plain memory with no tie to the thread that made it; whoever reads or
// writes through `base()` answers for its own synchronisation.
unsafe impl Send for Mapping {}
// SAFETY: as above; `&Mapping` gives out nothing but the address and the size.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `bytes` (more than 0) that stay shared with every process forked later.
    ///
    /// # Errors
    /// What `mmap` answers, mostly `ENOMEM`.
    pub(crate) fn shared(bytes: usize) -> rustix::io::Result<Self> {
        Self::map(bytes, MapFlags::SHARED)
    }

    /// Maps `bytes` (more than 0) private to this process and without huge pages, so that each
    /// page written is one fault on every host.
    ///
    /// # Errors
    /// What `mmap` answers, mostly `ENOMEM`.
    pub(crate) fn private(bytes: usize) -> rustix::io::Result<Self> {
        let mapping = Self::map(bytes, MapFlags::PRIVATE)?;
        // SAFETY: the range is exactly the mapping just made.
        // A kernel built without huge pages refuses the advice, and needs none.
        let _ = unsafe { madvise(mapping.base.as_ptr().cast(), bytes, Advice::LinuxNoHugepage) };
        Ok(mapping)
    }

    /// Maps the first `bytes` (more than 0) of `file`, shared with whoever maps it too.
    ///
    /// # Errors
    /// What `mmap` answers.
    pub(crate) fn of_file(file: impl AsFd, bytes: usize) -> rustix::io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping at an address the kernel picks touches no other memory.
        let base = unsafe { mmap(null_mut(), bytes, access, MapFlags::SHARED, file, 0)? };
        let base = NonNull::new(base.cast()).ok_or(rustix::io::Errno::NOMEM)?;
        Ok(Self { base, bytes })
    }

    fn map(bytes: usize, flags: MapFlags) -> rustix::io::Result<Self> {
        // SAFETY: a fresh anonymous mapping at an address the kernel picks touches no other memory.
        let base = unsafe {
            mmap_anonymous(null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, flags)?
        };
        let base = NonNull::new(base.cast()).ok_or(rustix::io::Errno::NOMEM)?;
        Ok(Self { base, bytes })
    }

    /// The first byte.
    pub(crate) fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// The size, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes one byte to each page, first to last.
    pub(crate) fn touch_pages(&mut self) {
        for offset in (0..self.bytes).step_by(PAGE_BYTES) {
            // SAFETY: `offset` is below `bytes`, inside the mapping, which `&mut self` holds alone.
            unsafe { self.base.as_ptr().add(offset).write_volatile(1) };
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is the mapping made in `map`, and nothing outlives its owner.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}
