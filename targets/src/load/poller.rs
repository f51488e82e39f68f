//! Waiting for events to the nanosecond: an epoll instance of the load generator's own.

use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::epoll;
use rustix::io::Errno;

pub(crate) use epoll::EventFlags;

/// Events fetched at a time: few, so that a batch takes less than the millisecond from which on a
/// send counts as late.
const EVENTS: usize = 64;

/// An epoll instance.
pub(crate) struct Poller {
    epoll: OwnedFd,
    /// As the C library has them, for those of rustix cannot go to another thread.
    events: Vec<libc::epoll_event>,
}

impl Poller {
    /// An instance without sources. Takes the timer slack of the calling thread, and of those
    /// that it makes from now on, down to 1 ns.
    ///
    /// # Errors
    /// When there is no descriptor for it.
    pub(crate) fn new() -> rustix::io::Result<Self> {
        // Without it waits last 50 us longer than asked.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self {
            epoll,
            events: Vec::with_capacity(EVENTS),
        })
    }

    /// Reports `flags` of `source` under `token`.
    ///
    /// # Errors
    /// `PERM` for what cannot be waited for, such as a file.
    pub(crate) fn add(
        &self,
        source: impl AsFd,
        token: u64,
        flags: EventFlags,
    ) -> rustix::io::Result<()> {
        epoll::add(&self.epoll, source, epoll::EventData::new_u64(token), flags)
    }

    /// Reports `source` no more.
    ///
    /// # Errors
    /// When it was not reported.
    pub(crate) fn remove(&self, source: impl AsFd) -> rustix::io::Result<()> {
        epoll::delete(&self.epoll, source)
    }

    /// Waits at most `timeout_ns` for events, to be read with `event`. Answers how many.
    ///
    /// # Errors
    /// None that a correct program sees.
    pub(crate) fn wait(&mut self, timeout_ns: u64) -> rustix::io::Result<usize> {
        self.events.clear();
        match self.epoll_pwait2(timeout_ns) {
            Ok(()) | Err(Errno::INTR) => Ok(self.events.len()),
            Err(error) => Err(error),
        }
    }

    /// The system call, made directly: rustix rounds the time up to milliseconds, and glibc has it
    /// from 2.35 on only.
    fn epoll_pwait2(&mut self, timeout_ns: u64) -> rustix::io::Result<()> {
        let timeout = libc::timespec {
            tv_sec: (timeout_ns / 1_000_000_000) as i64,
            tv_nsec: (timeout_ns % 1_000_000_000) as i64,
        };
        // SAFETY: the kernel writes at most `EVENTS` events to the vector's room for as many, and
        // `epoll_event` is its layout of them; they count only when it says how many it wrote.
        let count = unsafe {
            let count = libc::syscall(
                libc::SYS_epoll_pwait2,
                self.epoll.as_raw_fd(),
                self.events.as_mut_ptr(),
                EVENTS,
                &raw const timeout,
                std::ptr::null::<libc::sigset_t>(),
                0_usize,
            );
            self.events.set_len(usize::try_from(count).unwrap_or(0));
            count
        };
        match count {
            0.. => Ok(()),
            _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
        }
    }

    /// Token and flags of an event of the last wait.
    pub(crate) fn event(&self, index: usize) -> (u64, EventFlags) {
        let event = self.events[index];
        (event.u64, EventFlags::from_bits_retain(event.events))
    }
}
