//! How long something took: by the clock on the wall, or in CPU time of the tasks that took part.
//!
//! What never waits takes as much CPU time as time; where other tasks want the CPU too, CPU time is
//! what is left when their turns are taken off.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// Below this share of CPU time in time, others had the CPU for a part of a sample.
const QUIET_SHARE: f64 = 0.97;

/// Above this number of switches for each that was planned, the tasks got in each other's way.
const MOST_SWITCHES: f64 = 1.02;

/// What counts as time.
#[derive(Clone, Debug)]
pub(crate) enum Stopwatch {
    /// Each second, whoever has the CPU.
    Wall,
    /// CPU time by these clocks, added.
    Cpu(Vec<libc::clockid_t>),
}

/// How long something took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Took {
    /// What the stopwatch counts.
    pub(crate) time: Duration,
    /// By the clock on the wall.
    pub(crate) wall: Duration,
    /// Something else happened than was to be measured.
    pub(crate) spoilt: bool,
}

/// When it began, and what the CPU clocks showed then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    wall: Instant,
    cpu: Duration,
}

impl Stopwatch {
    /// CPU time of the calling thread.
    pub(crate) fn of_thread() -> Self {
        Self::Cpu(vec![libc::CLOCK_THREAD_CPUTIME_ID])
    }

    /// CPU time of all threads of this process.
    pub(crate) fn of_process() -> Self {
        Self::Cpu(vec![libc::CLOCK_PROCESS_CPUTIME_ID])
    }

    /// That of this process and of others together.
    pub(crate) fn of_processes(others: impl Iterator<Item = u32>) -> Result<Self> {
        let others = others.map(clock_of);
        let own = std::iter::once(Ok(libc::CLOCK_PROCESS_CPUTIME_ID));
        Ok(Self::Cpu(others.chain(own).collect::<Result<_>>()?))
    }

    pub(crate) fn begin(&self) -> Begun {
        Begun {
            cpu: self.cpu(),
            wall: Instant::now(),
        }
    }

    pub(crate) fn end(&self, begun: Begun) -> Took {
        let wall = begun.wall.elapsed();
        let time = match self {
            Self::Wall => wall,
            Self::Cpu(_) => self.cpu().saturating_sub(begun.cpu),
        };
        Took {
            time,
            wall,
            spoilt: false,
        }
    }

    /// How long `work` takes.
    pub(crate) fn time(&self, work: impl FnOnce() -> Result<()>) -> Result<Took> {
        let begun = self.begin();
        work()?;
        Ok(self.end(begun))
    }

    /// What it shows though nothing was done: the median of many.
    pub(crate) fn overhead_ns(&self) -> f64 {
        const TIMES: usize = 101;
        let once = |_| self.end(self.begin()).time.as_nanos() as f64;
        let mut shown: Vec<f64> = (0..TIMES).map(once).collect();
        shown.sort_by(f64::total_cmp);
        shown[TIMES / 2]
    }

    fn cpu(&self) -> Duration {
        match self {
            Self::Wall => Duration::ZERO,
            Self::Cpu(clocks) => clocks.iter().map(|&clock| reading(clock)).sum(),
        }
    }
}

impl Took {
    /// By the clock on the wall.
    pub(crate) fn of(time: Duration) -> Self {
        Self {
            time,
            wall: time,
            spoilt: false,
        }
    }

    /// The same, spoilt if `switches` were counted where there should have been `planned`, with some
    /// to spare for turns of other tasks.
    pub(crate) fn with_switches(self, switches: u64, planned: u64) -> Self {
        let spoilt = switches as f64 > planned as f64 * MOST_SWITCHES + 1.0;
        Self {
            spoilt: self.spoilt || spoilt,
            ..self
        }
    }

    /// Whether no other task had the CPU meanwhile, as far as the stopwatch can tell.
    pub(crate) fn quiet(&self) -> bool {
        !self.spoilt && self.time.as_secs_f64() >= QUIET_SHARE * self.wall.as_secs_f64()
    }

    pub(crate) fn ns(&self) -> f64 {
        self.time.as_nanos() as f64
    }
}

impl std::ops::AddAssign for Took {
    fn add_assign(&mut self, more: Self) {
        self.time += more.time;
        self.wall += more.wall;
        self.spoilt |= more.spoilt;
    }
}

/// The clock of a process, which shows what all its threads used.
fn clock_of(pid: u32) -> Result<libc::clockid_t> {
    let mut clock = 0;
    // SAFETY: `clock` is ours.
    match unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &raw mut clock) } {
        0 => Ok(clock),
        _ => bail!("cannot read the CPU time of process {pid}"),
    }
}

fn reading(clock: libc::clockid_t) -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is ours; of a clock that is gone it stays zero.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_is_time_but_no_cpu_time() {
        let nap = || {
            std::thread::sleep(Duration::from_millis(20));
            Ok(())
        };
        let took = Stopwatch::of_thread().time(nap).unwrap();
        assert!(took.wall >= Duration::from_millis(20), "{took:?}");
        assert!(took.time < Duration::from_millis(10), "{took:?}");
        assert!(!took.quiet());
        let took = Stopwatch::Wall.time(nap).unwrap();
        assert_eq!(took.time, took.wall);
        assert!(took.quiet());
    }

    #[test]
    fn work_is_cpu_time_by_the_clock_of_its_process() {
        let work = || {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(30) {}
            Ok(())
        };
        let own = Stopwatch::Cpu(vec![clock_of(std::process::id()).unwrap()]);
        assert!(own.time(work).unwrap().time > Duration::from_millis(1));
        assert!(Stopwatch::of_thread().time(work).unwrap().time > Duration::from_millis(1));
    }
}
