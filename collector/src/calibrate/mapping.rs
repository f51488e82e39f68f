//! Anonymous memory, in small pages or huge ones, and what the kernel says of it.

use anyhow::{Context, Result, anyhow, bail};
use std::{fs, io, ops::Range, ptr};

pub(crate) const PAGE: usize = 4096;
pub(crate) const HUGE_PAGE: usize = 2 << 20;

/// Which pages the kernel may back a mapping with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pages {
    Small,
    Huge,
}

/// A private anonymous mapping, writable, aligned to a huge page.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: *mut u8,
    bytes: usize,
    /// What was mapped, to have a part of it aligned.
    whole: *mut libc::c_void,
    whole_bytes: usize,
}

impl Mapping {
    pub(crate) fn new(bytes: usize, pages: Pages) -> Result<Self> {
        let whole_bytes = bytes.max(PAGE) + HUGE_PAGE;
        // SAFETY: a new mapping, wherever there is room.
        let whole = unsafe {
            libc::mmap(
                ptr::null_mut(),
                whole_bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if whole == libc::MAP_FAILED {
            return Err(last_error()).with_context(|| format!("cannot map {bytes} bytes"));
        }
        let skipped = whole.align_offset(HUGE_PAGE);
        let mapping = Self {
            start: whole.cast::<u8>().wrapping_add(skipped),
            bytes,
            whole,
            whole_bytes,
        };
        let advice = match pages {
            Pages::Small => libc::MADV_NOHUGEPAGE,
            Pages::Huge => libc::MADV_HUGEPAGE,
        };
        // A kernel without huge pages knows neither advice; small ones are all it has then.
        match (mapping.advise(0..bytes, advice), pages) {
            (Err(error), Pages::Huge) => Err(error).context("the kernel has no huge pages"),
            _ => Ok(mapping),
        }
    }

    /// Gives the memory back: the next touch of each page is the first one again.
    pub(crate) fn forget(&self) -> Result<()> {
        self.advise(0..self.bytes, libc::MADV_DONTNEED)
            .context("cannot give memory back")
    }

    /// From now on children get the pages of its first `bytes`, and none of the others.
    pub(crate) fn pass_on(&self, bytes: usize) -> Result<()> {
        let others = bytes.next_multiple_of(PAGE)..self.bytes;
        self.advise(0..bytes, libc::MADV_DOFORK)
            .and_then(|()| self.advise(others, libc::MADV_DONTFORK))
            .context("cannot keep memory from children")
    }

    /// Of the pages of this range, which begins with one.
    fn advise(&self, range: Range<usize>, advice: libc::c_int) -> Result<()> {
        let bytes = range.len().next_multiple_of(PAGE);
        let start = self.start.wrapping_add(range.start);
        // SAFETY: a part of our own mapping, of which nobody holds a reference.
        match unsafe { libc::madvise(start.cast(), bytes, advice) } {
            0 => Ok(()),
            _ => Err(last_error()),
        }
    }

    /// Adds 1 to a byte in every `stride` bytes of `range`, beginning with its first.
    pub(crate) fn touch(&self, range: Range<usize>, stride: usize) {
        debug_assert!(range.end <= self.bytes);
        for place in range.step_by(stride) {
            // SAFETY: within the mapping, which nobody else uses meanwhile.
            unsafe { increment(self.start.add(place)) };
        }
    }

    /// The same over all of it.
    pub(crate) fn touch_all(&self, stride: usize) {
        self.touch(0..self.bytes, stride);
    }

    /// Behind its last byte, where a stack begins.
    pub(crate) fn end(&self) -> *mut u8 {
        self.start.wrapping_add(self.bytes)
    }

    /// Changes what may be done with the first page.
    pub(crate) fn protect_first_page(&self, writable: bool) -> Result<()> {
        let access = libc::PROT_READ | if writable { libc::PROT_WRITE } else { 0 };
        // SAFETY: our own page; nobody writes to it while it is not writable.
        match unsafe { libc::mprotect(self.start.cast(), PAGE, access) } {
            0 => Ok(()),
            _ => Err(last_error()).context("cannot protect a page"),
        }
    }

    /// Bytes of it that are mapped as huge pages, as `/proc/self/smaps` says.
    pub(crate) fn huge_bytes(&self) -> Result<u64> {
        let smaps = fs::read_to_string("/proc/self/smaps").context("cannot read smaps")?;
        let start = self.start as u64;
        Ok(huge_bytes_within(&smaps, start, start + self.bytes as u64))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: our own mapping, gone with its owner.
        unsafe { libc::munmap(self.whole, self.whole_bytes) };
    }
}

/// `AnonHugePages` of the areas that overlap a range, in bytes.
fn huge_bytes_within(smaps: &str, start: u64, end: u64) -> u64 {
    let (mut within, mut bytes) = (false, 0);
    for line in smaps.lines() {
        if let Some((from, to)) = area(line) {
            within = from < end && to > start;
        } else if let (true, Some(rest)) = (within, line.strip_prefix("AnonHugePages:")) {
            let kilobytes = rest.trim().trim_end_matches(" kB").parse::<u64>();
            bytes += kilobytes.unwrap_or(0) * 1024;
        }
    }
    bytes
}

/// The addresses at the head of an area: `7f00-7f10 rw-p ...`.
fn area(line: &str) -> Option<(u64, u64)> {
    let (from, to) = line.split(' ').next()?.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    Some((address(from)?, address(to)?))
}

fn last_error() -> anyhow::Error {
    anyhow!(crate::errors::in_words(&io::Error::last_os_error()))
}

/// By one instruction, however we are compiled: a read before the write would be a fault of its own.
///
/// # Safety
/// The byte is the caller's own.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn increment(byte: *mut u8) {
    // SAFETY: by the caller.
    unsafe { std::arch::asm!("inc byte ptr [{}]", in(reg) byte, options(nostack)) };
}

/// # Safety
/// The byte is the caller's own.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn increment(byte: *mut u8) {
    // SAFETY: by the caller.
    unsafe { byte.write_volatile(byte.read_volatile().wrapping_add(1)) };
}

