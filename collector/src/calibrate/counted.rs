//! Instructions, as the CPU counts them where it has a PMU.

use anyhow::Result;
use probe_ebpf::counters::{Counters, HARDWARE, Source};
use procfs::process::Process;

/// Instructions in user and kernel mode that all threads of this process execute while `work` is done. None where there
/// is no PMU, or we may not ask it.
pub(crate) fn instructions(work: impl FnOnce() -> Result<()>) -> Result<Option<f64>> {
    let threads = Process::myself()?.tasks()?;
    let threads: Vec<u32> = threads
        .map(|task| Ok(task?.tid as u32))
        .collect::<Result<_>>()?;
    let Ok(mut counters) = Counters::open(Source::Hardware, &threads) else {
        return Ok(None);
    };
    let before = count(&mut counters);
    work()?;
    let after = count(&mut counters);
    Ok(after.zip(before).map(|(after, before)| after - before))
}

/// Counted so far, and in proportion where counters had to take turns.
fn count(counters: &mut Counters) -> Option<f64> {
    let place = HARDWARE.iter().position(|name| *name == "instructions");
    let reading = counters.read().ok()?.get(place?).copied()??;
    Some(match reading.running_ns {
        0 => 0.0,
        running => reading.count as f64 * reading.enabled_ns as f64 / running as f64,
    })
}
