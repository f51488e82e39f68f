//! The first touch of memory: a page is allocated and filled with zeroes.

use super::{
    mapping::{HUGE_PAGE, Mapping, PAGE, Pages, minor_faults},
    placement::pin_home,
    sampling::{Budget, Sampled, Taken},
    stopwatch::Stopwatch,
    worker::{Bench, Variant},
};
use anyhow::{Result, bail};

/// Bytes touched for a sample: 2,048 small pages, or 16 huge ones.
const SMALL_BYTES: usize = 2048 * PAGE;
const HUGE_BYTES: usize = 16 * HUGE_PAGE;

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
    let (mut faults, mut rounds) = (0, 0);
    let sampled = budget.rounds(budget.batches, pages, || {
        memory.forget()?;
        let before = minor_faults();
        let taken = first_and_second(pages, || memory.touch_all(page));
        faults += minor_faults() - before;
        rounds += 1;
        Ok(taken)
    })?;
    Ok((sampled, faults_each(faults, pages * rounds)?))
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

/// Faults for each page.
///
/// # Errors
/// Unless the kernel counted one for each, within 1 %: something else was measured then.
pub(crate) fn faults_each(faults: u64, pages: u64) -> Result<f64> {
    let each = faults as f64 / pages as f64;
    if !(0.99..=1.01).contains(&each) {
        bail!("the kernel counted {faults} faults where {pages} pages were touched");
    }
    Ok(each)
}
