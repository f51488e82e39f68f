//! Wake-ups: from the call that wakes a sleeping thread until that thread runs.

use super::{
    placement::{Cpus, pin},
    sampling::Sampled,
    stopwatch::{Stopwatch, Took},
    token::{GO, Pipe},
    worker::{Bench, Variant},
};
use anyhow::{Context, Result};
use rustix::{
    event::{EventfdFlags, eventfd},
    io::{read, retry_on_intr, write},
    thread::{futex, gettid},
};
use std::{
    fs,
    os::fd::OwnedFd,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

pub(crate) fn wake_up(bench: &mut Bench) -> Result<()> {
    let cpus = Cpus::allowed()?;
    pin(cpus.home)?;
    let event = eventfd(0, EventfdFlags::CLOEXEC).context("cannot make an eventfd")?;
    let bells = [
        ("futex", Bell::Futex(AtomicU32::new(0))),
        ("pipe", Bell::Pipe(Pipe::new()?)),
        ("eventfd", Bell::Eventfd(event)),
    ];
    let places = [
        ("same CPU", Some(cpus.home)),
        ("other CPU", cpus.others.last().copied()),
    ];
    for (name, bell) in &bells {
        for (place, cpu) in places {
            let name = format!("{name}, {place}");
            match cpu {
                Some(cpu) => bench.tell(Variant::new(name), wake(bench, bell, cpu)?)?,
                None => bench.missing(Some(name), "there is one CPU only".into())?,
            }
        }
    }
    Ok(())
}

/// What a thread waits for.
enum Bell {
    Futex(AtomicU32),
    Pipe(Pipe),
    Eventfd(OwnedFd),
}

impl Bell {
    fn ring(&self) -> Result<()> {
        match self {
            Self::Futex(rung) => {
                rung.store(1, Ordering::Release);
                futex::wake(rung, futex::Flags::PRIVATE, 1).context("cannot wake by futex")?;
            }
            Self::Pipe(pipe) => pipe.send(GO)?,
            Self::Eventfd(event) => {
                let one = 1_u64.to_ne_bytes();
                retry_on_intr(|| write(event, &one)).context("cannot write to an eventfd")?;
            }
        }
        Ok(())
    }

    fn wait(&self) -> Result<()> {
        match self {
            Self::Futex(rung) => {
                while rung.load(Ordering::Acquire) == 0 {
                    // It fails where the bell was rung meanwhile.
                    let _ = futex::wait(rung, futex::Flags::PRIVATE, 0, None);
                }
                rung.store(0, Ordering::Release);
            }
            Self::Pipe(pipe) => {
                pipe.receive()?;
            }
            Self::Eventfd(event) => {
                let mut count = [0; 8];
                retry_on_intr(|| read(event, &mut count)).context("cannot read an eventfd")?;
            }
        }
        Ok(())
    }
}

/// A thread that sleeps until the bell rings, and what it tells of itself.
struct Sleeper {
    base: Instant,
    tid: AtomicU32,
    woken_ns: AtomicU64,
    stop: AtomicBool,
    awake: Pipe,
}

fn wake(bench: &Bench, bell: &Bell, cpu: usize) -> Result<Sampled> {
    let sleeper = Sleeper {
        base: Instant::now(),
        tid: AtomicU32::new(0),
        woken_ns: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        awake: Pipe::new()?,
    };
    thread::scope(|scope| {
        let thread = scope.spawn(|| sleeper.sleep(bell, cpu));
        let budget = bench.budget;
        // It says that it is there before it sleeps for the first time.
        sleeper.awake.receive()?;
        let sampled = budget.singles(&Stopwatch::Wall, || sleeper.wake_once(bell));
        sleeper.stop.store(true, Ordering::Release);
        bell.ring()?;
        thread.join().unwrap_or(Ok(()))?;
        sampled
    })
}

impl Sleeper {
    fn sleep(&self, bell: &Bell, cpu: usize) -> Result<()> {
        let tid = gettid().as_raw_nonzero().get().unsigned_abs();
        self.tid.store(tid, Ordering::Release);
        let pinned = pin(cpu);
        self.awake.send(GO)?;
        pinned?;
        loop {
            bell.wait()?;
            self.woken_ns.store(self.now_ns(), Ordering::Release);
            if self.stop.load(Ordering::Acquire) {
                return Ok(());
            }
            self.awake.send(GO)?;
        }
    }

    fn wake_once(&self, bell: &Bell) -> Result<Took> {
        while !self.is_asleep()? {
            thread::yield_now();
        }
        let rung_ns = self.now_ns();
        bell.ring()?;
        self.awake.receive()?;
        let woken_ns = self.woken_ns.load(Ordering::Acquire);
        let time = Duration::from_nanos(woken_ns.saturating_sub(rung_ns));
        Ok(Took::of(time))
    }

    fn is_asleep(&self) -> Result<bool> {
        let tid = self.tid.load(Ordering::Acquire);
        let path = format!("/proc/self/task/{tid}/stat");
        let stat = fs::read_to_string(path).context("cannot see whether a thread sleeps")?;
        Ok(stat
            .rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('S')))
    }

    fn now_ns(&self) -> u64 {
        self.base.elapsed().as_nanos() as u64
    }
}
