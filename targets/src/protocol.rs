//! RESP, the Redis serialization protocol: requests in, replies out.
//!
//! A request is an array of bulk strings, or one inline line as `redis-benchmark -t ping` sends it.
//! Bounds: a bulk string up to 512 KiB, a request up to 1 MiB, an inline line up to 64 KiB. What
//! breaks them is a [`ProtocolError`], after which a connection cannot go on. Bulk strings are
//! decoded one by one, so nesting is refused at its first byte and a request that arrives in
//! pieces is never read twice.

mod inline;
pub(crate) mod reply;

use redis_protocol::resp2::decode::decode_range;
use redis_protocol::resp2::types::RangeFrame;

use crate::store::MAX_VALUE_BYTES;

/// The longest request, in bytes.
pub(crate) const MAX_REQUEST_BYTES: usize = 1 << 20;
/// The longest bulk string, in bytes.
pub(crate) const MAX_BULK_BYTES: usize = MAX_VALUE_BYTES;
const MAX_INLINE_BYTES: usize = 64 * 1024;
/// The longest `*3\r\n` or `$100\r\n` line, in bytes.
const MAX_LENGTH_LINE_BYTES: usize = 32;

/// Input that is not RESP or beyond its bounds; shown in Redis's words where Redis has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolError {
    /// The number of arguments is no number, negative or too large.
    #[error("invalid multibulk length")]
    InvalidArrayLength,
    /// The line with the number of arguments does not end.
    #[error("too big mbulk count string")]
    ArrayLengthTooLong,
    /// The length of an argument is no number, negative or too large.
    #[error("invalid bulk length")]
    InvalidBulkLength,
    /// The line with the length of an argument does not end.
    #[error("too big bulk count string")]
    BulkLengthTooLong,
    /// An argument is something else than a bulk string.
    #[error("expected '$', got '{}'", .0.escape_ascii())]
    ExpectedBulk(u8),
    /// An inline line does not end.
    #[error("too big inline request")]
    InlineTooLong,
    /// An inline line has an open quote.
    #[error("unbalanced quotes in request")]
    UnbalancedQuotes,
    /// All arguments together are too large.
    #[error("request larger than 1048576 bytes")]
    RequestTooLong,
}

/// Where an argument lies: first byte and byte after the last.
type Range = (u32, u32);

/// Decodes one request after another; keeps its place in a request that is not complete.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    arguments: Vec<Range>,
    /// Arguments still to come, `None` before the request's first line is complete.
    missing: Option<usize>,
    /// Bytes of the request decoded so far.
    decoded: usize,
    /// The arguments of an inline request, without their quotes.
    unquoted: Vec<u8>,
    inline: bool,
}

/// A complete request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    bytes: &'a [u8],
    arguments: &'a [Range],
}

impl<'a> Request<'a> {
    /// The number of arguments, the command's name among them; 0 for an empty line.
    pub(crate) fn len(&self) -> usize {
        self.arguments.len()
    }

    /// Argument `index`, 0 being the command's name.
    ///
    /// # Panics
    /// When there is no such argument.
    pub(crate) fn argument(&self, index: usize) -> &'a [u8] {
        let (from, to) = self.arguments[index];
        &self.bytes[from as usize..to as usize]
    }

    /// The arguments behind the command's name.
    pub(crate) fn operands(&self) -> impl Iterator<Item = &'a [u8]> {
        (1..self.len()).map(|index| self.argument(index))
    }
}

impl Decoder {
    /// Decodes the request at the start of `input`. `Ok(Some(length))`: it is complete and takes
    /// `length` bytes; read it with [`Decoder::request`], then call [`Decoder::next_request`].
    /// `Ok(None)`: more bytes must follow; call again with the same bytes and more.
    ///
    /// # Errors
    /// See [`ProtocolError`].
    pub(crate) fn decode(&mut self, input: &[u8]) -> Result<Option<usize>, ProtocolError> {
        if self.missing.is_none() {
            match input.first() {
                None => return Ok(None),
                Some(b'*') => self.decode_array_line(input)?,
                Some(_) => return self.decode_inline(input),
            }
        }
        self.decode_bulks(input)
    }

    /// The request that `decode` found complete in the same `input`.
    pub(crate) fn request<'a>(&'a self, input: &'a [u8]) -> Request<'a> {
        let bytes = if self.inline { &self.unquoted } else { input };
        Request {
            bytes,
            arguments: &self.arguments,
        }
    }

