//! Signals as a descriptor to wait for beside sockets, so that no handler interrupts the work.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::c_int;

/// Signals that are blocked and read from a descriptor instead.
#[derive(Debug)]
pub(crate) struct Signals {
    descriptor: OwnedFd,
    set: libc::sigset_t,
}

impl Signals {
    /// Blocks `signals` in this thread and all that it makes, and catches them.
    ///
    /// # Errors
    /// When no descriptor can be made.
    pub(crate) fn catch(signals: &[c_int]) -> std::io::Result<Self> {
        let mut set = std::mem::MaybeUninit::uninit();
        // SAFETY: the set is emptied before its first use; all pointers are to live locals.
        let (descriptor, set) = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for &signal in signals {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
            let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
            (libc::signalfd(-1, set.as_ptr(), flags), set.assume_init())
        };
        if descriptor < 0 {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and has no other owner.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Self { descriptor, set })
    }

    /// The next signal caught, `None` if there is none now.
    pub(crate) fn next(&self) -> Option<c_int> {
        let mut info = std::mem::MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let bytes = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the buffer is as large as said; it is read only if it was filled.
        unsafe {
            let read = libc::read(self.descriptor.as_raw_fd(), info.as_mut_ptr().cast(), bytes);
            (read == bytes as isize).then(|| info.assume_init().ssi_signo as c_int)
        }
    }

    /// Lets the signals through again, with their handlers; for a forked child.
    pub(crate) fn release(&self) {
        // SAFETY: the set was made in `catch`.
        unsafe {
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const self.set, std::ptr::null_mut())
        };
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}

/// Whether `signal` asks the program to end.
pub(crate) fn asks_to_end(signal: c_int) -> bool {
    matches!(signal, libc::SIGTERM | libc::SIGINT)
}
