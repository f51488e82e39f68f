//! Page faults as plain data: what was seen of them through windows, cumulative since the watch began.

use crate::{
    abi::{self, fault_class, fault_counts, histogram},
    sample::Histogram,
};

/// Number of classes.
pub const CLASSES: usize = fault_class::FAULT_CLASSES.0 as usize;

/// The name of each class in reports, by its number.
pub const CLASS_NAMES: [&str; CLASSES] = [
    "cow_copy",
    "cow_reuse",
    "zero_fill",
    "zero_fill_huge",
    "zero_page",
    "file",
    "file_write",
    "shared",
    "hugetlb",
    "major",
    "other",
];

/// The faults of a group that windows showed.
#[derive(Clone, Debug, Default)]
pub struct FaultSample {
    /// By number of the class; empty if the probe does not run.
    pub classes: Vec<FaultClass>,
    /// Huge pages that a fault had to split first.
    pub huge_splits: u64,
    /// Exceptions seen; those that were not seen to end are in no class.
    pub begun: u64,
    /// Ends seen of what had not begun in the window, or without an exception.
    pub not_begun: u64,
    /// Windows that have closed and showed a fault of the group.
    pub windows: u64,
    /// Faults of all classes in those, and ends of what had not begun.
    pub in_windows: u64,
    /// Sum of the squares of their number in each window.
    pub in_windows_squared: u64,
}

/// The faults of one class.
#[derive(Clone, Debug, Default)]
pub struct FaultClass {
    /// From user mode.
    pub user: u64,
    /// Of an access from kernel mode, as in `read(2)`.
    pub kernel: u64,
    /// From the exception to the end of handling.
    pub latency: Histogram,
    /// What each closed window showed.
    pub windows: Moments,
}

/// Sums over closed windows, from which follows how much they differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moments {
    /// Of the faults of the class.
    pub sum: u64,
    /// Of their squares.
    pub squares: u64,
    /// Of the products with the faults of all classes.
    pub products: u64,
}

impl FaultSample {
    /// Folds in what one CPU counted.
    pub(crate) fn add(&mut self, cpu: &fault_counts) {
        self.classes.resize(CLASSES, FaultClass::default());
        for (class, sum) in self.classes.iter_mut().enumerate() {
            // A fault that turns out to be a major one may be taken out on another CPU.
            sum.user = sum.user.wrapping_add(cpu.user[class]);
            sum.kernel = sum.kernel.wrapping_add(cpu.kernel[class]);
        }
        self.huge_splits += cpu.huge_splits;
        self.begun += cpu.begun;
        self.not_begun += cpu.not_begun;
    }

    /// Folds in one CPU's samples of a class.
    pub(crate) fn add_latency(&mut self, class: usize, cpu: &histogram) {
        let latency = &mut self.classes[class].latency;
        latency.sum = latency.sum.wrapping_add(cpu.sum);
        latency.max = latency.max.max(cpu.max);
        latency.counts.resize(cpu.counts.len(), 0);
        for (sum, count) in latency.counts.iter_mut().zip(&cpu.counts) {
            *sum = sum.wrapping_add(*count);
        }
    }

    /// Takes in what a window showed that has closed: faults by class, and ends of what had not begun.
    pub(crate) fn add_window(&mut self, seen: &[u64; CLASSES], not_begun: u64) {
        let all = seen.iter().sum::<u64>() + not_begun;
        if all == 0 {
            return;
        }
        self.classes.resize(CLASSES, FaultClass::default());
        self.windows += 1;
        self.in_windows += all;
        self.in_windows_squared += all * all;
        for (class, &seen) in self.classes.iter_mut().zip(seen) {
            class.windows.sum += seen;
            class.windows.squares += seen * seen;
            class.windows.products += seen * all;
        }
    }
}

/// What each class counts on all CPUs together, and the ends of what had not begun.
pub(crate) fn by_class(per_cpu: &[fault_counts]) -> ([u64; CLASSES], u64) {
    let mut sum = [0u64; CLASSES];
    for cpu in per_cpu {
        for (class, sum) in sum.iter_mut().enumerate() {
            *sum = sum
                .wrapping_add(cpu.user[class])
                .wrapping_add(cpu.kernel[class]);
        }
    }
    (sum, per_cpu.iter().map(|cpu| cpu.not_begun).sum())
}

const _: () = assert!(abi::fault_class::FAULT_OTHER.0 as usize == CLASSES - 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_leave_their_moments() {
        let mut sample = FaultSample::default();
        let mut seen = [0; CLASSES];
        (seen[0], seen[2]) = (3, 5);
        sample.add_window(&seen, 1);
        sample.add_window(&[0; CLASSES], 0);
        (seen[0], seen[2]) = (1, 0);
        sample.add_window(&seen, 0);
        assert_eq!((sample.windows, sample.in_windows), (2, 10));
        assert_eq!(sample.in_windows_squared, 81 + 1);
        let copies = sample.classes[0].windows;
        assert_eq!((copies.sum, copies.squares, copies.products), (4, 10, 28));
    }

    /// Taken out on one CPU, put in on another.
    #[test]
    fn what_is_taken_out_on_another_cpu_is_out() {
        let (mut here, mut there) = (fault_counts::default(), fault_counts::default());
        here.user[5] = 1;
        there.user[5] = 0u64.wrapping_sub(1);
        there.user[9] = 1;
        let (sum, _) = by_class(&[here, there]);
        assert_eq!((sum[5], sum[9]), (0, 1));
    }
}
