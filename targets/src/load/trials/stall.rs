//! How long one request that burns CPU time holds the other connections up.

use std::time::{Duration, Instant};

use super::PATIENCE;
use crate::load::client::{Received, Reply};
use crate::load::run::Run;

/// What the request burns.
const WORK: Duration = Duration::from_millis(100);
/// How often.
const TIMES: u32 = 5;
/// Others that ask meanwhile: more would hold each other up.
const MOST_OTHERS: usize = 100;
/// From the request that burns to those of the others: the server has begun with it.
const HEAD_START: Duration = Duration::from_millis(2);

/// How long others wait for an answer to a PING while one connection's request burns CPU time.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Stall {
    /// What the request burns.
    pub(crate) work_seconds: f64,
    /// How often it was tried.
    pub(crate) times: u32,
    /// Connections that asked all at once, each time.
    pub(crate) others: u32,
    /// While nothing else is asked for.
    pub(crate) without: Delays,
    /// While it burns.
    pub(crate) with: Delays,
}

/// Times from the question to the answer.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Delays {
    /// Half were no longer.
    pub(crate) p50_seconds: f64,
    /// The longest.
    pub(crate) max_seconds: f64,
}

impl Stall {
    /// For people.
    pub(super) fn line(self) -> String {
        let Self { with, without, .. } = self;
        format!(
            "{} ms of CPU for one hold {} others up: p50 {:.3} ms, max {:.3} ms (else {:.3} and {:.3})",
            self.work_seconds * 1e3,
            self.others,
            with.p50_seconds * 1e3,
            with.max_seconds * 1e3,
            without.p50_seconds * 1e3,
            without.max_seconds * 1e3,
        )
    }
}

impl Run<'_> {
    /// `None` where there are no others.
    pub(super) fn stall(&mut self) -> Result<Option<Stall>, String> {
        let others = (self.clients.len() - 1).min(MOST_OTHERS);
        if others == 0 {
            return Ok(None);
        }
        let burn = WORK.as_micros().to_string();
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..TIMES {
            without.extend(self.ask(others, None)?);
            with.extend(self.ask(others, Some(&burn))?);
        }
        Ok(Some(Stall {
            work_seconds: WORK.as_secs_f64(),
            times: TIMES,
            others: others as u32,
            without: Delays::of(without),
            with: Delays::of(with),
        }))
    }

    /// Asks on connections 1 to `others` at once, and has the first burn so many microseconds
    /// meanwhile. How long the others took to be answered.
    fn ask(&mut self, others: usize, burn: Option<&str>) -> Result<Vec<Duration>, String> {
        let mut asked = vec![None; others + 1];
        if let Some(burn) = burn {
            asked[0] = Some(self.request_now(0, &["WORK", burn])?);
            std::thread::sleep(HEAD_START);
        }
        for (index, asked) in asked.iter_mut().enumerate().skip(1) {
            *asked = Some(self.request_now(index, &["PING"])?);
        }
        let mut delays = Vec::new();
        let begun = Instant::now();
        while asked.iter().any(Option::is_some) {
            if begun.elapsed() > PATIENCE {
                return Err(format!("a PING was not answered within {PATIENCE:?}"));
            }
            for index in self.readable()? {
                match self.clients[index].receive() {
                    Received::Nothing => continue,
                    Received::Reply(Reply::Simple(b"PONG" | b"OK")) => {}
                    _ => return Err("a connection was lost beside a WORK".to_owned()),
                }
                self.clients[index].clear();
                if let Some(at) = asked.get_mut(index).and_then(Option::take)
                    && index > 0
                {
                    delays.push(at.elapsed());
                }
            }
        }
        Ok(delays)
    }
}

impl Delays {
    fn of(mut delays: Vec<Duration>) -> Self {
        delays.sort_unstable();
        Self {
            p50_seconds: delays[delays.len() / 2].as_secs_f64(),
            max_seconds: delays[delays.len() - 1].as_secs_f64(),
        }
    }
}
