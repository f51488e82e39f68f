//! Requests of one pipeline that other cores execute: each core gets its part in one message, all at
//! once, and the replies are put in order when all parts are back.
//!
//! So a pipeline over many keys takes one exchange with each core, not one for each request. Requests
//! for one key are executed in the order they came in; those for keys of different cores are not
//! ordered between cores, only their replies are.

use std::iter::once;
use std::time::Duration;

use redis_protocol::resp2::types::BorrowedFrame;

use crate::protocol::{Decoder, MAX_REQUEST_BYTES, Request, reply};
use crate::session::MAX_WAITING_BYTES;
use crate::store::SingleThread;
use crate::work::{Context, Held, Outcome, Waiting, execute};

/// The most requests that one batch takes in.
const MAX_REQUESTS: usize = 1024;

/// What one core executes of a batch.
#[derive(Default)]
pub(super) struct Part {
    /// Requests, as they came in; empty in the part of the connection's own core, which executes
    /// them at once.
    requests: Vec<u8>,
    /// Bytes of `requests` that were executed.
    executed: usize,
    replies: Vec<u8>,
    /// Where each reply ends.
    ends: Vec<u32>,
    /// How many replies were taken.
    taken: usize,
    /// The request that waits, and how long.
    waiting: Option<(Duration, Waiting)>,
}

impl Part {
    /// Executes the requests, until enough replies wait.
    pub(super) fn execute(&mut self, context: &Context<'_, SingleThread>, decoder: &mut Decoder) {
        // What is sent to other cores holds nothing for its connection.
        let mut held = Held::default();
        while self.executed < self.requests.len() && self.replies.len() < MAX_WAITING_BYTES {
            let input = &self.requests[self.executed..];
            // Decoded before by the connection's own core.
            let Ok(Some(length)) = decoder.decode(input) else {
                debug_assert!(false, "half a request was sent");
                return;
            };
            let outcome = match self.waiting.take() {
                Some((_, waiting)) => waiting.resume(context.store, &mut self.replies),
                None => {
                    let request = decoder.request(input);
                    execute(request, context, &mut held, &mut self.replies)
                }
            };
            decoder.next_request();
            if let Outcome::Wait(time, waiting) = outcome {
                self.waiting = Some((time, waiting));
                return;
            }
            self.executed += length;
            self.ends.push(self.replies.len() as u32);
        }
    }

    fn is_executed(&self) -> bool {
        self.executed == self.requests.len()
    }

    /// Appends the next reply to `output`, if it is there.
    fn take(&mut self, output: &mut Vec<u8>) -> bool {
        let Some(&end) = self.ends.get(self.taken) else {
            return false;
        };
        let from = match self.taken {
            0 => 0,
            taken => self.ends[taken - 1],
        };
        output.extend_from_slice(&self.replies[from as usize..end as usize]);
        self.taken += 1;
        true
    }

    /// Ready for other requests; large ones are not paid for any longer.
    fn clear(&mut self) {
        for buffer in [&mut self.requests, &mut self.replies] {
            buffer.clear();
            buffer.shrink_to(MAX_WAITING_BYTES);
        }
        self.ends.clear();
        self.executed = 0;
        self.taken = 0;
        self.waiting = None;
    }
}

/// Requests of one connection under way.
#[derive(Default)]
pub(super) struct Batch {
    /// Which core executes each request.
    order: Vec<u16>,
    /// How many of them have their reply in the output.
    replied: usize,
    /// The parts that are here, with their cores.
    parts: Vec<(u16, Box<Part>)>,
    /// How many parts are under way.
    missing: usize,
    /// The replies are numbers whose sum is the one reply.
    summed: bool,
    /// It takes in no other request.
    full: bool,
}

impl Batch {
    /// Whether a request of so many bytes fits in.
    pub(super) fn has_room(&self, own: u16, bytes: usize) -> bool {
        let own = self.parts.iter().find(|(core, _)| *core == own);
        let waiting = own.map_or(0, |(_, part)| part.replies.len());
        let kept: usize = self.parts.iter().map(|(_, part)| part.requests.len()).sum();
        !self.full
            && self.order.len() < MAX_REQUESTS
            && waiting < MAX_WAITING_BYTES
            && (kept + bytes < MAX_WAITING_BYTES || kept == 0 && bytes <= MAX_REQUEST_BYTES)
    }

    /// Takes in a request for another core.
    pub(super) fn add(&mut self, core: u16, request: &[u8], spare: &mut Spare) {
        self.part(core, spare).requests.extend_from_slice(request);
        self.order.push(core);
    }

    /// Takes in a request that this core executes: `write` writes its reply.
    pub(super) fn add_own(
        &mut self,
        own: u16,
        spare: &mut Spare,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let part = self.part(own, spare);
        write(&mut part.replies);
        part.ends.push(part.replies.len() as u32);
        self.order.push(own);
    }

