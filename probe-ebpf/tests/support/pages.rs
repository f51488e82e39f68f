//! Pages that are mapped, and then written or read one by one.
#![allow(dead_code, unreachable_pub)]

use std::{fs::File, io::Write, os::fd::FromRawFd, ptr};

/// Bytes of so many small pages, not one of them there yet.
pub fn map(pages: usize, flags: i32, file: i32) -> *mut u8 {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, which the advice is for.
    unsafe {
        // The kernel may make a huge page of small ones behind our back: khugepaged.
        assert_eq!(libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
        let start = libc::mmap(ptr::null_mut(), pages * 4096, protection, flags, file, 0);
        assert_ne!(start, libc::MAP_FAILED, "mmap");
        start.cast()
    }
}

pub const HUGE: usize = 2 << 20;

/// Whether the kernel is told to make none, which is then said.
pub fn has_no_huge_pages() -> bool {
    let choice = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    let is_off = choice.is_ok_and(|choice| choice.contains("[never]"));
    if is_off {
        println!("SKIP: transparent huge pages are switched off");
    }
    is_off
}

/// Room for so many huge pages, not one of them there yet.
pub fn map_huge(count: usize) -> *mut u8 {
    let start = map((count + 1) * HUGE / 4096, PRIVATE, -1);
    // SAFETY: there is one more than what is used; the advice is for part of our mapping.
    unsafe {
        let start = start.add(start.align_offset(HUGE));
        assert_eq!(libc::prctl(libc::PR_SET_THP_DISABLE, 0, 0, 0, 0), 0);
        libc::madvise(start.cast(), count * HUGE, libc::MADV_HUGEPAGE);
        start
    }
}

pub const PRIVATE: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
pub const SHARED: i32 = libc::MAP_SHARED | libc::MAP_ANONYMOUS;

pub fn write_each(start: *mut u8, pages: usize) {
    for page in 0..pages {
        // SAFETY: callers map so many pages at `start`, for writing.
        unsafe { start.add(page * 4096).write_volatile(1) };
    }
}

pub fn read_each(start: *mut u8, pages: usize) {
    for page in 0..pages {
        // SAFETY: callers map so many pages at `start`.
        unsafe { start.add(page * 4096).read_volatile() };
    }
}

/// Forks; the child runs `body` and is gone when this returns.
pub fn in_child(body: impl FnOnce()) {
    // SAFETY: the child runs `body` alone and leaves by _exit.
    unsafe {
        let pid = libc::fork();
        assert!(pid >= 0, "fork");
        if pid == 0 {
            body();
            libc::_exit(0);
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
        assert_eq!(status, 0, "the child failed");
    }
}

/// A file of so many pages, in memory.
pub fn file(pages: usize) -> File {
    // SAFETY: makes a file that nobody else has.
    let mut file = unsafe {
        let fd = libc::memfd_create(c"connscope".as_ptr(), 0);
        assert!(fd >= 0, "memfd_create");
        File::from_raw_fd(fd)
    };
    for _ in 0..pages {
        file.write_all(&[7; 4096]).expect("memory");
    }
    file
}
