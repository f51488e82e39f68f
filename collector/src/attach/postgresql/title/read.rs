//! The title of a process, from `/proc/PID/cmdline`, by one open, one read and one close: 500 of them each
//! second must not be felt.

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, read as read_some};
use std::io::Write as _;

/// What of a title is read: the names of a cluster, a user, a database and a host, each of greatest length.
const LENGTH: usize = 2048;

/// The title of a process, without the zero bytes behind it; `None` if it has ended, or is of the kernel. What
/// is not in UTF-8 is replaced.
#[must_use]
pub fn read(pid: u32) -> Option<String> {
    let mut path = [0; 32];
    write!(&mut path[..], "/proc/{pid}/cmdline").ok()?;
    let path = std::ffi::CStr::from_bytes_until_nul(&path).ok()?;
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut bytes = [0; LENGTH];
    let length = loop {
        match read_some(&file, &mut bytes) {
            Err(Errno::INTR) => (),
            length => break length.ok()?,
        }
    };
    let end = bytes[..length].iter().rposition(|byte| *byte != 0)?;
    Some(String::from_utf8_lossy(&bytes[..=end]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_of_this_process() {
        let own = read(std::process::id()).expect("it runs");
        let first = std::env::args().next().expect("a program");
        assert_eq!(own.split('\0').next(), Some(first.as_str()));
        assert!(!own.ends_with('\0'));
        assert_eq!(read(u32::MAX), None);
    }
}
