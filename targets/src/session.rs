//! One connection's side of the protocol, the same in every model: bytes in, commands executed,
//! replies out. Knows no socket.
//!
//! Memory is bounded: at most one incomplete request of input is kept (1 MiB and a read), and
//! commands stop being executed while 64 KiB of replies wait to be written.

use std::time::Duration;

use crate::protocol::{Decoder, ProtocolError, Request, reply};
use crate::store::{Lock, Store};
use crate::work::{Context, Held, Outcome, Waiting, execute};

/// The room for one read, in bytes.
pub(crate) const READ_BYTES: usize = 16 * 1024;
/// Waiting replies beyond which no command is executed, in bytes.
pub(crate) const MAX_WAITING_BYTES: usize = 64 * 1024;

/// The state of one connection.
#[derive(Debug, Default)]
pub(crate) struct Session {
    decoder: Decoder,
    held: Held,
    /// The command that waits, if one does.
    waiting: Option<Waiting>,
    buffers: Buffers,
    /// Bytes of the input that were executed.
    executed: usize,
    /// Bytes of the output that were written.
    written: usize,
}

/// Input not yet executed and replies not yet written.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// What was read.
    pub(crate) input: Vec<u8>,
    /// What is to be written.
    pub(crate) output: Vec<u8>,
}

/// Why a session stopped executing. Whatever it is, the output is to be written first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// All complete requests were executed.
    NeedInput,
    /// Enough replies wait; to be continued when they are written.
    OutputFull,
    /// To be continued after this time, and not before.
    Wait(Duration),
    /// To be continued when this much CPU time was burned; only where the context calls any work heavy.
    Work(Duration),
    /// The connection ends.
    Close,
}

impl Session {
    /// Where to append what was read, with room for a read.
    pub(crate) fn input(&mut self) -> &mut Vec<u8> {
        let input = &mut self.buffers.input;
        if input.capacity() - input.len() < READ_BYTES / 4 {
            input.reserve(READ_BYTES.max(input.len()));
        }
        input
    }

    /// Bytes of the input that were not executed.
    pub(crate) fn waiting_input(&self) -> usize {
        self.buffers.input.len() - self.executed
    }

    /// What is to be written.
    pub(crate) fn output(&self) -> &[u8] {
        &self.buffers.output[self.written..]
    }

    /// Takes what is to be written away, to be written elsewhere; `empty` takes its place.
    pub(crate) fn take_output(&mut self, empty: Vec<u8>) -> Vec<u8> {
        debug_assert!(
            self.written == 0 && empty.is_empty(),
            "output in two places"
        );
        std::mem::replace(&mut self.buffers.output, empty)
    }

    /// Where replies are appended by others than commands.
    pub(crate) fn output_mut(&mut self) -> &mut Vec<u8> {
        &mut self.buffers.output
    }

