//! Tasks that the kernel does not know: futures on an executor of one thread.

use super::{
    placement::pin_home,
    sampling::Many,
    stopwatch::{Stopwatch, Took},
    worker::{Bench, Variant},
};
use anyhow::{Context, Result};
use tokio::{
    runtime::{Builder, Runtime},
    task,
};

/// Tasks alive at the same time, so that a batch does not fill the memory.
const AT_A_TIME: u64 = 256;

/// `tokio::spawn` of a future that is ready at once.
pub(crate) fn task_create(bench: &mut Bench) -> Result<()> {
    let executor = executor()?;
    let sampled = bench.budget.batches(&mut Many(AT_A_TIME, |times| {
        Ok(executor.block_on(spawn_many(times)).0)
    }))?;
    bench.tell(Variant::new("tokio, spawn returns"), sampled)?;
    let sampled = bench.budget.batches(&mut Many(AT_A_TIME, |times| {
        Ok(executor.block_on(spawn_many(times)).1)
    }))?;
    bench.tell(Variant::new("tokio, until it has ended"), sampled)
}

/// Two tasks that yield to each other.
pub(crate) fn task_switch(bench: &mut Bench) -> Result<()> {
    let (executor, stopwatch) = (executor()?, Stopwatch::of_thread());
    let sampled = bench.budget.batches(&mut Many(2, |times| {
        stopwatch.time(|| {
            executor.block_on(async {
                let other = tokio::spawn(yield_often(times));
                let this = tokio::spawn(yield_often(times));
                this.await?;
                other.await
            })?;
            Ok(())
        })
    }))?;
    bench.tell(Variant::new("tokio, yield_now"), sampled)
}

fn executor() -> Result<Runtime> {
    pin_home()?;
    Builder::new_current_thread()
        .build()
        .context("cannot start the executor")
}

/// The time that calls of `spawn` took, and that with running and joining the tasks.
async fn spawn_many(times: u64) -> (Took, Took) {
    let (mut spawning, mut all) = (Took::default(), Took::default());
    let stopwatch = Stopwatch::of_thread();
    let mut handles = Vec::with_capacity(AT_A_TIME as usize);
    for _ in 0..times {
        let begun = stopwatch.begin();
        handles.extend((0..AT_A_TIME).map(|_| tokio::spawn(async {})));
        spawning += stopwatch.end(begun);
        for handle in handles.drain(..) {
            // It neither panics nor is cancelled.
            let _ = handle.await;
        }
        all += stopwatch.end(begun);
    }
    (spawning, all)
}

async fn yield_often(times: u64) {
    for _ in 0..times {
        task::yield_now().await;
    }
}
