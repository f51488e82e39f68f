//! When requests fall due: evenly over time, in turn over connections, whatever the answers do; and which of
//! them are a thread's.

/// What one of several threads has of the connections: every so many-th, and the arrivals on these.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// From 0 on.
    thread: usize,
    threads: usize,
    /// Connections of all threads.
    connections: usize,
}

impl Share {
    /// All of them.
    pub(crate) fn whole(connections: usize) -> Self {
        Self::of(0, 1, connections)
    }

    /// Of that one of so many threads. There are at least as many connections.
    pub(crate) fn of(thread: usize, threads: usize, connections: usize) -> Self {
        Self {
            thread,
            threads,
            connections,
        }
    }

    /// The thread, from 0 on.
    pub(crate) fn thread(&self) -> usize {
        self.thread
    }

    /// Connections of all threads.
    pub(crate) fn connections_of_all(&self) -> usize {
        self.connections
    }

    /// The thread's own.
    pub(crate) fn connections(&self) -> usize {
        (self.connections - self.thread).div_ceil(self.threads)
    }

    /// The number among all connections of the thread's own connection `index`.
    pub(crate) fn number(&self, index: usize) -> usize {
        index * self.threads + self.thread
    }

    /// The other way round.
    pub(crate) fn index(&self, number: usize) -> usize {
        number / self.threads
    }
}

/// A thread's arrivals from time 0, in nanoseconds of the run; those of all threads together are the
/// same for any number of threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    spacing_ns: f64,
    share: Share,
    /// The thread's own.
    connections: u64,
}

impl Schedule {
    /// `rate` arrivals per second over all connections of all threads.
    pub(crate) fn new(rate: f64, share: Share) -> Self {
        Self {
            spacing_ns: 1e9 / rate,
            share,
            connections: share.connections() as u64,
        }
    }

    /// When the thread's arrival `index` is due.
    pub(crate) fn due_ns(&self, index: u64) -> u64 {
        self.due_of_all(self.number(index))
    }

    /// Exact to the nanosecond for a run of an hour; each arrival is computed on its own, so that
    /// rounding does not add up.
    fn due_of_all(&self, number: u64) -> u64 {
        (number as f64 * self.spacing_ns) as u64
    }

    /// The number among the arrivals of all threads of the thread's own arrival `index`.
    pub(crate) fn number(&self, index: u64) -> u64 {
        if self.share.threads == 1 {
            return index;
        }
        let (turn, at) = (index / self.connections, index % self.connections);
        turn * self.share.connections as u64 + self.share.number(at as usize) as u64
    }

    /// How many of the thread's arrivals are due before that time.
    pub(crate) fn arrivals_before(&self, time_ns: u64) -> u64 {
        let share = self.share;
        let mut all = (time_ns as f64 / self.spacing_ns) as u64;
        // The division may be off by one where the time is that of an arrival.
        while self.due_of_all(all) < time_ns {
            all += 1;
        }
        while all > 0 && self.due_of_all(all - 1) >= time_ns {
            all -= 1;
        }
        let connections = share.connections as u64;
        let rest = ((all % connections) as usize).saturating_sub(share.thread);
        all / connections * self.connections + rest.div_ceil(share.threads) as u64
    }

    /// The connection of arrival `index`: both the thread's own.
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
        let schedule = Schedule::new(50_000.0, Share::whole(1000));
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

    /// Number and time of an arrival, and the number of its connection.
    type Arrival = (u64, u64, usize);

    fn arrivals(threads: usize, connections: usize, before_ns: u64) -> Vec<Arrival> {
        let mut arrivals: Vec<_> = (0..threads)
            .flat_map(|thread| {
                let share = Share::of(thread, threads, connections);
                let schedule = Schedule::new(30_000.0, share);
                (0..schedule.arrivals_before(before_ns)).map(move |index| {
                    let connection = schedule.connection(index);
                    let turn = index / share.connections() as u64;
                    assert_eq!(schedule.index(connection, turn), index);
                    assert!(schedule.due_ns(index) < before_ns);
                    let number = share.number(connection);
                    assert_eq!(share.index(number), connection);
                    (schedule.number(index), schedule.due_ns(index), number)
                })
            })
            .collect();
        arrivals.sort_unstable();
        arrivals
    }

    #[test]
    fn the_arrivals_of_several_threads_are_those_of_one() {
        for connections in [7, 8, 100] {
            for before_ns in [0, 33_334, 1_000_000, 77_777_777] {
                let of_one = arrivals(1, connections, before_ns);
                for threads in [2, 3, 7] {
                    assert_eq!(arrivals(threads, connections, before_ns), of_one);
                }
            }
        }
    }

    #[test]
    fn the_connections_of_several_threads_are_those_of_one() {
        for threads in 1..=8 {
            let own = (0..threads).map(|thread| Share::of(thread, threads, 10).connections());
            assert_eq!(own.sum::<usize>(), 10);
        }
    }
}
