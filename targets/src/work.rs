//! The commands: the same work for every concurrency model.

mod about;
mod booking;
mod burning;
mod context;

use std::time::Duration;

pub(crate) use booking::key_of_seat;
pub(crate) use burning::{burn, thread_cpu};
pub(crate) use context::Context;

use about::{config, info};
use booking::{Booking, Mode, Step};

use crate::memory::Mapping;
use crate::protocol::{Request, reply};
use crate::store::{Full, IncrementError, Lock, MAX_KEY_BYTES, MAX_VALUE_BYTES, Store};

/// The most `WORK` burns, in microseconds of CPU.
const MAX_WORK_US: u64 = 10_000_000;
/// The most `WAIT` waits, in milliseconds.
const MAX_WAIT_MS: u64 = 60_000;
/// The most `TOUCH` holds, in bytes.
const MAX_TOUCH_BYTES: u64 = 1 << 30;

const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";
const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";

/// What one connection holds between commands.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The memory that `TOUCH` asked for, freed with the connection.
    touched: Option<Mapping>,
}

/// What follows from a command.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The reply is in the output.
    Replied,
    /// The command goes on after this time without CPU.
    Wait(Duration, Waiting),
    /// `+OK` is to be the reply after this much CPU time was burned, by whomever.
    Work(Duration),
    /// The reply is in the output, and the connection ends after it.
    Close,
}

/// A command that waits.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// `WAIT`, which has nothing left to do but to reply.
    Time,
    /// `BOOK`. Boxed, since each connection has room for one.
    Booking(Box<Booking>),
}

impl Waiting {
    /// Goes on when its time is over.
    pub(crate) fn resume<L: Lock>(self, store: &Store<L>, output: &mut Vec<u8>) -> Outcome {
        match self {
            Self::Time => reply::simple(output, "OK"),
            Self::Booking(booking) => return take_step(booking, store, output),
        }
        Outcome::Replied
    }
}

/// Executes `request`, appending its reply to `output`.
pub(crate) fn execute<L: Lock>(
    request: Request<'_>,
    context: &Context<'_, L>,
    held: &mut Held,
    output: &mut Vec<u8>,
) -> Outcome {
    if request.len() == 0 {
        return Outcome::Replied;
    }
    let operands = request.len() - 1;
    let name = request.argument(0);
    let mut upper = [0; 8];
    let upper = upper_case(name, &mut upper);
    match (upper, operands) {
        (b"PING", 0) => reply::simple(output, "PONG"),
        (b"PING" | b"ECHO", 1) => reply::bulk(output, request.argument(1)),
        (b"GET", 1) => get(request, context, output),
        (b"SET", 2) => set(request, context, output),
        (b"SET", 3..) => reply::error(output, "ERR syntax error"),
        (b"DEL", 1..) => {
            let deleted = request
                .operands()
                .filter(|key| context.store.delete(key))
                .count();
            reply::integer(output, deleted as i64);
        }
        (b"INCR", 1) => increment(request, context, output),
        (b"INFO", _) => reply::bulk(output, info(context).as_bytes()),
        (b"CONFIG", 1..) => config(request, context, output),
        (b"COMMAND", _) => reply::array(output, &[]),
        (b"QUIT", _) => {
            reply::simple(output, "OK");
            return Outcome::Close;
        }
        (b"WORK", 1) => return work(request, context.heavy_work, output),
        (b"WAIT", 1) => return wait(request, output),
        (b"TOUCH", 1) => touch(request, held, output),
        (b"BOOK", 2) => return book(request, context.store, output),
        (b"CRASH", 0) => crash(context.allow_crash, output),
        (
            b"PING" | b"ECHO" | b"GET" | b"SET" | b"DEL" | b"INCR" | b"CONFIG" | b"WORK" | b"WAIT"
            | b"TOUCH" | b"BOOK" | b"CRASH",
            _,
        ) => wrong_number(output, name),
        _ => reply::error(
            output,
            &format!("ERR unknown command '{}'", printable(name)),
        ),
    }
    Outcome::Replied
}

/// `name` in upper case, empty when longer than any command.
fn upper_case<'a>(name: &[u8], upper: &'a mut [u8; 8]) -> &'a [u8] {
    let Some(upper) = upper.get_mut(..name.len()) else {
        return b"";
    };
    upper.copy_from_slice(name);
    upper.make_ascii_uppercase();
    upper
}

fn get<L: Lock>(request: Request<'_>, context: &Context<'_, L>, output: &mut Vec<u8>) {
    let found = context
        .store
        .get(request.argument(1), |value| reply::bulk(output, value));
    if found.is_none() {
        reply::null(output);
    }
}

fn set<L: Lock>(request: Request<'_>, context: &Context<'_, L>, output: &mut Vec<u8>) {
    let (key, value) = (request.argument(1), request.argument(2));
    // The protocol keeps longer values away.
    debug_assert!(value.len() <= MAX_VALUE_BYTES);
    if key.len() > MAX_KEY_BYTES {
        return key_too_long(output);
    }
    match context.store.set(key, value) {
        Ok(()) => reply::simple(output, "OK"),
        Err(Full) => reply::error(output, OUT_OF_MEMORY),
    }
}

