//! Perf software events of the kernel, to run programs on.

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd},
};

/// Minor page faults, at the end of their handling (`include/uapi/linux/perf_event.h`).
pub(crate) const PAGE_FAULTS_MIN: u64 = 5;
/// Major page faults, likewise.
pub(crate) const PAGE_FAULTS_MAJ: u64 = 6;

const TYPE_SOFTWARE: u32 = 1;
const FLAG_FD_CLOEXEC: libc::c_ulong = 8;

/// The first version of `struct perf_event_attr`; kernels take what is missing as zeros.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    breakpoint_kind: u32,
    breakpoint_address: u64,
}

/// A software event on each CPU that is online, which overflows each time it happens.
///
/// # Errors
/// If the kernel refuses (needs CAP_PERFMON), or does not list its CPUs.
pub(crate) fn on_each_cpu(event: u64) -> io::Result<Vec<OwnedFd>> {
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online")?;
    let events = cpus(online.trim()).map(|cpu| on_cpu(event, cpu));
    // A CPU may have gone since.
    let there = |event: &io::Result<OwnedFd>| !matches!(event, Err(error) if error.raw_os_error() == Some(libc::ENODEV));
    events.filter(there).collect()
}

fn on_cpu(config: u64, cpu: i32) -> io::Result<OwnedFd> {
    let attributes = Attributes {
        kind: TYPE_SOFTWARE,
        size: size_of::<Attributes>() as u32,
        config,
        sample_period: 1,
        ..Attributes::default()
    };
    // SAFETY: the attributes are as long as they say, and live through the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            -1,
            cpu,
            -1,
            FLAG_FD_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new file descriptor, which nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The numbers in a list such as `0-3,5`.
fn cpus(list: &str) -> impl Iterator<Item = i32> {
    list.split(',')
        .filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some(first.parse().ok()?..=last.parse().ok()?)
        })
        .flatten()
}

#[cfg(test)]
mod tests {
    #[test]
    fn lists_of_cpus_are_read() {
        let read = |list| super::cpus(list).collect::<Vec<_>>();
        assert_eq!(read("0-3,5"), [0, 1, 2, 3, 5]);
        assert_eq!(read("0"), [0]);
        assert!(read("").is_empty());
    }
}
