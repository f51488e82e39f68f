//! Perf software events of the kernel: to run programs on, or to record with.

use perf_event_open_sys::{
    bindings::{PERF_FLAG_FD_CLOEXEC, PERF_TYPE_SOFTWARE, perf_event_attr},
    perf_event_open,
};
use std::{
    io,
    os::fd::{FromRawFd, OwnedFd},
};

/// Minor page faults, at the end of their handling (`include/uapi/linux/perf_event.h`).
pub(crate) const PAGE_FAULTS_MIN: u64 = 5;
/// Major page faults, likewise.
pub(crate) const PAGE_FAULTS_MAJ: u64 = 6;

/// A software event on each CPU that is online, which overflows each time it happens.
///
/// # Errors
/// If the kernel refuses (needs CAP_PERFMON), or does not list its CPUs.
pub(crate) fn on_each_cpu(event: u64) -> io::Result<Vec<OwnedFd>> {
    let mut attributes = software(event);
    attributes.__bindgen_anon_1.sample_period = 1;
    of_each_cpu(&attributes)
}

/// An event of all tasks on each CPU that is online.
///
/// # Errors
/// The same.
pub(crate) fn of_each_cpu(attributes: &perf_event_attr) -> io::Result<Vec<OwnedFd>> {
    let events = online_cpus()?
        .into_iter()
        .map(|cpu| open(&mut attributes.clone(), cpu));
    // A CPU may have gone since.
    let there = |event: &io::Result<OwnedFd>| !matches!(event, Err(error) if error.raw_os_error() == Some(libc::ENODEV));
    events.filter(there).collect()
}

/// A software event, of which nothing more is asked yet.
pub(crate) fn software(event: u64) -> perf_event_attr {
    perf_event_attr {
        type_: PERF_TYPE_SOFTWARE,
        size: size_of::<perf_event_attr>() as u32,
        config: event,
        ..perf_event_attr::default()
    }
}

/// An event of all tasks on one CPU; ENODEV if that is offline.
pub(crate) fn open(attributes: &mut perf_event_attr, cpu: u32) -> io::Result<OwnedFd> {
    let (all_tasks, no_group) = (-1, -1);
    // SAFETY: the attributes are initialised, and live through the call.
    let fd = unsafe {
        perf_event_open(
            attributes,
            all_tasks,
            cpu.cast_signed(),
            no_group,
            PERF_FLAG_FD_CLOEXEC.into(),
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Numbers of the CPUs that run now.
///
/// # Errors
/// If the kernel does not list them, as where /sys is not mounted.
pub(crate) fn online_cpus() -> io::Result<Vec<u32>> {
    let list = std::fs::read_to_string("/sys/devices/system/cpu/online")?;
    Ok(cpus(list.trim()).collect())
}

/// The numbers in a list such as `0-3,5`.
fn cpus(list: &str) -> impl Iterator<Item = u32> {
    list.split(',')
        .filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some(first.parse().ok()?..=last.parse().ok()?)
        })
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_read() {
        let read = |list| cpus(list).collect::<Vec<_>>();
        assert_eq!(read("0-1"), [0, 1]);
        assert_eq!(read("0-3,5"), [0, 1, 2, 3, 5]);
        assert_eq!(read("0,2-4,9"), [0, 2, 3, 4, 9]);
        assert_eq!(read("0"), [0]);
        assert!(read("").is_empty());
    }

    #[test]
    fn the_cpu_of_this_test_is_online() {
        let online = online_cpus().expect("listed");
        assert!(
            online.contains(&(rustix::thread::sched_getcpu() as u32)),
            "{online:?}"
        );
    }
}
