//! The kernel's clocks, in nanoseconds.

use rustix::time::{ClockId, clock_gettime};

/// What that clock shows now. Snapshots have `CLOCK_MONOTONIC`.
pub(crate) fn now_ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