    /// Forgets the present request.
    pub(crate) fn next_request(&mut self) {
        self.arguments.clear();
        self.missing = None;
        self.decoded = 0;
        self.inline = false;
        // One huge request must not be paid for by the connection for ever.
        if self.arguments.capacity() > 1024 {
            self.arguments = Vec::new();
        }
        if self.unquoted.capacity() > 1024 {
            self.unquoted = Vec::new();
        }
    }

    fn decode_array_line(&mut self, input: &[u8]) -> Result<(), ProtocolError> {
        let line = &input[..input.len().min(MAX_LENGTH_LINE_BYTES)];
        let Some(end) = line.iter().position(|&byte| byte == b'\n') else {
            return match line.len() {
                MAX_LENGTH_LINE_BYTES => Err(ProtocolError::ArrayLengthTooLong),
                _ => Ok(()),
            };
        };
        let digits = line[1..end]
            .strip_suffix(b"\r")
            .ok_or(ProtocolError::InvalidArrayLength)?;
        let count = parse_length(digits).ok_or(ProtocolError::InvalidArrayLength)?;
        // The shortest bulk string is `$0\r\n\r\n`.
        if count > MAX_REQUEST_BYTES / 6 {
            return Err(ProtocolError::InvalidArrayLength);
        }
        self.missing = Some(count);
        self.decoded = end + 1;
        Ok(())
    }

    fn decode_bulks(&mut self, input: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let Some(missing) = self.missing.as_mut() else {
            return Ok(None);
        };
        while *missing > 0 {
            let rest = &input[self.decoded..];
            match rest.first() {
                None => return Ok(None),
                Some(b'$') => {}
                Some(&other) => return Err(ProtocolError::ExpectedBulk(other)),
            }
            // The decoder takes lengths that are none, such as `+4`: it sees only what was checked,
            // so that a request is judged alike whole and in pieces.
            check_bulk(rest, self.decoded)?;
            // Begins with `$`, so there is no recursion and no allocation in here.
            let Some((frame, length)) =
                decode_range(rest).map_err(|_| ProtocolError::InvalidBulkLength)?
            else {
                return Ok(None);
            };
            let RangeFrame::BulkString((from, to)) = frame else {
                return Err(ProtocolError::InvalidBulkLength);
            };
            self.arguments
                .push(((self.decoded + from) as u32, (self.decoded + to) as u32));
            self.decoded += length;
            *missing -= 1;
        }
        Ok(Some(self.decoded))
    }

    fn decode_inline(&mut self, input: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let line = &input[self.decoded..input.len().min(MAX_INLINE_BYTES)];
        let Some(end) = line.iter().position(|&byte| byte == b'\n') else {
            self.decoded += line.len();
            return match self.decoded {
                MAX_INLINE_BYTES => Err(ProtocolError::InlineTooLong),
                _ => Ok(None),
            };
        };
        let end = self.decoded + end;
        self.unquoted.clear();
        inline::split(&input[..end], &mut self.unquoted, &mut self.arguments)
            .ok_or(ProtocolError::UnbalancedQuotes)?;
        self.inline = true;
        Ok(Some(end + 1))
    }
}

/// Refuses what can be refused of a bulk string by its length line, as soon as it is there: `rest`
/// begins with it, `start` bytes of the request lie before it.
fn check_bulk(rest: &[u8], start: usize) -> Result<(), ProtocolError> {
    let line = &rest[..rest.len().min(MAX_LENGTH_LINE_BYTES)];
    let Some(end) = line.iter().position(|&byte| byte == b'\r') else {
        return match line.len() {
            MAX_LENGTH_LINE_BYTES => Err(ProtocolError::BulkLengthTooLong),
            _ => Ok(()),
        };
    };
    let length = parse_length(&line[1..end]).ok_or(ProtocolError::InvalidBulkLength)?;
    if rest.get(end + 1).is_some_and(|&byte| byte != b'\n') {
        return Err(ProtocolError::InvalidBulkLength);
    }
    if length > MAX_BULK_BYTES {
        return Err(ProtocolError::InvalidBulkLength);
    }
    if start + end + 2 + length + 2 > MAX_REQUEST_BYTES {
        return Err(ProtocolError::RequestTooLong);
    }
    Ok(())
}

fn parse_length(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
