//! Windows: a probe too dear to run all the time runs for a share of it, in a thread of its own.

use crate::{Error, sample::WindowTime};
use std::{
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Windows come once in this time, so that in a second of measuring there are some.
const PERIOD: Duration = Duration::from_millis(500);
/// After so long there have been enough for a spread. To open and close one costs far more than to look, so they
/// come half as often then, and are twice as long.
const MANY_AFTER: Duration = Duration::from_secs(10);
const LATER_PERIOD: Duration = Duration::from_secs(1);

/// What runs in windows.
pub(crate) trait Windowed: Send + 'static {
    /// Begins to look.
    fn open(&mut self) -> Result<(), Error>;

    /// Looks no more; nothing of it is left on a hot path.
    fn close(&mut self) -> Result<(), Error>;

    /// How the time of one window is divided; between two parts of a window `turn` is called.
    fn parts(&self) -> u32 {
        1
    }

    /// Goes on to the next part of a window, from 1.
    fn turn(&mut self, _part: u32) -> Result<(), Error> {
        Ok(())
    }
}

/// The windows of one probe; closed for good when dropped.
pub(crate) struct Windows {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    stop: Condvar,
}

#[derive(Default)]
struct State {
    stopping: bool,
    opened: Option<Instant>,
    open_before: Duration,
    windows: u64,
    failure: Option<Error>,
}

