//! Writes to memory that a fork has made copy-on-write.

use super::{
    child::Child,
    faults::{all_huge, first_and_second, huge_memory, with_faults},
    mapping::{HUGE_PAGE, Mapping, PAGE, Pages, minor_faults},
    placement::pin_home,
    sampling::Taken,
    stopwatch::Stopwatch,
    token::Pipe,
    worker::{Bench, Variant},
};
use crate::series::Sample;
use anyhow::{Result, bail};

/// Small pages written for a sample.
const PAGES: usize = 2048;
/// Huge pages split for a sample.
const HUGE_PAGES: usize = 16;

/// The child of a fork writes first: each page is copied.
pub(crate) fn cow_copy(bench: &mut Bench) -> Result<()> {
    after_fork(bench, "4 KB page, written in the child", |memory, spare| {
        let pipe = Pipe::new()?;
        Child::start(|| {
            let (taken, faults) = write_all(memory, spare);
            pipe.send_figures(packed(taken, faults))
        })?
        .finish()?;
        pipe.receive_figures().map(unpacked)
    })
}

/// The child is gone when the parent writes: each page has one owner again and is not copied.
pub(crate) fn cow_reuse(bench: &mut Bench) -> Result<()> {
    after_fork(
        bench,
        "4 KB page, written by its last owner",
        |memory, spare| {
            Child::start(|| Ok(()))?.finish()?;
            Ok(write_all(memory, spare))
        },
    )
}

fn after_fork(
    bench: &Bench,
    name: &str,
    mut once: impl FnMut(&Mapping, &Mapping) -> Result<(Taken, u64)>,
) -> Result<()> {
    pin_home()?;
    let memory = Mapping::new(PAGES * PAGE, Pages::Small)?;
    let spare = Mapping::new(PAGE, Pages::Small)?;
    memory.touch_all(PAGE);
    let (sampled, faults) = with_faults(&bench.budget, PAGES as u64, || once(&memory, &spare))?;
    let variant = Variant::new(name)
        .with("page_bytes", PAGE as f64)
        .observed("faults_per_operation", faults);
    bench.tell(variant, sampled)
}

/// Writes to each page, twice; how many faults that made. The same is done to a spare page before: after a fork, code,
/// data and stack that it takes are to be faulted in anew, some thirty pages, which are not to count.
fn write_all(memory: &Mapping, spare: &Mapping) -> (Taken, u64) {
    let write = |memory: &Mapping| {
        let before = minor_faults();
        let taken = first_and_second(PAGES as u64, || memory.touch_all(PAGE));
        (taken, minor_faults() - before)
    };
    write(spare);
    write(memory)
}

/// The first write of a child into a huge page: its mapping is split into small pages, and the one
/// that is written is copied. The harness is the copy of the next page.
pub(crate) fn huge_split(bench: &mut Bench) -> Result<()> {
    pin_home()?;
    let bytes = HUGE_PAGES * HUGE_PAGE;
    let memory = huge_memory(bytes)?;
    let budget = bench.budget;
    let sampled = budget.rounds(budget.batches, HUGE_PAGES as u64, || {
        all_huge(&memory, bytes)?;
        let pipe = Pipe::new()?;
        Child::start(|| {
            let taken = split_all(&memory, bytes);
            pipe.send_figures(packed(taken, memory.huge_bytes()?))
        })?
        .finish()?;
        let (taken, still_huge) = pipe.receive_figures().map(unpacked)?;
        if still_huge > 0 {
            bail!("{still_huge} bytes were still in huge pages after a write to each");
        }
        Ok(taken)
    })?;
    let variant = Variant::new("2 MB page").with("page_bytes", HUGE_PAGE as f64);
    bench.tell(variant, sampled)
}

/// Writes into each huge page, and into the small page behind that.
fn split_all(memory: &Mapping, bytes: usize) -> Taken {
    let stopwatch = Stopwatch::of_thread();
    let begun = stopwatch.begin();
    memory.touch(0..bytes, HUGE_PAGE);
    let split = stopwatch.end(begun);
    let begun = stopwatch.begin();
    memory.touch(PAGE..bytes, HUGE_PAGE);
    let copied = stopwatch.end(begun);
    Taken::of(split, Some(copied), HUGE_PAGES as u64)
}

/// A sample and a count, as they go through a pipe.
fn packed(taken: Taken, count: u64) -> [u64; 4] {
    let Sample { raw_ns, harness_ns } = taken.sample;
    let harness_ns = harness_ns.unwrap_or(0.0);
    [
        raw_ns.to_bits(),
        harness_ns.to_bits(),
        taken.quiet.into(),
        count,
    ]
}

fn unpacked([raw, harness, quiet, count]: [u64; 4]) -> (Taken, u64) {
    let sample = Sample {
        raw_ns: f64::from_bits(raw),
        harness_ns: Some(f64::from_bits(harness)),
    };
    let quiet = quiet != 0;
    (Taken { sample, quiet }, count)
}
