//! What a handler that crashes takes with it, and when the server serves again.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::PATIENCE;
use crate::load::client::{Received, Reply};
use crate::load::run::Run;

/// After the crash, how long connections that it takes with it may take to end.
const FALLOUT: Duration = Duration::from_millis(200);
/// How long those that are left may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// What a server says that does not crash when it is told to.
const REFUSED: &[u8] = b"ERR CRASH";
/// Between two tries to be served again.
const TRY_AGAIN: Duration = Duration::from_millis(2);

/// What a handler that crashes takes with it.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Crash {
    /// Connections besides its own.
    pub(crate) others: u32,
    /// Of these, those that ended, or were answered no more or by an error.
    pub(crate) lost: u32,
    /// From the end of its own connection to the first answer on a new one; null if there was none
    /// within `--recovery`.
    pub(crate) serves_again_seconds: Option<f64>,
}

impl Crash {
    /// For people.
    pub(super) fn line(self) -> String {
        let again = match self.serves_again_seconds {
            Some(seconds) => format!("serves again after {:.3} ms", seconds * 1e3),
            None => "does not serve again in time".to_owned(),
        };
        format!("{} of {} others lost; {again}", self.lost, self.others)
    }
}

impl Run<'_> {
    pub(super) fn crash(&mut self) -> Result<Crash, String> {
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
        while silent.contains(&true) && begun.elapsed() < ANSWER {
            for index in self.readable()? {
                match self.clients[index].receive() {
                    Received::Nothing => continue,
                    Received::Reply(Reply::Simple(b"PONG")) => {}
                    Received::Closed | Received::Reply(_) => lost[index] = true,
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
                    // A server in front of the one that crashed says so.
                    Received::Reply(Reply::Error(text)) if !text.starts_with(REFUSED) => {
                        self.clients[index].clear();
                        lost[index] = true;
                    }
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
        while begun.elapsed() < self.options.recovery {
            if self.is_served() {
                return Some(begun.elapsed().as_secs_f64());
            }
            std::thread::sleep(TRY_AGAIN);
        }
        None
    }

    fn is_served(&self) -> bool {
        let answer = || {
            let mut stream = TcpStream::connect_timeout(&self.options.connect, ANSWER)?;
            stream.set_read_timeout(Some(ANSWER))?;
            stream.write_all(b"PING\r\n")?;
            let mut answer = [0; 7];
            stream.read_exact(&mut answer).map(|()| answer)
        };
        answer().is_ok_and(|answer: [u8; 7]| &answer == b"+PONG\r\n")
    }
}