impl Windows {
    /// Opens windows for that share of the time, from now on; for all of it, one window without end.
    pub(crate) fn start(
        probe: &'static str,
        share: f64,
        mut windowed: impl Windowed,
    ) -> Result<Self, Error> {
        if share <= 0.0 {
            return Err(Error::Unsupported {
                probe,
                reason: "its windows were switched off".into(),
            });
        }
        let shared = Arc::new(Shared::default());
        let of_thread = shared.clone();
        let run = move || {
            // Of what a panic leaves behind, nothing is used but the times.
            let run = AssertUnwindSafe(|| of_thread.run(share.min(1.0), &mut windowed));
            let ended = panic::catch_unwind(run).unwrap_or_else(|_| Err(panicked(probe)));
            if let Err(error) = ended {
                of_thread.closed();
                of_thread.state().failure = Some(error);
            }
        };
        let thread = thread::Builder::new()
            .name(format!("window-{probe}"))
            .spawn(run)
            .map_err(|error| Error::Unsupported {
                probe,
                reason: format!("cannot start a thread: {error}"),
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// How long a window is open at most for that share of the time.
    pub(crate) fn length(share: f64) -> Duration {
        LATER_PERIOD.mul_f64(share.clamp(0.0, 1.0))
    }

    /// How long they have been open.
    ///
    /// # Errors
    /// Why no more windows are opened, once.
    pub(crate) fn time(&self, probe: &'static str) -> Result<WindowTime, Error> {
        let mut state = self.shared.state();
        match state.failure.take() {
            Some(error) => Err(error),
            None => Ok(state.time(probe)),
        }
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        self.shared.state().stopping = true;
        self.shared.stop.notify_all();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

fn panicked(probe: &'static str) -> Error {
    Error::Unsupported {
        probe,
        reason: "the thread of its windows panicked".into(),
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, share: f64, windowed: &mut impl Windowed) -> Result<(), Error> {
        let begun = Instant::now();
        loop {
            let period = match begun.elapsed() < MANY_AFTER {
                true => PERIOD,
                false => LATER_PERIOD,
            };
            let open = period.mul_f64(share);
            windowed.open()?;
            self.opened();
            let ended = self.divided(open, share, windowed);
            // The books of the window are closed first: what is seen while it closes is not missed.
            self.closed();
            windowed.close()?;
            if ended? || self.wait(period - open) {
                return Ok(());
            }
        }
    }

    /// Goes through the parts of one window; whether to stop.
    fn divided(
        &self,
        open: Duration,
        share: f64,
        windowed: &mut impl Windowed,
    ) -> Result<bool, Error> {
        let parts = windowed.parts();
        loop {
            for part in 1..=parts {
                if self.wait(open / parts) {
                    return Ok(true);
                }
                if part < parts || share >= 1.0 {
                    windowed.turn(part % parts)?;
                }
            }
            if share < 1.0 {
                return Ok(false);
            }
        }
    }

    /// Waits so long; whether to stop.
    fn wait(&self, time: Duration) -> bool {
        let waits = |state: &mut State| !state.stopping;
        let state = self.stop.wait_timeout_while(self.state(), time, waits);
        state
            .map(|(state, _)| state.stopping)
            .unwrap_or_else(|poisoned| poisoned.into_inner().0.stopping)
    }

    fn opened(&self) {
        let mut state = self.state();
        state.opened = Some(Instant::now());
        state.windows += 1;
    }

    fn closed(&self) {
        let mut state = self.state();
        if let Some(opened) = state.opened.take() {
            state.open_before += opened.elapsed();
        }
    }
}

impl State {
    fn time(&self, probe: &'static str) -> WindowTime {
        let open_now = self
            .opened
            .map_or(Duration::ZERO, |opened| opened.elapsed());
        WindowTime {
            probe,
            open_ns: (self.open_before + open_now).as_nanos() as u64,
            windows: self.windows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Counting(Arc<[AtomicU64; 3]>);

    impl Windowed for Counting {
        fn open(&mut self) -> Result<(), Error> {
            self.0[0].fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        fn close(&mut self) -> Result<(), Error> {
            self.0[1].fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        fn parts(&self) -> u32 {
            3
        }

        fn turn(&mut self, part: u32) -> Result<(), Error> {
            assert!(part < 3, "part {part}");
            self.0[2].fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }

    fn counted(share: f64, time: Duration) -> ([u64; 3], WindowTime) {
        let counts = Arc::new([0, 0, 0].map(AtomicU64::new));
        let windows = Windows::start("test", share, Counting(counts.clone())).expect("a thread");
        thread::sleep(time);
        let time = windows.time("test").expect("no failure");
        drop(windows);
        let counts = [0, 1, 2].map(|place: usize| counts[place].load(Ordering::Relaxed));
        (counts, time)
    }

    #[test]
    fn windows_are_open_for_their_share() {
        let ([opened, closed, turned], time) = counted(0.1, Duration::from_millis(1_250));
        assert_eq!((opened, closed, turned), (3, 3, 6));
        assert_eq!(time.windows, 3);
        let open = time.open_ns as f64 / 1e9;
        assert!((0.15..0.25).contains(&open), "open for {open} s of 1.25 s");
    }

    #[test]
    fn a_share_of_one_is_one_window_whose_parts_come_in_turn() {
        let ([opened, closed, turned], time) = counted(1.0, Duration::from_millis(800));
        assert_eq!((opened, closed), (1, 1));
        assert_eq!(turned, 4, "one part takes a third of 500 ms");
        assert!(time.open_ns >= 790_000_000, "{time:?}");
    }

    struct Panicking;

    impl Windowed for Panicking {
        fn open(&mut self) -> Result<(), Error> {
            Ok(())
        }

        fn close(&mut self) -> Result<(), Error> {
            Ok(())
        }

        fn parts(&self) -> u32 {
            2
        }

        fn turn(&mut self, _part: u32) -> Result<(), Error> {
            panic!("on purpose")
        }
    }

    #[test]
    fn a_panic_is_a_failure_and_closes_the_window() {
        let windows = Windows::start("test", 0.1, Panicking).expect("a thread");
        let deadline = Instant::now() + Duration::from_secs(60);
        let ended = |thread: &JoinHandle<()>| thread.is_finished();
        while !windows.thread.as_ref().is_some_and(ended) {
            assert!(Instant::now() < deadline, "the thread goes on");
            thread::sleep(Duration::from_millis(1));
        }
        let failure = windows.time("test").expect_err("a failure").to_string();
        assert!(failure.contains("panicked"), "{failure}");
        let time = windows.time("test").expect("said once");
        assert_eq!(time.windows, 1);
        thread::sleep(Duration::from_millis(1));
        assert_eq!(windows.time("test").expect("said once"), time);
    }

    #[test]
    fn a_share_of_nothing_is_refused() {
        let counts = Arc::new([0, 0, 0].map(AtomicU64::new));
        assert!(Windows::start("test", 0.0, Counting(counts)).is_err());
    }
}
