//! The io_uring of one core: what is asked of the kernel, and what it answers.
//!
//! Requests gather in the ring until the core waits, and go to the kernel together with that wait:
//! one system call for as many connections as are ready.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use io_uring::squeue::Flags;
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::buffers::{Buffers, GROUP};

/// Requests that can gather; a full ring is handed over early.
const REQUESTS: u32 = 1024;
/// Answers that fit without the kernel having to put them by.
const ANSWERS: u32 = 8192;

/// What an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// A client came in.
    Accept,
    /// Another core, or the main thread, has rung.
    Ring,
    /// The connection in this slot was sent something.
    Receive(usize),
    /// The connection in this slot could not send all of something at once.
    Send(usize),
    /// The connection in this slot has sent something.
    SendPatiently(usize),
    /// Something was given up: its own answer says all.
    Cancel,
}

/// An answer of the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) task: Task,
    /// A number of bytes, a descriptor, or an error below 0.
    pub(super) result: i32,
    /// The same request brings more answers.
    pub(super) more: bool,
    /// The buffer with what was received.
    pub(super) buffer: Option<u16>,
}

/// An io_uring that only the thread which made it uses.
pub(super) struct Ring {
    ring: IoUring,
    pub(super) buffers: Buffers,
}

impl Ring {
    /// A ring with buffers to receive in.
    ///
    /// # Errors
    /// When the kernel has no such rings, or does not let this process have one.
    pub(super) fn new() -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(ANSWERS)
            .build(REQUESTS)?;
        let buffers = Buffers::new(&ring.submitter())?;
        Ok(Self { ring, buffers })
    }

    /// Accepts clients one after another until told otherwise.
    pub(super) fn accept(&mut self, listener: RawFd) {
        let entry = opcode::AcceptMulti::new(Fd(listener)).flags(libc::SOCK_CLOEXEC);
        self.push(entry.build(), Task::Accept);
    }

    /// Tells of each write to an eventfd.
    pub(super) fn watch(&mut self, bell: RawFd) {
        let entry = opcode::PollAdd::new(Fd(bell), libc::POLLIN as u32).multi(true);
        self.push(entry.build(), Task::Ring);
    }

    /// Receives into the ring's buffers until told otherwise.
    pub(super) fn receive(&mut self, socket: RawFd, slot: usize) {
        let entry = opcode::RecvMulti::new(Fd(socket), GROUP);
        self.push(entry.build(), Task::Receive(slot));
    }

    /// Sends what of `bytes` the socket has room for. Only if that is not all of them there is an
    /// answer, an error if it is nothing; it is there after the next `wait`, which so is not cut short
    /// by what goes well.
    ///
    /// # Safety
    /// They stay where and what they are until then.
    pub(super) unsafe fn send(&mut self, socket: RawFd, bytes: &[u8], slot: usize) {
        let entry = send(socket, bytes, libc::MSG_DONTWAIT).flags(Flags::SKIP_SUCCESS);
        self.push(entry, Task::Send(slot));
    }

    /// Sends all of `bytes`, when there is room. There is an answer.
    ///
    /// # Safety
    /// They stay where and what they are until it comes.
    pub(super) unsafe fn send_patiently(&mut self, socket: RawFd, bytes: &[u8], slot: usize) {
        self.push(send(socket, bytes, 0), Task::SendPatiently(slot));
    }

    /// Gives a request up; it still gets its last answer.
    pub(super) fn cancel(&mut self, task: Task) {
        let entry = opcode::AsyncCancel::new(task.encode());
        self.push(entry.build(), Task::Cancel);
    }

    /// Hands over what has gathered, and waits for an answer, no longer than `timeout`. Whether the
    /// kernel has taken all of it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        let waited = match timeout {
            Some(Duration::ZERO) => self.ring.submit(),
            Some(timeout) => {
                let timeout = Timespec::from(timeout);
                let arguments = SubmitArgs::new().timespec(&timeout);
                self.ring.submitter().submit_with_args(1, &arguments)
            }
            None => self.ring.submit_and_wait(1),
        };
        match waited {
            Ok(_) => Ok(self.ring.submission().is_empty()),
            // The time is over; a signal came; answers are to be taken first.
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => {
                    Ok(self.ring.submission().is_empty())
                }
                _ => Err(error),
            },
        }
    }

    /// Moves the answers that have come to `answers`.
    pub(super) fn take_answers(&mut self, answers: &mut Vec<Answer>) {
        let completion = self.ring.completion();
        answers.extend(completion.filter_map(|entry| {
            let flags = entry.flags();
            Some(Answer {
                task: Task::decode(entry.user_data())?,
                result: entry.result(),
                more: cqueue::more(flags),
                buffer: cqueue::buffer_select(flags),
            })
        }));
    }

    fn push(&mut self, entry: squeue::Entry, task: Task) {
        let entry = entry.user_data(task.encode());
        // SAFETY: what an entry points to is only the bytes to send, of which those who send tell.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            // Full: handed over, it is empty. What the kernel says now it says again in `wait`.
            let _ = self.ring.submit();
        }
    }
}

/// A request to send `bytes`, all of them if `flags` do not say otherwise.
fn send(socket: RawFd, bytes: &[u8], flags: i32) -> squeue::Entry {
    let length = bytes.len().try_into().unwrap_or(u32::MAX);
    let flags = flags | libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
    opcode::Send::new(Fd(socket), bytes.as_ptr(), length)
        .flags(flags)
        .build()
}

impl Task {
    const SLOT_BITS: u32 = 56;

    fn encode(self) -> u64 {
        let (kind, slot) = match self {
            Self::Accept => (0, 0),
            Self::Ring => (1, 0),
            Self::Receive(slot) => (2, slot),
            Self::Send(slot) => (3, slot),
            Self::SendPatiently(slot) => (4, slot),
            Self::Cancel => (5, 0),
        };
        (kind << Self::SLOT_BITS) | slot as u64
    }

    fn decode(code: u64) -> Option<Self> {
        let slot = (code & ((1 << Self::SLOT_BITS) - 1)) as usize;
        Some(match code >> Self::SLOT_BITS {
            0 => Self::Accept,
            1 => Self::Ring,
            2 => Self::Receive(slot),
            3 => Self::Send(slot),
            4 => Self::SendPatiently(slot),
            5 => Self::Cancel,
            _ => return None,
        })
    }
}