fn increment<L: Lock>(request: Request<'_>, context: &Context<'_, L>, output: &mut Vec<u8>) {
    let key = request.argument(1);
    if key.len() > MAX_KEY_BYTES {
        return key_too_long(output);
    }
    match context.store.increment(key) {
        Ok(sum) => reply::integer(output, sum),
        Err(IncrementError::NotAnInteger) => reply::error(output, NOT_AN_INTEGER),
        Err(IncrementError::Overflow) => {
            reply::error(output, "ERR increment or decrement would overflow");
        }
        Err(IncrementError::Full) => reply::error(output, OUT_OF_MEMORY),
    }
}

fn work(request: Request<'_>, heavy: Duration, output: &mut Vec<u8>) -> Outcome {
    match bounded(request.argument(1), MAX_WORK_US).map(Duration::from_micros) {
        Some(cpu) if cpu >= heavy => return Outcome::Work(cpu),
        Some(cpu) => {
            burn(cpu);
            reply::simple(output, "OK");
        }
        None => reply::error(output, NOT_AN_INTEGER),
    }
    Outcome::Replied
}

fn wait(request: Request<'_>, output: &mut Vec<u8>) -> Outcome {
    match bounded(request.argument(1), MAX_WAIT_MS) {
        Some(ms) => Outcome::Wait(Duration::from_millis(ms), Waiting::Time),
        None => {
            reply::error(output, NOT_AN_INTEGER);
            Outcome::Replied
        }
    }
}

/// Makes the connection hold so many bytes of private memory, each page written; what it held
/// before is freed first.
fn touch(request: Request<'_>, held: &mut Held, output: &mut Vec<u8>) {
    let Some(bytes) = bounded(request.argument(1), MAX_TOUCH_BYTES) else {
        return reply::error(output, NOT_AN_INTEGER);
    };
    held.touched = None;
    if bytes > 0 {
        let Ok(mut mapping) = Mapping::private(bytes as usize) else {
            return reply::error(output, "ERR cannot map that much memory");
        };
        mapping.touch_pages();
        held.touched = Some(mapping);
    }
    reply::simple(output, "OK");
}

/// Replies 1 to who has the seat, 0 to who came too late; 1 more, or 1 less, for each time that the
/// customer had to begin anew, which only `optimistic` makes them.
fn book<L: Lock>(request: Request<'_>, store: &Store<L>, output: &mut Vec<u8>) -> Outcome {
    let seat = request.argument(1);
    if seat.len() > booking::MAX_NAME_BYTES {
        reply::error(output, "ERR name of a seat is longer than 128 bytes");
        return Outcome::Replied;
    }
    match Mode::named(request.argument(2)) {
        Some(mode) => take_step(Box::new(Booking::of(seat, mode)), store, output),
        None => {
            let mode = printable(request.argument(2));
            let text = format!("ERR unknown mode '{mode}'; there are none, lock and optimistic");
            reply::error(output, &text);
            Outcome::Replied
        }
    }
}

fn take_step<L: Lock>(
    mut booking: Box<Booking>,
    store: &Store<L>,
    output: &mut Vec<u8>,
) -> Outcome {
    match booking.step(store) {
        Ok(step @ (Step::Booked | Step::Taken)) => {
            reply::integer(output, booking.answer(step == Step::Booked));
        }
        Ok(step) => {
            let time = step.wait().unwrap_or_default();
            return Outcome::Wait(time, Waiting::Booking(booking));
        }
        Err(Full) => reply::error(output, OUT_OF_MEMORY),
    }
    Outcome::Replied
}

/// Ends whatever executes it, as a null pointer in a handler does.
fn crash(allowed: bool, output: &mut Vec<u8>) {
    if allowed {
        // No core file, which would be no part of what a crash costs the others.
        // SAFETY: takes numbers only.
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
        // SAFETY: never returns: nothing is mapped at address 0, and the access is an own one of this
        // program to be ended by.
        unsafe { std::ptr::null_mut::<u8>().write_volatile(0) };
    }
    reply::error(output, "ERR CRASH is refused; serve with --allow-crash");
}

fn bounded(text: &[u8], most: u64) -> Option<u64> {
    let value: u64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (value <= most).then_some(value)
}

fn key_too_long(output: &mut Vec<u8>) {
    reply::error(output, "ERR key is longer than 1024 bytes");
}

fn wrong_number(output: &mut Vec<u8>, name: &[u8]) {
    let name = printable(name).to_ascii_lowercase();
    reply::error(
        output,
        &format!("ERR wrong number of arguments for '{name}' command"),
    );
}

/// The first 128 bytes of `name`, fit for an error line.
fn printable(name: &[u8]) -> String {
    name[..name.len().min(128)].escape_ascii().to_string()
}
