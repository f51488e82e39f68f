//! What is tried when the load is over, on the connections that held it: how long one request that
//! burns CPU time holds the others up, and what a handler that crashes takes with it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use redis_protocol::resp2::types::BorrowedFrame::BulkString;

use super::client::{Received, Reply};
use super::control::FIRST_CONTROL_TOKEN;
use super::run::Run;
use crate::errors::in_words;
use crate::protocol::reply::array;

/// What the request burns.
const WORK: Duration = Duration::from_millis(100);
/// How often.
const TIMES: u32 = 5;
/// Others that ask meanwhile: more would hold each other up.
const MOST_OTHERS: usize = 100;
/// From the request that burns to those of the others: the server has begun with it.
const HEAD_START: Duration = Duration::from_millis(2);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// After the crash, how long connections that it takes with it may take to end.
const FALLOUT: Duration = Duration::from_millis(200);
/// How long the server may take until it serves again.
const RECOVERY: Duration = Duration::from_secs(2);
/// Between two tries to be served again.
const TRY_AGAIN: Duration = Duration::from_millis(2);

/// What was tried; none of what was not asked for, or where there are no others.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(crate) struct Trials {
    stall: Option<Stall>,
    crash: Option<Crash>,
}

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

/// What a handler that crashes takes with it.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Crash {
    /// Connections besides its own.
    pub(crate) others: u32,
    /// Of these, those that ended or answered no more.
    pub(crate) lost: u32,
    /// From the end of its own connection to the first answer on a new one; null if there was none
    /// within 2 s.
    pub(crate) serves_again_seconds: Option<f64>,
}

impl Trials {
    /// Lines for people: what it is, and what came of it.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        let stall = self.stall.map(|stall| {
            let Stall { with, without, .. } = stall;
            let text = format!(
                "{} ms of CPU for one hold {} others up: p50 {:.3} ms, max {:.3} ms (else {:.3} and {:.3})",
                stall.work_seconds * 1e3,
                stall.others,
                with.p50_seconds * 1e3,
                with.max_seconds * 1e3,
                without.p50_seconds * 1e3,
                without.max_seconds * 1e3,
            );
            ("stall", text)
        });
        let crash = self.crash.map(|crash| {
            let again = match crash.serves_again_seconds {
                Some(seconds) => format!("serves again after {:.3} ms", seconds * 1e3),
                None => format!("does not serve again within {RECOVERY:?}"),
            };
            let text = format!("{} of {} others lost; {again}", crash.lost, crash.others);
            ("crash", text)
        });
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

    fn stall(&mut self) -> Result<Option<Stall>, String> {
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

    fn crash(&mut self) -> Result<Crash, String> {
        self.request_now(0, &["CRASH"])?;
        let mut lost = vec![false; self.clients.len()];
        self.see_ends(&mut lost, PATIENCE, |lost| lost[0])?;
        if !lost[0] {
            return Err("the server did not crash".to_owned());
        }
        let serves_again_seconds = self.wait_to_be_served();
        self.see_ends(&mut lost, FALLOUT, |_| false)?;
        // Who is still there may have nobody to answer any more.
        for (index, lost) in lost.iter_mut().enumerate().skip(1) {
            *lost = *lost || self.request_now(index, &["PING"]).is_err();
        }
        let mut silent: Vec<_> = lost.iter().map(|lost| !lost).collect();
        let begun = Instant::now();
        while silent.contains(&true) && begun.elapsed() < RECOVERY {
            for index in self.readable()? {
                match self.clients[index].receive() {
                    Received::Nothing => continue,
                    Received::Closed => lost[index] = true,
                    Received::Reply(_) => {}
                }
                silent[index] = false;
            }
        }
        let lost = lost.iter().zip(&silent).skip(1);
        Ok(Crash {
            others: self.clients.len() as u32 - 1,
            lost: lost.filter(|(lost, silent)| **lost || **silent).count() as u32,
            serves_again_seconds,
        })
    }

    /// Notes the connections that end, until `enough` or for so long.
    fn see_ends(
        &mut self,
        lost: &mut [bool],
        limit: Duration,
        enough: impl Fn(&[bool]) -> bool,
    ) -> Result<(), String> {
        let begun = Instant::now();
        while !enough(lost) && begun.elapsed() < limit {
            for index in self.readable()? {
                match self.clients[index].receive() {
                    Received::Nothing => {}
                    Received::Closed => lost[index] = true,
                    Received::Reply(Reply::Error(text)) => {
                        return Err(format!(
                            "the server does not crash: {}",
                            text.escape_ascii()
                        ));
                    }
                    Received::Reply(reply) => {
                        return Err(format!("the server does not crash: {reply:?}"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Comes again and again until there is an answer.
    fn wait_to_be_served(&self) -> Option<f64> {
        let begun = Instant::now();
        while begun.elapsed() < RECOVERY {
            if self.is_served() {
                return Some(begun.elapsed().as_secs_f64());
            }
            std::thread::sleep(TRY_AGAIN);
        }
        None
    }

    fn is_served(&self) -> bool {
        let answer = || {
            let mut stream = TcpStream::connect_timeout(&self.options.connect, RECOVERY)?;
            stream.set_read_timeout(Some(RECOVERY))?;
            stream.write_all(b"PING\r\n")?;
            let mut answer = [0; 7];
            stream.read_exact(&mut answer).map(|()| answer)
        };
        answer().is_ok_and(|answer: [u8; 7]| &answer == b"+PONG\r\n")
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

impl Delays {
    fn of(mut delays: Vec<Duration>) -> Self {
        delays.sort_unstable();
        Self {
            p50_seconds: delays[delays.len() / 2].as_secs_f64(),
            max_seconds: delays[delays.len() - 1].as_secs_f64(),
        }
    }
}