    /// Takes in a `DEL` of keys that are on several cores.
    pub(super) fn add_deletion(
        &mut self,
        request: Request<'_>,
        core_of: impl Fn(&[u8]) -> u16,
        spare: &mut Spare,
    ) {
        let mut keys: Vec<(u16, &[u8])> =
            request.operands().map(|key| (core_of(key), key)).collect();
        keys.sort_by_key(|(core, _)| *core);
        for keys in keys.chunk_by(|one, next| one.0 == next.0) {
            let core = keys[0].0;
            let part = self.part(core, spare);
            let words = once(&b"DEL"[..]).chain(keys.iter().map(|(_, key)| *key));
            let request: Vec<_> = words.map(BorrowedFrame::BulkString).collect();
            reply::array(&mut part.requests, &request);
            self.order.push(core);
        }
        self.summed = true;
        self.full = true;
    }

    /// Takes in a request that may wait on another core: alone, since nothing may overtake it.
    pub(super) fn add_alone(&mut self, core: u16, request: &[u8], spare: &mut Spare) {
        self.add(core, request, spare);
        self.full = true;
    }

    /// How long it is to be kept before it is sent once more, if it is.
    pub(super) fn take_wait(&mut self) -> Option<Duration> {
        let waiting = self
            .parts
            .iter_mut()
            .find_map(|(_, part)| part.waiting.as_mut())?;
        Some(std::mem::take(&mut waiting.0)).filter(|time| !time.is_zero())
    }

    /// Hands out each part that has something to execute.
    pub(super) fn send(&mut self, mut send: impl FnMut(u16, Box<Part>)) {
        let mut here = Vec::new();
        for (core, part) in self.parts.drain(..) {
            if part.is_executed() {
                here.push((core, part));
            } else {
                self.missing += 1;
                send(core, part);
            }
        }
        self.parts = here;
    }

    /// Takes a part back. Whether all are here.
    pub(super) fn take_back(&mut self, core: u16, part: Box<Part>) -> bool {
        self.parts.push((core, part));
        self.missing -= 1;
        self.missing == 0
    }

    /// Appends what replies there are to `output`, in order. Whether those were all; else the rest
    /// is to be sent once more.
    pub(super) fn reply(&mut self, output: &mut Vec<u8>, spare: &mut Spare) -> bool {
        if self.summed {
            let sum = self
                .parts
                .iter()
                .map(|(_, part)| number(&part.replies))
                .sum();
            reply::integer(output, sum);
            self.replied = self.order.len();
        }
        while let Some(core) = self.order.get(self.replied) {
            let part = self.parts.iter_mut().find(|(of, _)| of == core);
            if !part.is_some_and(|(_, part)| part.take(output)) {
                break;
            }
            self.replied += 1;
        }
        let over = self.replied == self.order.len();
        if over {
            for (_, part) in self.parts.drain(..) {
                spare.put(part);
            }
            self.order.clear();
            self.replied = 0;
            self.summed = false;
            self.full = false;
        } else {
            for (_, part) in &mut self.parts {
                part.forget_taken();
            }
        }
        over
    }

    fn part(&mut self, core: u16, spare: &mut Spare) -> &mut Part {
        let at = self.parts.iter().position(|(of, _)| *of == core);
        let at = at.unwrap_or_else(|| {
            self.parts.push((core, spare.take()));
            self.parts.len() - 1
        });
        &mut self.parts[at].1
    }
}

impl Part {
    /// Makes room for the replies to what was not executed yet, if all others were taken.
    fn forget_taken(&mut self) {
        if self.taken == self.ends.len() {
            self.requests.drain(..self.executed);
            self.executed = 0;
            self.replies.clear();
            self.ends.clear();
            self.taken = 0;
        }
    }
}

/// Parts to be used again.
#[derive(Default)]
#[allow(
    clippy::vec_box,
    reason = "parts are sent as boxes: a message is to be small"
)]
pub(super) struct Spare(Vec<Box<Part>>);

impl Spare {
    /// The most that are kept.
    const MOST: usize = 256;

    fn take(&mut self) -> Box<Part> {
        self.0.pop().unwrap_or_default()
    }

    /// Keeps a part for later.
    pub(super) fn put(&mut self, mut part: Box<Part>) {
        if self.0.len() < Self::MOST {
            part.clear();
            self.0.push(part);
        }
    }
}

/// The number that the first reply is, 0 if it is none.
fn number(replies: &[u8]) -> i64 {
    let line = replies.strip_prefix(b":").unwrap_or_default();
    let digits = line.strip_suffix(b"\r\n").unwrap_or_default();
    std::str::from_utf8(digits).map_or(0, |digits| digits.parse().unwrap_or(0))
}
