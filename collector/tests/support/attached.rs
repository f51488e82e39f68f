//! A watch that begins and ends when the test says so.
#![allow(dead_code, unreachable_pub)]

use crate::program::*;
use serde_json::Value;

pub struct Attached(Running);

impl Attached {
    /// Attaches by these words, and returns when the watch has begun.
    #[track_caller]
    pub fn to(words: &str) -> Self {
        let command = connscope(&format!("attach {words} --format json"));
        let mut running = Running::start(command);
        wait_for("watch", || {
            let said = running.said();
            let begun = said.contains("watching until Ctrl-C");
            assert!(begun || running.is_running(), "{said}");
            begun.then_some(())
        });
        Self(running)
    }

    /// Ends the watch in order.
    #[track_caller]
    pub fn report(self) -> Value {
        self.0.end_by(libc::SIGINT).exits(0).report()
    }
}
