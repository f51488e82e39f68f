//! The progress bar: on stderr, if that is a terminal and nobody asked for quiet.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{io::IsTerminal, time::Duration};

/// A bar over seconds of expected time, with a line that says what is being done.
#[derive(Debug)]
pub struct Progress(ProgressBar);

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
        Self(bar)
    }

    /// What is being done now.
    pub fn say(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
    }

    /// That so much of the expected time is behind us.
    pub fn set(&self, done: Duration) {
        self.0.set_position(done.as_millis() as u64);
    }

    /// A line above the bar.
    pub fn remark(&self, line: &str) {
        self.0.println(line);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
