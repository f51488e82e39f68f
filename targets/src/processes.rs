//! Forked processes: those that a server has, from their first instruction to their last.

use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use libc::pid_t;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{
    Pid, Signal, WaitOptions, kill_process, set_parent_process_death_signal, wait,
};

use crate::serve::DRAIN;
use crate::signals::Signals;

/// The processes that serve, and what each does.
#[derive(Debug)]
pub(crate) struct Children<T> {
    running: HashMap<Pid, T>,
}

impl<T> Children<T> {
    /// No children.
    pub(crate) fn none() -> Self {
        Self {
            running: HashMap::new(),
        }
    }

    /// The children that have not been reaped.
    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }

    /// Does `work` in a new process, which ends when it is done, and at once when its parent dies.
    /// To be called by a process of one thread.
    ///
    /// # Errors
    /// When there is no process to be had.
    pub(crate) fn fork(&mut self, task: T, work: impl FnOnce()) -> io::Result<()> {
        let parent = rustix::process::getpid();
        // SAFETY: this process has one thread, so the child may go on as it likes.
        match unsafe { libc::fork() } {
            0 => be_child(parent, work),
            pid => match Pid::from_raw(pid.max(0) as pid_t) {
                Some(child) => {
                    self.running.insert(child, task);
                    Ok(())
                }
                None => Err(io::Error::last_os_error()),
            },
        }
    }

    /// Takes leave of the children that have ended, however they did; tells `ended` of each.
    pub(crate) fn reap(&mut self, mut ended: impl FnMut(T)) {
        while let Ok(Some((child, _))) = wait(WaitOptions::NOHANG) {
            if let Some(task) = self.running.remove(&child) {
                ended(task);
            }
        }
    }

    /// Asks all children to end, and makes them after `DRAIN`; `signals` catches their ends.
    pub(crate) fn end(mut self, signals: &Signals, mut ended: impl FnMut(T)) {
        let deadline = Instant::now() + DRAIN;
        self.signal_all(Signal::TERM);
        self.reap(&mut ended);
        while !self.running.is_empty() {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                self.signal_all(Signal::KILL);
                return;
            };
            let left = left.try_into().unwrap_or_default();
            let mut waited = [PollFd::new(signals, PollFlags::IN)];
            let _ = poll(&mut waited, Some(&left));
            while signals.next().is_some() {}
            self.reap(&mut ended);
        }
    }

    fn signal_all(&self, signal: Signal) {
        for &child in self.running.keys() {
            // Not reaped yet, so the number is still this child's.
            let _ = kill_process(child, signal);
        }
    }
}

/// What a child does from its first to its last instruction.
fn be_child(parent: Pid, work: impl FnOnce()) -> ! {
    let done = catch_unwind(AssertUnwindSafe(|| {
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        // The parent may have died before the line above.
        if rustix::process::getppid() == Some(parent) {
            work();
        }
    }));
    // SAFETY: ends this process at once: what is left to clean up is the parent's.
    unsafe { libc::_exit(if done.is_ok() { 0 } else { 101 }) }
}