/// Bytes that this process has resident in pages of its own. Those of files are in no page table that fork copies: a
/// child faults them in anew.
pub(crate) fn resident_bytes() -> Result<u64> {
    let statm = fs::read_to_string("/proc/self/statm").context("cannot read statm")?;
    let pages: Vec<u64> = statm.split(' ').map_while(|it| it.parse().ok()).collect();
    let [_, resident, of_files, ..] = pages[..] else {
        bail!("statm says nothing of resident pages: {statm}");
    };
    Ok(resident.saturating_sub(of_files) * PAGE as u64)
}

/// Minor page faults of the calling process so far.
pub(crate) fn minor_faults() -> u64 {
    rusage(libc::RUSAGE_SELF).ru_minflt as u64
}

/// Context switches of the calling process so far, voluntary and involuntary.
pub(crate) fn context_switches() -> u64 {
    switches_in(&rusage(libc::RUSAGE_SELF))
}

/// Those of its children that have ended and were waited for.
pub(crate) fn context_switches_of_children() -> u64 {
    switches_in(&rusage(libc::RUSAGE_CHILDREN))
}

fn switches_in(usage: &libc::rusage) -> u64 {
    usage.ru_nvcsw as u64 + usage.ru_nivcsw as u64
}

fn rusage(whose: libc::c_int) -> libc::rusage {
    // SAFETY: plain integers, which the kernel fills in.
    unsafe {
        let mut usage = std::mem::zeroed();
        libc::getrusage(whose, &raw mut usage);
        usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_pages_are_those_of_the_areas_that_overlap() {
        let smaps = "1000-3000 rw-p 00000000 00:00 0 \nRss: 8 kB\nAnonHugePages:      2048 kB\n\
                     3000-5000 rw-p 00000000 00:00 0 \nAnonHugePages:      4096 kB\n\
                     9000-a000 rw-p 00000000 00:00 0 [heap]\nAnonHugePages:   1 kB\n";
        assert_eq!(huge_bytes_within(smaps, 0x2000, 0x3000), 2 << 20);
        assert_eq!(huge_bytes_within(smaps, 0x2fff, 0x3001), 6 << 20);
        assert_eq!(huge_bytes_within(smaps, 0x5000, 0x9000), 0);
    }

    #[test]
    fn a_mapping_is_aligned_and_forgets() {
        let mapping = Mapping::new(3 * PAGE, Pages::Small).unwrap();
        assert_eq!(mapping.start.align_offset(HUGE_PAGE), 0);
        mapping.touch_all(PAGE);
        let before = minor_faults();
        mapping.touch_all(PAGE);
        let mapped = minor_faults() - before;
        mapping.forget().unwrap();
        mapping.touch_all(PAGE);
        // Other tests of this process fault too, in between.
        assert!(minor_faults() - before - mapped >= 3);
    }
}
