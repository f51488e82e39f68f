//! The first touch of memory: a page is allocated and filled with zeroes.

use super::{
    mapping::{HUGE_PAGE, Mapping, PAGE, Pages, minor_faults},
    placement::pin_home,
    sampling::{Budget, LEAST_SAMPLES, Sampled, Taken},
    stopwatch::Stopwatch,
    worker::{Bench, Variant},
};
use anyhow::{Result, bail};

/// Bytes touched for a sample: 2,048 small pages, or 16 huge ones.
const SMALL_BYTES: usize = 2048 * PAGE;
const HUGE_BYTES: usize = 16 * HUGE_PAGE;
/// A sample may have so many faults more or less than pages, of each of its pages.
const STRAY_SHARE: f64 = 0.01;

pub(crate) fn zero_fill(bench: &mut Bench) -> Result<()> {
    pin_home()?;
    let memory = Mapping::new(SMALL_BYTES, Pages::Small)?;
    let (sampled, faults) = fill(&bench.budget, &memory, SMALL_BYTES, PAGE)?;
    bench.tell(variant("4 KB page", PAGE, faults), sampled)?;
    match fill_huge(&bench.budget) {
        Ok((sampled, faults)) => bench.tell(variant(HUGE, HUGE_PAGE, faults), sampled),
        Err(error) => bench.missing(Some(HUGE.into()), format!("{error:#}")),
    }
}

const HUGE: &str = "2 MB page";

fn variant(name: &str, page: usize, faults: f64) -> Variant {
    Variant::new(name)
        .with("page_bytes", page as f64)
        .observed("faults_per_operation", faults)
}

fn fill_huge(budget: &Budget) -> Result<(Sampled, f64)> {
    let memory = huge_memory(HUGE_BYTES)?;
    let filled = fill(budget, &memory, HUGE_BYTES, HUGE_PAGE)?;
    all_huge(&memory, HUGE_BYTES)?;
    Ok(filled)
}

/// Memory that is backed by huge pages, each touched.
pub(crate) fn huge_memory(bytes: usize) -> Result<Mapping> {
    let memory = Mapping::new(bytes, Pages::Huge)?;
    memory.touch_all(HUGE_PAGE);
    all_huge(&memory, bytes)?;
    Ok(memory)
}

/// Fails unless all of it is in huge pages.
pub(crate) fn all_huge(memory: &Mapping, bytes: usize) -> Result<()> {
    let huge = memory.huge_bytes()?;
    if huge != bytes as u64 {
        bail!(
            "the kernel gave {} huge pages of {} asked for; see \
             /sys/kernel/mm/transparent_hugepage/enabled, and how much memory is free",
            huge / HUGE_PAGE as u64,
            bytes / HUGE_PAGE
        );
    }
    Ok(())
}

/// Touches each page for the first time, and once more as the harness.
fn fill(budget: &Budget, memory: &Mapping, bytes: usize, page: usize) -> Result<(Sampled, f64)> {
    let pages = (bytes / page) as u64;
    with_faults(budget, pages, || {
        memory.forget()?;
        let before = minor_faults();
        let taken = first_and_second(pages, || memory.touch_all(page));
        Ok((taken, minor_faults() - before))
    })
}

/// Samples of so many pages, each of which is a fault, and the faults for each that the kernel counted. A sample with
/// others among them, as of pages that the kernel was moving meanwhile, is set aside and taken anew.
///
/// # Errors
/// If more samples have to be set aside than not: something else was measured then.
pub(crate) fn with_faults(
    budget: &Budget,
    pages: u64,
    mut once: impl FnMut() -> Result<(Taken, u64)>,
) -> Result<(Sampled, f64)> {
    let (mut faults, mut kept, mut set_aside) = (0, 0, 0);
    let sampled = budget.rounds(budget.batches, pages, || {
        loop {
            let (taken, faulted) = once()?;
            if faulted.abs_diff(pages) as f64 <= STRAY_SHARE * pages as f64 {
                (faults, kept) = (faults + faulted, kept + 1);
                return Ok(taken);
            }
            set_aside += 1;
            if set_aside > kept + LEAST_SAMPLES as u64 {
                bail!("the kernel counted {faulted} faults where {pages} pages were touched");
            }
        }
    })?;
    let disturbed = sampled.disturbed + set_aside;
    let each = faults as f64 / (pages * kept) as f64;
    Ok((
        Sampled {
            disturbed,
            ..sampled
        },
        each,
    ))
}

/// The first time counts, the second is what it takes without a fault.
pub(crate) fn first_and_second(pages: u64, mut touch: impl FnMut()) -> Taken {
    let stopwatch = Stopwatch::of_thread();
    let begun = stopwatch.begin();
    touch();
    let first = stopwatch.end(begun);
    let begun = stopwatch.begin();
    touch();
    Taken::of(first, Some(stopwatch.end(begun)), pages)
}
