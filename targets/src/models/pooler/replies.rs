//! Where replies end in what a backend sends: bytes pass through as they come, and nothing is kept.

/// Follows a stream of replies.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    /// Elements of the present reply that are still to come; 0 between replies.
    missing: u64,
    /// Bytes of a bulk string, with its line break, that are still to come.
    bulk: u64,
    /// The first byte of the line that is being read, 0 before it.
    kind: u8,
    /// The number of that line.
    number: Number,
}

/// A decimal number that comes byte by byte.
#[derive(Debug, Default)]
struct Number {
    value: u64,
    digits: u8,
    negative: bool,
}

/// The stream is not RESP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAReply;

/// What was found in some bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Replies that end in them.
    pub(crate) replies: usize,
    /// Bytes up to the end of the last reply asked for, or all.
    pub(crate) bytes: usize,
}

/// The longest bulk string that is believed, in bytes.
const MAX_BULK_BYTES: u64 = 1 << 30;
/// The most elements of an array that are believed.
const MAX_ELEMENTS: u64 = 1 << 20;

impl Replies {
    /// Nothing is left of the last reply.
    pub(crate) fn is_between(&self) -> bool {
        self.missing == 0
    }

    /// Reads on in `bytes`, up to the end of the next `most` replies.
    ///
    /// # Errors
    /// When the bytes are no replies; the stream is of no use then.
    pub(crate) fn read(&mut self, bytes: &[u8], most: usize) -> Result<Found, NotAReply> {
        let mut found = Found::default();
        while found.replies < most && found.bytes < bytes.len() {
            found.bytes += self.read_part(&bytes[found.bytes..])?;
            found.replies += usize::from(self.missing == 0);
        }
        Ok(found)
    }

    /// Reads one line or bulk string, or what there is of it; answers its length.
    fn read_part(&mut self, bytes: &[u8]) -> Result<usize, NotAReply> {
        if self.missing == 0 {
            self.missing = 1;
        }
        if self.bulk > 0 {
            let length = self.bulk.min(bytes.len() as u64);
            self.bulk -= length;
            if self.bulk == 0 {
                self.missing -= 1;
            }
            return Ok(length as usize);
        }
        let mut rest = bytes;
        if self.kind == 0 {
            (self.kind, rest) = (bytes[0], &bytes[1..]);
            if !b"+-:$*".contains(&self.kind) {
                return Err(NotAReply);
            }
        }
        let line = rest.iter().position(|&byte| byte == b'\n');
        if matches!(self.kind, b'$' | b'*') {
            for &byte in &rest[..line.unwrap_or(rest.len())] {
                self.number.read(byte)?;
            }
        }
        let Some(line) = line else {
            return Ok(bytes.len());
        };
        self.end_line()?;
        Ok(bytes.len() - rest.len() + line + 1)
    }

    fn end_line(&mut self) -> Result<(), NotAReply> {
        self.missing -= 1;
        let number = std::mem::take(&mut self.number);
        match (std::mem::take(&mut self.kind), number.value()?) {
            (b'$', Some(0..=MAX_BULK_BYTES)) => {
                self.missing += 1;
                self.bulk = number.value + 2;
            }
            (b'*', Some(elements @ 0..=MAX_ELEMENTS)) => {
                self.missing = self.missing.saturating_add(elements);
            }
            (b'$' | b'*', Some(_)) => return Err(NotAReply),
            // A null, or a line that is a reply by itself.
            _ => {}
        }
        Ok(())
    }
}

impl Number {
    fn read(&mut self, byte: u8) -> Result<(), NotAReply> {
        match byte {
            b'-' if self.digits == 0 && !self.negative => self.negative = true,
            b'0'..=b'9' if self.digits < 18 => {
                self.digits += 1;
                self.value = self.value * 10 + u64::from(byte - b'0');
            }
            b'\r' => {}
            _ => return Err(NotAReply),
        }
        Ok(())
    }

    /// `None` for the -1 that stands for a null, and where there is no number.
    fn value(&self) -> Result<Option<u64>, NotAReply> {
        match (self.negative, self.digits, self.value) {
            (false, 0, _) | (true, 1, 1) => Ok(None),
            (false, _, value) => Ok(Some(value)),
            (true, ..) => Err(NotAReply),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLIES: [&[u8]; 10] = [
        b"+OK\r\n",
        b"-ERR no\r\n",
        b":-12\r\n",
        b"$-1\r\n",
        b"$0\r\n\r\n",
        b"$7\r\n+OK\r\n$1\r\n",
        b"*0\r\n",
        b"*-1\r\n",
        b"*3\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n+x\r\n",
        b"+\r\n",
    ];

    #[test]
    fn replies_are_counted_however_they_are_cut() {
        let all = REPLIES.concat();
        for piece in 1..=all.len() {
            let mut replies = Replies::default();
            let mut count = 0;
            for bytes in all.chunks(piece) {
                let found = replies.read(bytes, usize::MAX).expect("replies");
                assert_eq!(found.bytes, bytes.len());
                count += found.replies;
            }
            assert_eq!(count, REPLIES.len(), "in pieces of {piece}");
            assert!(replies.is_between());
        }
    }

    #[test]
    fn no_more_is_read_than_asked_for() {
        let all = REPLIES.concat();
        let mut at = 0;
        let mut replies = Replies::default();
        for reply in REPLIES {
            let found = replies.read(&all[at..], 1).expect("a reply");
            let whole = Found {
                replies: 1,
                bytes: reply.len(),
            };
            assert_eq!(found, whole, "{}", reply.escape_ascii());
            at += reply.len();
        }
    }

    #[test]
    fn the_middle_of_a_reply_is_known_as_such() {
        for reply in REPLIES {
            for cut in 1..reply.len() {
                let mut replies = Replies::default();
                let found = replies.read(&reply[..cut], 1).expect("a part");
                assert_eq!(found.replies, 0, "{cut} of {}", reply.escape_ascii());
                assert!(!replies.is_between());
            }
        }
    }

    #[test]
    fn what_is_no_reply_is_found_out() {
        for bytes in [
            &b"OK\r\n"[..],
            b"$x\r\n",
            b"$-2\r\n",
            b"$99999999999\r\n",
            b"$9999999999999999999\r\n",
            b"*2000000\r\n",
            b"\0",
        ] {
            let read = Replies::default().read(bytes, 1);
            assert_eq!(read, Err(NotAReply), "{}", bytes.escape_ascii());
        }
    }
}
