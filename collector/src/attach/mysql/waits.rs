//! At which descriptor a thread waits, by the system call that it sleeps in.

use crate::attach::memory::Memory;
use std::fs;

/// Calls with a list of descriptors, of which a thread that serves one connection gives one.
#[cfg(target_arch = "x86_64")]
const POLLS: [i64; 2] = [libc::SYS_poll, libc::SYS_ppoll];
#[cfg(not(target_arch = "x86_64"))]
const POLLS: [i64; 1] = [libc::SYS_ppoll];

/// Calls whose first argument is the descriptor.
const TRANSFERS: [i64; 8] = [
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
];

/// A system call that a thread sleeps in.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    number: i64,
    /// The first two arguments.
    arguments: [u64; 2],
    /// All of it, stack and instruction pointers too.
    text: String,
}

/// The one descriptor that a thread waits at; none if it runs, or waits for something else, or if it went on
/// while it was looked at.
pub(super) fn descriptor(pid: u32, tid: u32, memory: &Memory) -> Option<i32> {
    let call = Call::of(pid, tid)?;
    let [first, second] = call.arguments;
    let descriptor = match call.number {
        poll if POLLS.contains(&poll) && second == 1 => memory.word(first).ok()? as i32,
        transfer if TRANSFERS.contains(&transfer) => first as i32,
        _ => return None,
    };
    (Call::of(pid, tid)? == call).then_some(descriptor)
}

impl Call {
    fn of(pid: u32, tid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")).ok()?;
        Self::parse(text)
    }

    /// Of a line like `7 0x7f49e2d72928 0x1 0xffffffff 0x40 0x0 0x0 0x7f49e2d728f0 0x7f49f911a26f`.
    fn parse(text: String) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let number = words.next()?.parse().ok()?;
        let mut argument = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
        let arguments = [argument()?, argument()?];
        Some(Self {
            number,
            arguments,
            text,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach::sockets::socket_of;
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::thread::gettid;
    use std::io::Read as _;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    #[test]
    fn a_line_of_the_kernel() {
        let parsed = |text: &str| Call::parse(text.to_owned()).map(|it| (it.number, it.arguments));
        assert_eq!(
            parsed("7 0x7f49e2d72928 0x1 0xffffffff 0x0 0x0 0x0 0x1 0x2\n"),
            Some((7, [0x7f49_e2d7_2928, 1]))
        );
        for none in ["running\n", "-1 0x7ffe 0x7f49\n", ""] {
            let call = parsed(none).filter(|(number, _)| *number >= 0);
            assert_eq!(call, None, "{none}");
        }
    }

    /// Waits in a thread of its own by what `wait` does, and says at what it was found.
    #[track_caller]
    fn found_at(wait: fn(&mut UnixStream)) {
        let (mut ours, theirs) = UnixStream::pair().expect("two sockets");
        let expected = ours.as_raw_fd();
        let (tell, told) = std::sync::mpsc::channel();
        let waiting = std::thread::spawn(move || {
            tell.send(gettid().as_raw_nonzero().get() as u32)
                .expect("it is awaited");
            wait(&mut ours);
        });
        let tid = told.recv().expect("a thread");
        let pid = std::process::id();
        let memory = Memory::of(pid).expect("our own");
        let end = Instant::now() + Duration::from_secs(30);
        while descriptor(pid, tid, &memory) != Some(expected) {
            assert!(Instant::now() < end, "not found waiting");
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(socket_of(pid, expected).is_some());
        drop(theirs);
        waiting.join().expect("it goes on");
    }

    #[test]
    fn a_thread_that_polls_or_reads() {
        found_at(|ours| {
            let _ = poll(&mut [PollFd::new(ours, PollFlags::IN)], None);
        });
        found_at(|ours| {
            let _ = ours.read(&mut [0]);
        });
    }
}
