//! On which CPU a task runs, among those that we may use.

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The CPUs we may use. Ask before anything is pinned.
#[derive(Clone, Debug)]
pub(crate) struct Cpus {
    /// Where the measuring task runs: the last one, since the first handles most interrupts.
    pub(crate) home: usize,
    /// The others.
    pub(crate) others: Vec<usize>,
}

impl Cpus {
    pub(crate) fn allowed() -> Result<Self> {
        let set = sched_getaffinity(None).context("cannot tell which CPUs we may use")?;
        let mut others: Vec<usize> = (0..CpuSet::MAX_CPU)
            .filter(|&cpu| set.is_set(cpu))
            .collect();
        let home = others.pop().context("there is no CPU that we may use")?;
        Ok(Self { home, others })
    }
}

/// From now on the calling thread, and what it creates, runs on this CPU only.
pub(crate) fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("cannot run on CPU {cpu} only"))
}

/// From now on a task that the calling thread wakes does not take the CPU from it (batch scheduling,
/// which the tasks it creates inherit): a token is then passed with one switch, and not with one to
/// the receiver and another one back to the sender, which is yet to go to sleep.
pub(crate) fn let_wakers_go_on() -> Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameters are ours.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()).context("cannot use batch scheduling"),
    }
}

/// Pins the calling thread to the home CPU.
pub(crate) fn pin_home() -> Result<Cpus> {
    let cpus = Cpus::allowed()?;
    pin(cpus.home)?;
    Ok(cpus)
}
