//! Bringing the server into the state that a workload needs.

use std::time::Duration;

use super::PATIENCE;
use crate::errors::in_words;
use crate::load::control::FIRST_CONTROL_TOKEN;
use crate::load::run::Run;
use crate::load::workload::Verdict;

/// Preparations sent at a time.
const PREPARATIONS: u64 = 64;
/// How long one poll waits for answers.
const POLL: Duration = Duration::from_millis(100);

impl Run<'_> {
    /// Fills the server as the workload needs it, over the first connection, some requests at a
    /// time.
    pub(super) fn prepare(&mut self) -> Result<(), String> {
        let mut next = 0;
        loop {
            let mut batch = Vec::new();
            let first = next;
            while next < first + PREPARATIONS
                && self.traffic.preparation(next, &mut self.request).is_some()
            {
                batch.extend_from_slice(&self.request);
                next += 1;
            }
            if batch.is_empty() {
                return Ok(());
            }
            self.clients[0]
                .send(&batch)
                .map_err(|error| format!("cannot prepare the server: {}", in_words(error)))?;
            self.expect_prepared((next - first) as usize)?;
        }
    }

    fn expect_prepared(&mut self, replies: usize) -> Result<(), String> {
        // Polls in a row in which nothing came: while we have no CPU ourselves nobody is silent.
        let mut silent = 0;
        let expected = b"+OK\r\n".repeat(replies);
        loop {
            match self.clients[0].receive_exactly(&expected) {
                Some(Verdict::Right) => return Ok(()),
                Some(_) => {
                    self.tally.errors.error_replies += 1;
                    return Err("cannot prepare the server: it did not accept a SET".to_owned());
                }
                None if silent * POLL > PATIENCE => {
                    self.tally.errors.timeouts += 1;
                    return Err("cannot prepare the server: no answer".to_owned());
                }
                None => {}
            }
            let events = self.poll(POLL.as_nanos() as u64)?;
            silent += u32::from(events == 0);
            for event in 0..events {
                let (token, _) = self.poller.event(event);
                if token >= FIRST_CONTROL_TOKEN {
                    self.control.take(token);
                    self.check_control()?;
                } else if token != 0 {
                    self.idle_event(token as usize)?;
                } else {
                    silent = 0;
                }
            }
        }
    }
}
