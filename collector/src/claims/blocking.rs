//! What a call that blocks does to lightweight tasks: it blocks the kernel thread that they run on.

use super::{Family, Spec, round::Round};
use crate::figures::Unit;
use anyhow::{Context, Result};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::{runtime::Builder, time::sleep};

pub(super) const FAMILY: Family = Family {
    name: "blocking calls in tasks",
    figures: &[Spec {
        name: "blocking_stall",
        unit: Unit::Share,
        axis: "blocking calls at once",
        method: "tokio with two kernel threads: 16 tasks that sleep for 1 ms over and over, while others call \
                 sleep of the kernel for 100 ms; the longest time between two turns of a task, as a share of \
                 that, the median of the tasks",
    }],
    takes_ms: [1_000, 500],
    take,
};

const KERNEL_THREADS: u32 = 2;
const TASKS: usize = 16;
const NAP: Duration = Duration::from_millis(1);
const BLOCKED: Duration = Duration::from_millis(100);
/// Before the calls: all tasks have had turns.
const SETTLE: Duration = Duration::from_millis(30);
/// In full, and with --quick.
const TIMES: [usize; 2] = [2, 1];

fn take(round: &mut Round<'_>) -> Result<()> {
    for calls in 0..=KERNEL_THREADS {
        let times = TIMES[usize::from(round.setting.quick)];
        let shares = (0..times).map(|_| stall(calls)).collect::<Result<_>>()?;
        round.tell_number("blocking_stall", calls, shares);
    }
    Ok(())
}

/// How long tasks were held up by so many calls, as a share of what each took.
fn stall(calls: u32) -> Result<f64> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(KERNEL_THREADS as usize)
        .enable_time()
        .build()
        .context("cannot start the executor")?;
    let stop = Arc::new(AtomicBool::new(false));
    let looking = Arc::new(AtomicBool::new(false));
    let longest: Vec<Arc<AtomicU64>> = (0..TASKS).map(|_| Arc::default()).collect();
    for longest in &longest {
        runtime.spawn(nap_often(longest.clone(), looking.clone(), stop.clone()));
    }
    thread::sleep(SETTLE);
    looking.store(true, Ordering::Relaxed);
    for _ in 0..calls {
        runtime.spawn(async { thread::sleep(BLOCKED) });
    }
    thread::sleep(BLOCKED + SETTLE);
    stop.store(true, Ordering::Relaxed);
    runtime.shutdown_timeout(2 * BLOCKED);
    let mut longest: Vec<u64> = longest
        .iter()
        .map(|it| it.load(Ordering::Relaxed))
        .collect();
    longest.sort_unstable();
    Ok(longest[TASKS / 2] as f64 / BLOCKED.as_nanos() as f64)
}

/// Notes the longest time between two turns beyond what was asked for.
async fn nap_often(longest: Arc<AtomicU64>, looking: Arc<AtomicBool>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        sleep(NAP).await;
        let late = begun.elapsed().saturating_sub(NAP).as_nanos() as u64;
        if looking.load(Ordering::Relaxed) {
            longest.fetch_max(late, Ordering::Relaxed);
        }
    }
}
