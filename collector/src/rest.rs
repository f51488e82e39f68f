//! How often work is done of which there may be any amount: it is to take 1 % of a core at most.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// Work that took some CPU time is not done again for so many times as long.
const TIMES: u32 = 100;

/// Since when, or from when on, it may be done again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest(Instant);

impl Rest {
    /// Before it is done first.
    pub(crate) fn none() -> Self {
        Self(Instant::now())
    }

    /// Does it.
    pub(crate) fn after<T>(work: impl FnOnce() -> T) -> (T, Self) {
        let before = cpu_time();
        let done = work();
        (done, Self(Instant::now() + (cpu_time() - before) * TIMES))
    }

    /// The same, but for 0.2 % of a core: of what seldom changes.
    pub(crate) fn seldom(self) -> Self {
        const TIMES: u32 = 5;
        let now = Instant::now();
        Self(now + self.0.saturating_duration_since(now) * TIMES)
    }

    pub(crate) fn is_over(self) -> bool {
        Instant::now() >= self.0
    }
}

/// What this thread has used.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_rests_a_hundred_times_as_long_as_it_took() {
        assert!(Rest::none().is_over());
        let before = cpu_time();
        let (took, rest) = Rest::after(|| {
            while cpu_time() - before < Duration::from_millis(20) {}
            cpu_time() - before
        });
        let left = rest.0 - Instant::now();
        assert!(
            !rest.is_over() && took * TIMES < left + Duration::from_millis(100),
            "{took:?} {left:?}"
        );
        let (_, rest) = Rest::after(|| std::thread::sleep(Duration::from_millis(20)));
        let left = rest.0.saturating_duration_since(Instant::now());
        assert!(left < Duration::from_millis(500), "asleep: {left:?}");
    }
}
