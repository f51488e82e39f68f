//! What the answers to the increments of one key say.

/// The sums that were answered.
#[derive(Debug)]
pub(super) struct Counter {
    lowest: i64,
    highest: i64,
    answers: i64,
}

impl Default for Counter {
    fn default() -> Self {
        Self {
            lowest: i64::MAX,
            highest: i64::MIN,
            answers: 0,
        }
    }
}

impl Counter {
    /// Takes in a sum answered.
    pub(super) fn answer(&mut self, sum: i64) {
        self.lowest = self.lowest.min(sum);
        self.highest = self.highest.max(sum);
        self.answers += 1;
    }

    /// Takes in what others were answered.
    pub(super) fn add(&mut self, others: &Self) {
        self.lowest = self.lowest.min(others.lowest);
        self.highest = self.highest.max(others.highest);
        self.answers += others.answers;
    }

    /// The highest; below all others without any.
    pub(super) fn highest(&self) -> i64 {
        self.highest
    }

    /// Increments that were lost, so that a sum was answered twice.
    pub(super) fn lost_updates(&self) -> u64 {
        if self.answers == 0 {
            return 0;
        }
        let distinct = self.highest.saturating_sub(self.lowest).saturating_add(1);
        (self.answers - distinct).max(0) as u64
    }
}
