//! Processes forked by a worker, which cannot outlive it.

use anyhow::{Context, Result, anyhow, bail};
use std::io;

/// A child, ended and waited for when it is dropped.
#[derive(Debug)]
pub(crate) struct Child(libc::pid_t);

impl Child {
    /// Forks a child that runs `body` and ends; with a failure if that fails.
    ///
    /// Call it while there is one thread only: the child has no other.
    pub(crate) fn start(body: impl FnOnce() -> Result<()>) -> Result<Self> {
        let parent = std::process::id();
        // SAFETY: there is one thread, so the child may do whatever we may; it never returns.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()).context("cannot fork"),
            0 => {
                // SAFETY: no pointers.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                let orphaned = std::os::unix::process::parent_id() != parent;
                let failed = orphaned || body().is_err();
                exit_now(failed.into())
            }
            pid => Ok(Self(pid)),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.unsigned_abs()
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// If it ended with a failure.
    pub(crate) fn finish(self) -> Result<()> {
        let pid = self.0;
        std::mem::forget(self);
        wait(pid)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: no pointers; the pid is ours until it is waited for.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        let _ = wait(self.0);
    }
}

/// Waits for the end of a child of ours.
///
/// # Errors
/// If it ended with a failure.
pub(crate) fn wait(pid: libc::pid_t) -> Result<()> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is ours.
        if unsafe { libc::waitpid(pid, &raw mut status, 0) } == pid {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(anyhow!(error)).context("cannot wait for a child");
        }
    }
    if status != 0 {
        bail!("a child ended with wait status {status:#x}");
    }
    Ok(())
}

/// Ends this process without the destructors and buffers that are its parent's.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(status) }
}
