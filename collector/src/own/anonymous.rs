//! Anonymous memory of one process, each page by its share: half of one that two processes map.
//!
//! From `/proc/PID/pagemap`, of private mappings alone, since shared memory has no such pages, however much of it a
//! server has touched. The kernel holds the lock of the address space for 2 MiB at a time (`pagemap_read`), and not
//! for a whole walk as for `smaps`: who maps memory meanwhile waits for some 10 us.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;

const PAGE: u64 = 4096;
/// Of an entry for one page: bits of `Documentation/admin-guide/mm/pagemap.rst`.
const ENTRY: u64 = 8;
const PRESENT: u64 = 1 << 63;
const OF_FILE: u64 = 1 << 61;
const ALONE: u64 = 1 << 56;
const FRAME: u64 = (1 << 55) - 1;
/// Entries read at once.
const ENTRIES: usize = 8192;

/// Knows who shares which page frame, as far as it was asked.
#[derive(Default)]
pub(super) struct Frames {
    /// How often each is mapped; not there without CAP_SYS_ADMIN, which alone sees frames.
    counts: Option<File>,
    known: HashMap<u64, u64>,
}

impl Frames {
    /// For processes that are looked at at about the same time.
    pub(super) fn open() -> Self {
        Self {
            counts: File::open("/proc/kpagecount").ok(),
            known: HashMap::new(),
        }
    }

    /// Bytes that are a process's share. Without CAP_SYS_ADMIN, pages that others map too count as none.
    ///
    /// # Errors
    /// If the process has ended or may not be looked at.
    pub(super) fn share_of(&mut self, pid: u32) -> io::Result<u64> {
        let pages = File::open(format!("/proc/{pid}/pagemap"))?;
        let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
        // What has no address space any more has no mapping.
        if maps.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut buffer = vec![0; ENTRIES * ENTRY as usize];
        let mut share = 0.0;
        for (start, end) in maps.lines().filter_map(private) {
            let mut page = start / PAGE;
            while page < end / PAGE {
                let wanted = (end / PAGE - page).min(ENTRIES as u64) * ENTRY;
                let read = pages.read_at(&mut buffer[..wanted as usize], page * ENTRY)?;
                if read < ENTRY as usize {
                    break;
                }
                let (entries, _) = buffer[..read].as_chunks();
                share += entries
                    .iter()
                    .map(|entry| self.share(u64::from_ne_bytes(*entry)))
                    .sum::<f64>();
                page += entries.len() as u64;
            }
        }
        Ok((share * PAGE as f64) as u64)
    }

    /// Of one page.
    fn share(&mut self, entry: u64) -> f64 {
        if entry & PRESENT == 0 || entry & OF_FILE != 0 {
            return 0.0;
        }
        if entry & ALONE != 0 {
            return 1.0;
        }
        match self.mapped(entry & FRAME) {
            // The page of zeros that stands for all that was not written.
            0 => 0.0,
            times => 1.0 / times as f64,
        }
    }

    fn mapped(&mut self, frame: u64) -> u64 {
        let Some(counts) = self.counts.as_ref().filter(|_| frame != 0) else {
            return 0;
        };
        *self.known.entry(frame).or_insert_with(|| {
            let mut count = [0; ENTRY as usize];
            let read = counts.read_exact_at(&mut count, frame * ENTRY);
            read.map_or(0, |()| u64::from_ne_bytes(count))
        })
    }
}

/// Where a mapping begins and ends, if it may have anonymous pages; of a line like
/// `7f0c8c000000-7f0c8c021000 rw-p 00000000 00:00 0 [heap]`.
fn private(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let is_private = words.next()?.ends_with('p');
    // Pages of the kernel's own: vvar, vdso, vsyscall.
    let is_kernels = words.nth(3).is_some_and(|name| name.starts_with("[v"));
    let address = |text| u64::from_str_radix(text, 16).ok();
    (is_private && !is_kernels).then_some((address(start)?, address(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_that_may_have_anonymous_pages() {
        let range = |line| private(line);
        assert_eq!(
            range("7f0c8c000000-7f0c8c021000 rw-p 00000000 00:00 0 [heap]"),
            Some((0x7f0c_8c00_0000, 0x7f0c_8c02_1000))
        );
        assert_eq!(
            range("1000-3000 r--p 00001000 fe:00 12 /usr/lib/a b.so"),
            Some((0x1000, 0x3000))
        );
        for none in [
            "1000-3000 rw-s 00000000 00:01 1 /dev/zero (deleted)",
            "7fff0000-7fff4000 r--p 00000000 00:00 0 [vvar]",
            "7fff4000-7fff6000 r-xp 00000000 00:00 0 [vdso]",
            "",
        ] {
            assert_eq!(range(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_no_anonymous_page_has_no_share() {
        let mut frames = Frames::default();
        assert_eq!(frames.share(PRESENT | ALONE | 7), 1.0);
        for none in [0, ALONE, PRESENT | OF_FILE | ALONE, PRESENT | 7] {
            assert_eq!(frames.share(none), 0.0, "{none:x}");
        }
        frames.known.insert(7, 4);
        frames.counts = File::open("/dev/null").ok();
        assert_eq!(frames.share(PRESENT | 7), 0.25);
        assert_eq!(frames.share(PRESENT | 8), 0.0);
    }

    #[test]
    fn what_this_process_writes_is_its_own() {
        const WRITTEN: usize = 64 << 20;
        let own = std::process::id();
        let before = Frames::open().share_of(own).expect("our own");
        // What nobody reads need not be written.
        let memory = std::hint::black_box(vec![1_u8; WRITTEN]);
        let after = Frames::open().share_of(own).expect("our own");
        let grown = after as f64 - before as f64;
        assert!((grown / WRITTEN as f64 - 1.0).abs() < 0.2, "{grown}");
        drop(memory);
        let error = Frames::open().share_of(u32::MAX).expect_err("nobody");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
