//! What others took from this host's CPUs while a test ran: neighbours on it and its hypervisor.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const NAP: Duration = Duration::from_millis(1);
/// What a thread waits for a CPU that the load and its server share with it.
const USUAL: Duration = Duration::from_millis(5);

/// A thread on each CPU that asks for it every millisecond.
pub(crate) struct Disturbance {
    over: Arc<AtomicBool>,
    watchers: Vec<JoinHandle<Duration>>,
}

impl Disturbance {
    pub(crate) fn watch() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let cpus = rustix::thread::sched_getaffinity(None).expect("the CPUs we may use");
        let watchers = (0..rustix::thread::CpuSet::MAX_CPU)
            .filter(|cpu| cpus.is_set(*cpu))
            .map(|cpu| {
                let over = over.clone();
                thread::spawn(move || {
                    let mut own = rustix::thread::CpuSet::new();
                    own.set(cpu);
                    rustix::thread::sched_setaffinity(None, &own).expect("a CPU of ours");
                    lateness(&over)
                })
            })
            .collect();
        Self { over, watchers }
    }

    /// How long the CPUs were away since, all together.
    pub(crate) fn seconds(mut self) -> f64 {
        self.over.store(true, Ordering::Relaxed);
        let away = std::mem::take(&mut self.watchers).into_iter();
        let away = away.map(|watcher| watcher.join().expect("it only sleeps"));
        away.sum::<Duration>().as_secs_f64()
    }
}

impl Drop for Disturbance {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn lateness(over: &AtomicBool) -> Duration {
    let mut away = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        let asleep = Instant::now();
        thread::sleep(NAP);
        let late = asleep.elapsed() - NAP;
        if late > USUAL {
            away += late;
        }
    }
    away
}
