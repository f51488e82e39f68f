//! A process that already runs, by its pid.

use anyhow::{Result, bail};
use procfs::{ProcError, process::Process};

/// The name of a process, if it can be watched: that pid is a process, not a thread of one.
///
/// # Errors
/// If there is no such process, or the pid is that of a thread.
pub fn name_of(pid: u32) -> Result<String> {
    let status = match Process::new(pid as i32).and_then(|process| process.status()) {
        Ok(status) => status,
        Err(ProcError::NotFound(_)) => bail!("cannot attach to pid {pid}: no such process"),
        Err(error) => bail!("cannot attach to pid {pid}: {error}"),
    };
    if status.tgid != pid as i32 {
        bail!(
            "cannot attach to pid {pid}: it is a thread of process {0}; use --pid {0}",
            status.tgid
        );
    }
    if has_ended(status.state.starts_with('Z'), status.threads) {
        bail!("cannot attach to pid {pid}: it has ended and waits for its parent");
    }
    Ok(status.name)
}

/// Whether a process has ended, and waits for its parent: a first thread that has ended before the
/// others is a zombie, but not its process.
pub(super) fn has_ended(is_zombie: bool, threads: u64) -> bool {
    is_zombie && threads <= 1
}

/// The process that started it, the one that started that, and so on.
pub fn ancestors(pid: u32) -> Vec<u32> {
    let parent = |pid: &u32| {
        let stat = Process::new(*pid as i32).and_then(|process| process.stat());
        stat.ok()
            .and_then(|stat| u32::try_from(stat.ppid).ok())
            .filter(|parent| *parent > 0)
    };
    std::iter::successors(parent(&pid), parent).collect()
}

/// The processes that it started and that are still its children.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let tasks = Process::new(pid as i32).and_then(|process| process.tasks());
    let tasks = tasks.into_iter().flatten().flatten();
    tasks
        .filter_map(|task| task.children().ok())
        .flatten()
        .collect()
}
