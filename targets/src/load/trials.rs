//! What is tried when the load is over, on the connections that held it: how long one request that
//! burns CPU time holds the others up, and what a handler that crashes takes with it.

mod crash;
mod stall;

use std::time::{Duration, Instant};

use redis_protocol::resp2::types::BorrowedFrame::BulkString;

use self::crash::Crash;
use self::stall::Stall;
use super::client::Received;
use super::control::FIRST_CONTROL_TOKEN;
use super::run::Run;
use crate::errors::in_words;
use crate::protocol::reply::array;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was tried; none of what was not asked for, or where there are no others.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(crate) struct Trials {
    stall: Option<Stall>,
    crash: Option<Crash>,
}

impl Trials {
    /// Lines for people: what it is, and what came of it.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        let stall = self.stall.map(|stall| ("stall", stall.line()));
        let crash = self.crash.map(|crash| ("crash", crash.line()));
        stall.into_iter().chain(crash).collect()
    }
}

impl Run<'_> {
    /// Tries what was asked for.
    ///
    /// # Errors
    /// What went wrong but what was to be tried.
    pub(crate) fn try_trials(&mut self) -> Result<(), String> {
        if !self.options.stall && !self.options.crash {
            return Ok(());
        }
        self.take_last_answers()?;
        if self.options.stall {
            self.trials.stall = self.stall()?;
        }
        if self.options.crash {
            self.trials.crash = Some(self.crash()?);
        }
        Ok(())
    }

    /// Of requests that the end of the load has overtaken.
    fn take_last_answers(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        while self.clients.iter().any(|client| client.pending.is_some()) {
            if begun.elapsed() > PATIENCE {
                return Err(format!("a request was not answered within {PATIENCE:?}"));
            }
            for index in self.readable()? {
                let client = &mut self.clients[index];
                match client.receive() {
                    Received::Nothing => {}
                    Received::Reply(_) => {
                        client.clear();
                        client.pending = None;
                    }
                    Received::Closed => {
                        return Err("a connection was lost before what was to be tried".to_owned());
                    }
                }
            }
        }
        Ok(())
    }

    fn request_now(&mut self, index: usize, words: &[&str]) -> Result<Instant, String> {
        self.request.clear();
        let words: Vec<_> = words
            .iter()
            .map(|word| BulkString(word.as_bytes()))
            .collect();
        array(&mut self.request, &words);
        let now = Instant::now();
        self.clients[index]
            .send(&self.request)
            .map_err(|error| format!("connection {index} was lost: {}", in_words(error)))?;
        Ok(now)
    }

    /// Connections with news, as they come.
    fn readable(&mut self) -> Result<Vec<usize>, String> {
        let events = self.poll(Duration::from_millis(20).as_nanos() as u64)?;
        let mut readable = Vec::new();
        for event in 0..events {
            let (token, _) = self.poller.event(event);
            if token >= FIRST_CONTROL_TOKEN {
                self.control.take(token);
            } else {
                readable.push(token as usize);
            }
        }
        self.check_control()?;
        Ok(readable)
    }
}
