//! The progress bar: on stderr, if that is a terminal and nobody asked for quiet.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::{self, IsTerminal},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How often the bar moves.
const TICK: Duration = Duration::from_millis(200);

/// A bar over expected time, which moves by itself within each step of the work.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    step: Arc<Mutex<Step>>,
    /// Dropped to stop the ticker.
    stop: Option<mpsc::Sender<()>>,
    ticker: Option<JoinHandle<()>>,
}

/// What is being done, and where on the bar it begins and ends.
#[derive(Debug)]
struct Step {
    begun: Instant,
    from: Duration,
    takes: Duration,
}

impl Progress {
    /// A bar for work expected to take `time`; invisible if `quiet` or below two seconds.
    pub fn new(time: Duration, quiet: bool) -> Self {
        let shown = !quiet && std::io::stderr().is_terminal() && time >= Duration::from_secs(2);
        let target = if shown {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(time.as_millis() as u64), target);
        let style =
            ProgressStyle::with_template("{bar:30} {percent:>3} %  {elapsed_precise}  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let step = Arc::new(Mutex::new(Step {
            begun: Instant::now(),
            from: Duration::ZERO,
            takes: time,
        }));
        let (stop, stopped) = mpsc::channel();
        let ticker = shown
            .then(|| tick(bar.clone(), step.clone(), stopped).ok())
            .flatten();
        Self {
            bar,
            step,
            stop: Some(stop),
            ticker,
        }
    }

    /// Begins a step: what it is, how far the work has come, and how long it is expected to take.
    pub fn begin(&self, what: impl Into<String>, from: Duration, takes: Duration) {
        self.bar.set_message(what.into());
        let begun = Instant::now();
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = Step { begun, from, takes };
    }

    /// A line above the bar.
    pub fn remark(&self, line: &str) {
        self.bar.println(line);
    }
}

/// Moves the bar on; it stands still where no thread can be started.
fn tick(
    bar: ProgressBar,
    step: Arc<Mutex<Step>>,
    stopped: mpsc::Receiver<()>,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().spawn(move || {
        while stopped.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
            let step = step.lock().unwrap_or_else(PoisonError::into_inner);
            let done = step.from + step.begun.elapsed().min(step.takes);
            bar.set_position(done.as_millis() as u64);
        }
    })
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(ticker) = self.ticker.take() {
            let _ = ticker.join();
        }
        self.bar.finish_and_clear();
    }
}
