//! When requests fall due: evenly over time, in turn over connections, whatever the answers do.

/// A schedule of arrivals from time 0, in nanoseconds of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    spacing_ns: f64,
    connections: u64,
}

impl Schedule {
    /// `rate` arrivals per second over so many connections.
    pub(crate) fn new(rate: f64, connections: u64) -> Self {
        Self {
            spacing_ns: 1e9 / rate,
            connections,
        }
    }

    /// When arrival `index` is due. Exact to the nanosecond for a run of an hour; each arrival is
    /// computed on its own, so that rounding does not add up.
    pub(crate) fn due_ns(&self, index: u64) -> u64 {
        (index as f64 * self.spacing_ns) as u64
    }

    /// How many arrivals are due before that time.
    pub(crate) fn arrivals_before(&self, time_ns: u64) -> u64 {
        let mut index = (time_ns as f64 / self.spacing_ns) as u64;
        // The division may be off by one where the time is that of an arrival.
        while self.due_ns(index) < time_ns {
            index += 1;
        }
        while index > 0 && self.due_ns(index - 1) >= time_ns {
            index -= 1;
        }
        index
    }

    /// The connection of arrival `index`.
    pub(crate) fn connection(&self, index: u64) -> usize {
        (index % self.connections) as usize
    }

    /// The arrival that is number `turn` on `connection`, so that no queue has to be kept.
    pub(crate) fn index(&self, connection: usize, turn: u64) -> u64 {
        connection as u64 + turn * self.connections
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_even_and_in_turn() {
        let schedule = Schedule::new(50_000.0, 1000);
        assert_eq!(schedule.due_ns(0), 0);
        assert_eq!(schedule.due_ns(1), 20_000);
        assert_eq!(schedule.due_ns(50_000 * 3600), 3_600_000_000_000);
        assert_eq!(schedule.arrivals_before(0), 0);
        assert_eq!(schedule.arrivals_before(1), 1);
        assert_eq!(schedule.arrivals_before(20_000), 1);
        assert_eq!(schedule.arrivals_before(20_001), 2);
        assert_eq!(schedule.arrivals_before(1_000_000_000), 50_000);
        assert_eq!(schedule.connection(2345), 345);
        assert_eq!(schedule.index(345, 2), 2345);
    }
}