    /// Notes that `bytes` of the output were written.
    pub(crate) fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        if self.written == self.buffers.output.len() {
            self.buffers.output.clear();
            self.written = 0;
            release_excess(&mut self.buffers.output);
        }
    }

    /// Executes the complete requests of the input; goes on with the one that waits, if one does.
    pub(crate) fn execute<L: Lock>(&mut self, context: &Context<'_, L>) -> Stop {
        self.execute_with(context.store, |request, _, held, output| {
            Some(execute(request, context, held, output))
        })
        .unwrap_or(Stop::NeedInput)
    }

    /// The same, but each request is executed as `run` does it, which is given its bytes too, and
    /// where to append the reply. `None` when `run` has answered `None`: that request comes again.
    pub(crate) fn execute_with<L: Lock>(
        &mut self,
        store: &Store<L>,
        mut run: impl FnMut(Request<'_>, &[u8], &mut Held, &mut Vec<u8>) -> Option<Outcome>,
    ) -> Option<Stop> {
        loop {
            if self.output().len() >= MAX_WAITING_BYTES {
                return Some(Stop::OutputFull);
            }
            let outcome = match self.waiting.take() {
                Some(waiting) => waiting.resume(store, &mut self.buffers.output),
                None => match self.execute_next(&mut run) {
                    Ok(Some(outcome)) => outcome,
                    Ok(None) => {
                        // More may be appended before all of it is executed.
                        if self.executed >= READ_BYTES {
                            self.forget_executed();
                        }
                        return None;
                    }
                    Err(stop) => return Some(stop),
                },
            };
            match outcome {
                Outcome::Replied => {}
                Outcome::Wait(time, waiting) => {
                    self.waiting = Some(waiting);
                    return Some(Stop::Wait(time));
                }
                Outcome::Work(time) => {
                    self.waiting = Some(Waiting::Time);
                    return Some(Stop::Work(time));
                }
                Outcome::Close => return Some(Stop::Close),
            }
        }
    }

    /// Executes the next request of the input, if it is complete.
    fn execute_next(
        &mut self,
        run: &mut impl FnMut(Request<'_>, &[u8], &mut Held, &mut Vec<u8>) -> Option<Outcome>,
    ) -> Result<Option<Outcome>, Stop> {
        let input = &self.buffers.input[self.executed..];
        let length = match self.decoder.decode(input) {
            Ok(Some(length)) => length,
            Ok(None) => {
                self.forget_executed();
                return Err(Stop::NeedInput);
            }
            Err(error) => return Err(self.refuse(error)),
        };
        let request = self.decoder.request(input);
        let (held, output) = (&mut self.held, &mut self.buffers.output);
        let outcome = run(request, &input[..length], held, output);
        self.decoder.next_request();
        if outcome.is_some() {
            self.executed += length;
        }
        Ok(outcome)
    }

    /// Works in buffers that many sessions share, in place of its own where it keeps nothing in
    /// them. To be followed by `return_buffers` with the same.
    pub(crate) fn borrow_buffers(&mut self, shared: &mut Buffers) {
        if self.buffers.input.is_empty() {
            std::mem::swap(&mut self.buffers.input, &mut shared.input);
        }
        if self.buffers.output.is_empty() {
            std::mem::swap(&mut self.buffers.output, &mut shared.output);
        }
    }

    /// Gives shared buffers back, keeping copies of what is left in them.
    pub(crate) fn return_buffers(&mut self, shared: &mut Buffers) {
        return_buffer(
            &mut self.buffers.input,
            &mut self.executed,
            &mut shared.input,
        );
        return_buffer(
            &mut self.buffers.output,
            &mut self.written,
            &mut shared.output,
        );
    }

    fn refuse(&mut self, error: ProtocolError) -> Stop {
        reply::error(
            &mut self.buffers.output,
            &format!("ERR Protocol error: {error}"),
        );
        Stop::Close
    }

    fn forget_executed(&mut self) {
        self.buffers.input.drain(..self.executed);
        self.executed = 0;
        release_excess(&mut self.buffers.input);
    }
}

/// Keeps one large request from being paid for by an idle connection.
fn release_excess(buffer: &mut Vec<u8>) {
    if buffer.is_empty() && buffer.capacity() > 4 * MAX_WAITING_BYTES {
        *buffer = Vec::new();
    }
}

/// Gives a shared buffer back, of which `done` bytes need not be kept; `own` is the shared buffer if
/// `shared` has none to lend now.
pub(crate) fn return_buffer(own: &mut Vec<u8>, done: &mut usize, shared: &mut Vec<u8>) {
    let lent = shared.capacity() == 0;
    if own.len() == *done {
        own.clear();
        *done = 0;
        if lent {
            std::mem::swap(own, shared);
        } else {
            *own = Vec::new();
        }
    } else if lent {
        let left = own[*done..].to_vec();
        *done = 0;
        own.clear();
        *shared = std::mem::replace(own, left);
    }
}
