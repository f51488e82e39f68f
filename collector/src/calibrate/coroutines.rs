//! Coroutines with a stack of their own: switched in user space, without the kernel.

use super::{
    placement::pin_home,
    sampling::Many,
    stopwatch::Stopwatch,
    worker::{Bench, Variant},
};
use anyhow::{Context, Result};
use corosensei::{Coroutine, stack::DefaultStack};
use std::hint::black_box;

/// A usual size of stacks, of which only what is used takes memory.
const STACK: usize = 64 << 10;

/// A coroutine that runs once, on a new stack and on one used before.
pub(crate) fn coroutine_create(bench: &mut Bench) -> Result<()> {
    pin_home()?;
    let stopwatch = Stopwatch::of_thread();
    let sampled = bench.budget.batches(&mut Many(1, |times| {
        stopwatch.time(|| {
            for _ in 0..times {
                let stack = DefaultStack::new(STACK).context("cannot map a stack")?;
                drop(run_once(stack));
            }
            Ok(())
        })
    }))?;
    bench.tell(Variant::new("run to its end, new stack"), sampled)?;
    let mut used = Some(DefaultStack::new(STACK).context("cannot map a stack")?);
    let sampled = bench.budget.batches(&mut Many(1, |times| {
        stopwatch.time(|| {
            for _ in 0..times {
                used = used.take().map(run_once);
            }
            Ok(())
        })
    }))?;
    bench.tell(Variant::new("run to its end, same stack"), sampled)
}

/// Gives the stack back.
fn run_once(stack: DefaultStack) -> DefaultStack {
    let mut coroutine: Coroutine<(), (), u32, _> =
        Coroutine::with_stack(stack, |_, ()| black_box(1));
    black_box(coroutine.resume(()).as_return());
    coroutine.into_stack()
}

/// Into a coroutine and back: two switches.
pub(crate) fn coroutine_switch(bench: &mut Bench) -> Result<()> {
    pin_home()?;
    let stopwatch = Stopwatch::of_thread();
    let stack = DefaultStack::new(STACK).context("cannot map a stack")?;
    let mut coroutine = Coroutine::with_stack(stack, |yielder, mut go_on: bool| {
        while go_on {
            go_on = yielder.suspend(());
        }
    });
    let sampled = bench.budget.batches(&mut Many(2, |times| {
        stopwatch.time(|| {
            for _ in 0..times {
                black_box(coroutine.resume(true).as_yield());
            }
            Ok(())
        })
    }))?;
    coroutine.resume(false);
    bench.tell(Variant::new("corosensei, resume and suspend"), sampled)
}
