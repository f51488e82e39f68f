//! Burning CPU time, for `WORK`.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Burns `cpu` of this thread's own time: time spent preempted does not count.
pub(crate) fn burn(cpu: Duration) {
    let end = thread_cpu() + cpu;
    // The clock of the thread's CPU time is a system call, the wall clock is not: so spin by the
    // wall clock, then see how much of that was ours.
    loop {
        let missing = end.saturating_sub(thread_cpu());
        if missing.is_zero() {
            return;
        }
        let spin = Instant::now();
        while spin.elapsed() < missing {
            std::hint::spin_loop();
        }
    }
}

/// CPU time that this thread has used.
pub(crate) fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
