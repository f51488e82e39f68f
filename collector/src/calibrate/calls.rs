//! A system call that does next to nothing.

use super::{
    placement::pin_home,
    sampling::Many,
    stopwatch::Stopwatch,
    worker::{Bench, Variant},
};
use anyhow::Result;

/// `getppid(2)`, entered each time: no library caches it and no vDSO answers it.
pub(crate) fn system_call(bench: &mut Bench) -> Result<()> {
    pin_home()?;
    let stopwatch = Stopwatch::of_thread();
    let sampled = bench.budget.batches(&mut Many(1, |times| {
        stopwatch.time(|| {
            for _ in 0..times {
                // SAFETY: a system call without arguments.
                unsafe { libc::syscall(libc::SYS_getppid) };
            }
            Ok(())
        })
    }))?;
    bench.tell(Variant::new("getppid"), sampled)
}
