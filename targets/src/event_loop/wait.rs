//! Waiting for events to the nanosecond, which mio does to the millisecond: it calls `epoll_wait`.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::{Poll, Token};

/// Events that the kernel has reported.
pub(crate) struct Ready {
    events: Vec<libc::epoll_event>,
    /// The kernel has `epoll_pwait2` (since 5.11), and lets us call it.
    to_the_nanosecond: bool,
}

/// What the kernel says of one descriptor.
#[derive(Clone, Copy)]
pub(crate) struct Event {
    flags: u32,
    /// The descriptor's name.
    pub(crate) token: Token,
}

impl Event {
    /// What epoll's `flags` say of the descriptor named `token`.
    pub(crate) fn new(flags: u32, token: Token) -> Self {
        Self { flags, token }
    }

    /// Nothing more will come, or the connection failed.
    pub(crate) fn is_read_closed(self) -> bool {
        self.has(libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR)
    }

    /// A read may bring something, if only the end.
    pub(crate) fn is_readable(self) -> bool {
        self.has(libc::EPOLLIN) || self.is_read_closed()
    }

    /// A write may be taken, or fail.
    pub(crate) fn is_writable(self) -> bool {
        self.has(libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR)
    }

    /// The connection failed, or has ended in both directions.
    pub(crate) fn is_failed(self) -> bool {
        self.has(libc::EPOLLHUP | libc::EPOLLERR)
    }

    fn has(self, flags: i32) -> bool {
        self.flags & flags.cast_unsigned() != 0
    }
}

impl Ready {
    /// Room for so many events at once.
    pub(crate) fn with_capacity(events: usize) -> Self {
        Self {
            events: Vec::with_capacity(events),
            to_the_nanosecond: true,
        }
    }

    /// Waits for events of `poll`, no longer than `timeout`.
    ///
    /// # Errors
    /// If the kernel refuses, or a signal comes.
    pub(crate) fn wait(&mut self, poll: &Poll, timeout: Option<Duration>) -> io::Result<()> {
        self.events.clear();
        if self.to_the_nanosecond {
            match self.pwait2(poll, timeout) {
                // Sandboxes refuse what they do not know with EPERM.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    self.to_the_nanosecond = false;
                }
                waited => return waited,
            }
        }
        // Rounded up: a timer that is not due yet would only be waited for again.
        let milliseconds = timeout.map_or(-1, |timeout| {
            i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
        });
        let room = self.events.capacity() as i32;
        // SAFETY: the buffer has room for so many events.
        let count = unsafe {
            let into = self.events.as_mut_ptr();
            libc::epoll_wait(poll.as_raw_fd(), into, room, milliseconds)
        };
        self.take(count.into())
    }

    fn pwait2(&mut self, poll: &Poll, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|timeout| libc::timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let timeout = timeout
            .as_ref()
            .map_or(std::ptr::null(), std::ptr::from_ref);
        let no_signals = std::ptr::null::<libc::sigset_t>();
        // SAFETY: the buffer has room for so many events, and the time lives through the call.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                poll.as_raw_fd(),
                self.events.as_mut_ptr(),
                self.events.capacity() as libc::c_int,
                timeout,
                no_signals,
                0_usize,
            )
        };
        self.take(count)
    }

    fn take(&mut self, count: libc::c_long) -> io::Result<()> {
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        // SAFETY: the kernel has written so many, no more than there is room for.
        unsafe { self.events.set_len(count) };
        Ok(())
    }

    /// The events that the last wait has brought.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Event> {
        let events = self.events.iter();
        events.map(|event| Event::new(event.events, Token(event.u64 as usize)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// On a kernel that has the call and on one that has not.
    #[test]
    fn a_wait_is_never_too_short_and_fine_where_the_kernel_allows() {
        let poll = Poll::new().expect("epoll");
        let time = Duration::from_micros(300);
        let shortest = |ready: &mut Ready| {
            let waits = (0..200).map(|_| {
                let begun = Instant::now();
                ready.wait(&poll, Some(time)).expect("waits");
                assert_eq!(ready.iter().count(), 0);
                begun.elapsed()
            });
            waits.min().expect("some")
        };
        let mut ready = Ready::with_capacity(8);
        let fine = shortest(&mut ready);
        assert!(fine >= time, "{fine:?}");
        if ready.to_the_nanosecond {
            assert!(fine < Duration::from_micros(900), "{fine:?}");
        }
        ready.to_the_nanosecond = false;
        let coarse = shortest(&mut ready);
        assert!(coarse >= Duration::from_micros(999), "{coarse:?}");
    }
}
