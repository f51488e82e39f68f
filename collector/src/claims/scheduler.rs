//! Which scheduler picks tasks here, how often its timer ticks, and how long tasks keep a CPU that
//! others want.

use super::{Family, Spec, round::Round};
use crate::{
    calibrate::placement::{Cpus, pin},
    figures::Unit,
};
use anyhow::{Context, Result, bail};
use rustix::time::{ClockId, clock_gettime};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

pub(super) const FAMILY: Family = Family {
    name: "scheduler",
    figures: &[
        Spec {
            name: "scheduler_is_cfs",
            unit: Unit::YesNo,
            axis: "",
            method: "kernel version, EEVDF since 6.6; and /sys/kernel/sched_ext/state",
        },
        Spec {
            name: "timer_tick",
            unit: Unit::Seconds,
            axis: "",
            method: "the smallest of 50 steps of CLOCK_MONOTONIC_COARSE, which the timer interrupt moves on",
        },
        Spec {
            name: "time_slice",
            unit: Unit::Seconds,
            axis: "",
            method: "two threads that never sleep, on one CPU: CPU time by their involuntary switches \
                     (getrusage)",
        },
        Spec {
            name: "slice_switch_rate",
            unit: Unit::PerSecond,
            axis: "",
            method: "involuntary switches of the two, a second",
        },
    ],
    takes_ms: [1_100, 600],
    take,
};

/// How long the two threads share a CPU.
const SHARED: [Duration; 2] = [Duration::from_millis(800), Duration::from_millis(500)];
/// Steps of the clock that are looked at.
const STEPS: usize = 50;
/// The first kernel with EEVDF.
const EEVDF: (u32, u32) = (6, 6);

fn take(round: &mut Round<'_>) -> Result<()> {
    let (cfs, name) = scheduler(&rustix::system::uname().release().to_string_lossy())?;
    round.tell("scheduler_is_cfs", vec![f64::from(u8::from(cfs))]);
    round.note("scheduler_is_cfs", "", name);
    round.tell("timer_tick", vec![tick()]);
    let shared = SHARED[usize::from(round.setting.quick)];
    let turns = share_a_cpu(shared)?;
    let switches: u64 = turns.iter().map(|turn| turn.switches).sum();
    if switches == 0 {
        bail!("two threads on one CPU made no switch in {shared:?}");
    }
    let slices = turns.iter().filter(|turn| turn.switches > 0);
    let slices = slices.map(|turn| turn.cpu.as_secs_f64() / turn.switches as f64);
    round.tell("time_slice", slices.collect());
    round.tell(
        "slice_switch_rate",
        vec![switches as f64 / shared.as_secs_f64()],
    );
    Ok(())
}

/// Whether it is CFS, and what it is.
fn scheduler(release: &str) -> Result<(bool, String)> {
    let mut numbers = release.split(|sign: char| !sign.is_ascii_digit());
    let mut number = || numbers.next().and_then(|word| word.parse::<u32>().ok());
    let version = number()
        .zip(number())
        .with_context(|| format!("no version in {release:?}"))?;
    let on = |path| fs::read_to_string(path).is_ok_and(|state: String| state.trim() == "enabled");
    if on("/sys/kernel/sched_ext/state") {
        let name = fs::read_to_string("/sys/kernel/sched_ext/root/ops").unwrap_or_default();
        return Ok((
            false,
            format!("a scheduler in BPF (sched_ext): {}", name.trim()),
        ));
    }
    Ok(match version >= EEVDF {
        true => (
            false,
            format!(
                "EEVDF, which took the place of CFS in Linux {}.{}",
                EEVDF.0, EEVDF.1
            ),
        ),
        false => (true, "CFS".into()),
    })
}

/// The smallest step of the coarse clock, in seconds: while the thread that looks has no CPU, it misses some.
fn tick() -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::MonotonicCoarse);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let (mut smallest, mut before) = (f64::INFINITY, now());
    for _ in 0..STEPS {
        let mut after = now();
        while after <= before {
            after = now();
        }
        smallest = smallest.min(after - before);
        before = after;
    }
    smallest
}

/// What a thread had of a CPU.
struct Turn {
    cpu: Duration,
    switches: u64,
}

fn share_a_cpu(time: Duration) -> Result<Vec<Turn>> {
    let home = Cpus::allowed()?.home;
    thread::scope(|scope| {
        let spin = || -> Result<Turn> {
            pin(home)?;
            let end = Instant::now() + time;
            let before = usage();
            while Instant::now() < end {}
            let after = usage();
            Ok(Turn {
                cpu: after.0.saturating_sub(before.0),
                switches: after.1 - before.1,
            })
        };
        let threads = [scope.spawn(spin), scope.spawn(spin)];
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| bail!("a thread panicked")))
            .collect()
    })
}

/// CPU time and involuntary switches of the calling thread.
fn usage() -> (Duration, u64) {
    // SAFETY: plain integers, which the kernel fills in.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
        usage
    };
    let time = |it: libc::timeval| Duration::new(it.tv_sec as u64, it.tv_usec as u32 * 1_000);
    (
        time(usage.ru_utime) + time(usage.ru_stime),
        usage.ru_nivcsw as u64,
    )
}

#[cfg(test)]
mod tests {
    use super::scheduler;

    #[test]
    fn eevdf_took_the_place_of_cfs_in_6_6() {
        // Unless a scheduler in BPF runs here.
        for (release, cfs) in [
            ("6.5.13", true),
            ("6.6.0-rc1", false),
            ("6.18.44-x", false),
            ("5.10", true),
        ] {
            assert_eq!(scheduler(release).expect("a version").0, cfs, "{release}");
        }
        assert!(scheduler("linux").is_err());
    }
}
