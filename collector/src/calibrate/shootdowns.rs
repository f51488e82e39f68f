//! TLB shootdowns: a page loses the right to be written to, and every CPU that runs a thread of the
//! process has to hear of it.

use super::{
    mapping::{Mapping, PAGE, Pages},
    placement::{pin, pin_home},
    sampling::{Batch, Harness, Pass},
    stopwatch::{Stopwatch, Took},
    worker::{Bench, Variant},
};
use anyhow::Result;
use std::{
    fs, hint,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

/// From none to one on each other CPU; the harness is the same without the other threads.
pub(crate) fn tlb_shootdown(bench: &mut Bench) -> Result<()> {
    let cpus = pin_home()?;
    let page = Mapping::new(PAGE, Pages::Small)?;
    page.touch_all(PAGE);
    let beside = |others| Beside {
        cpus: &cpus.others[..others],
        page: &page,
        interrupts: Some(0),
        operations: 0,
    };
    let mut all: Vec<_> = numbers(cpus.others.len()).into_iter().map(beside).collect();
    let sampled = bench.budget.interleaved(&mut all)?;
    for (beside, sampled) in all.into_iter().zip(sampled) {
        bench.tell(beside.variant(), sampled)?;
    }
    if cpus.others.is_empty() {
        let reason = "there is one CPU only".to_owned();
        bench.missing(Some("other threads running".into()), reason)?;
    }
    Ok(())
}

/// Shootdowns beside threads on these CPUs.
struct Beside<'a> {
    cpus: &'a [usize],
    page: &'a Mapping,
    /// Those for shootdowns that CPUs got, as far as the kernel counts them, in how many operations.
    interrupts: Option<u64>,
    operations: u64,
}

impl Beside<'_> {
    fn variant(&self) -> Variant {
        let name = match self.cpus.len() {
            0 => "no other thread".to_owned(),
            1 => "1 other thread running".to_owned(),
            number => format!("{number} other threads running"),
        };
        let variant = Variant::new(name).with("other_threads", self.cpus.len() as f64);
        match self.interrupts {
            Some(all) => variant.observed(
                "shootdown_interrupts_per_operation",
                all as f64 / self.operations as f64,
            ),
            None => variant,
        }
    }
}

impl Batch for Beside<'_> {
    fn per_time(&self) -> u64 {
        1
    }

    fn harness(&self) -> Harness {
        match self.cpus {
            [] => Harness::None,
            _ => Harness::Measured,
        }
    }

    fn run(&mut self, pass: Pass, times: u64) -> Result<Took> {
        let stopwatch = Stopwatch::of_thread();
        let work = || stopwatch.time(|| protect_often(self.page, times));
        if pass == Pass::Harness {
            return work();
        }
        let before = interrupts_so_far();
        let took = beside_spinners(self.cpus, work)?;
        let meanwhile = interrupts_so_far()
            .zip(before)
            .map(|(now, then)| now - then);
        self.interrupts = self.interrupts.zip(meanwhile).map(|(sum, more)| sum + more);
        self.operations += times;
        Ok(took)
    }
}

/// None, then twice as many and one more each time, and as many as there are CPUs.
fn numbers(most: usize) -> Vec<usize> {
    let mut numbers: Vec<_> = std::iter::successors(Some(0), |number| Some(number * 2 + 1))
        .take_while(|&number| number < most)
        .collect();
    numbers.push(most);
    numbers
}

/// Only taking the right away needs a flush. The write in the end has the page ready to lose it.
fn protect_often(page: &Mapping, times: u64) -> Result<()> {
    for _ in 0..times {
        page.protect_first_page(false)?;
        page.protect_first_page(true)?;
        page.touch_all(PAGE);
    }
    Ok(())
}

/// Does it while a thread of this process runs on each of these CPUs.
fn beside_spinners(cpus: &[usize], work: impl FnOnce() -> Result<Took>) -> Result<Took> {
    let (stop, running) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let spinners: Vec<_> = cpus
            .iter()
            .map(|&cpu| {
                let (stop, running) = (&stop, &running);
                scope.spawn(move || {
                    let pinned = pin(cpu);
                    running.fetch_add(1, Ordering::Release);
                    while !stop.load(Ordering::Relaxed) {
                        hint::spin_loop();
                    }
                    pinned
                })
            })
            .collect();
        while running.load(Ordering::Acquire) < cpus.len() {
            thread::yield_now();
        }
        let took = work();
        stop.store(true, Ordering::Relaxed);
        for spinner in spinners {
            spinner.join().unwrap_or(Ok(()))?;
        }
        took
    })
}

/// The sum of the line `TLB` of `/proc/interrupts`: shootdowns received, of all processes.
fn interrupts_so_far() -> Option<u64> {
    let interrupts = fs::read_to_string("/proc/interrupts").ok()?;
    let counts = interrupts
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("TLB:"))?;
    Some(
        counts
            .split_whitespace()
            .map_while(|it| it.parse::<u64>().ok())
            .sum(),
    )
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn threads_are_added_until_each_cpu_has_one() {
        assert_eq!(numbers(0), [0]);
        assert_eq!(numbers(1), [0, 1]);
        assert_eq!(numbers(7), [0, 1, 3, 7]);
        assert_eq!(numbers(9), [0, 1, 3, 7, 9]);
    }
}
