//! Reads a record: entry by entry, as far as it goes.

use super::{Chain, Entry, Error, FORMAT, HEADER_MAX, Header, SKIPPABLE_FRAME};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use zstd::stream::read::Decoder;

/// No entry is longer: it would be of a million tasks.
const ENTRY_MAX: u64 = 1 << 30;
/// A digest in hexadecimal, and the space after it.
const DIGEST_LENGTH: usize = 64;

/// A record that is read: an iterator over its entries, which ends where the record does. One that was cut off
/// ends with the last entry that is whole.
pub struct Reader<R: Read> {
    lines: BufReader<Decoder<'static, BufReader<R>>>,
    written_by: String,
    chain: Chain,
    /// The number of the entry read last, from 1.
    number: u64,
    line: Vec<u8>,
    over: bool,
}

impl<R: Read> Reader<R> {
    /// Begins to read.
    ///
    /// # Errors
    /// If this is no record, or a newer one.
    pub fn begin(file: R) -> Result<Self, Error> {
        let mut file = BufReader::new(file);
        let header = header(&mut file)?;
        let Header {
            connscope_record,
            written_by,
        } = serde_json::from_slice(&header).map_err(|_| Error::Foreign)?;
        if connscope_record > FORMAT {
            return Err(Error::Newer {
                format: connscope_record,
                written_by,
            });
        }
        Ok(Self {
            lines: BufReader::new(Decoder::with_buffer(file)?),
            written_by,
            chain: Chain::of(&header),
            number: 0,
            line: Vec::new(),
            over: false,
        })
    }

    /// The next entry; none at the end.
    fn read(&mut self) -> Result<Option<Entry>, Error> {
        self.line.clear();
        let read = (&mut self.lines)
            .take(ENTRY_MAX)
            .read_until(b'\n', &mut self.line);
        self.number += 1;
        match read {
            // Cut off, within the entry or before it.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) if error.raw_os_error().is_some() => return Err(Error::Io(error)),
            Err(error) => return Err(self.damaged(&error.to_string())),
            Ok(0) => return Ok(None),
            Ok(_) => {}
        }
        let Some(line) = self.line.strip_suffix(b"\n") else {
            return Err(self.damaged("it does not end"));
        };
        let parts = line.split_at_checked(DIGEST_LENGTH);
        let parts = parts.and_then(|(digest, rest)| Some((digest, rest.strip_prefix(b" ")?)));
        let Some((digest, entry)) = parts else {
            return Err(self.damaged("it has no digest"));
        };
        if self.chain.link(entry).as_bytes() != digest {
            return Err(self.damaged("its SHA-256 digest is another"));
        }
        let entry = serde_json::from_slice(entry).map_err(|error| Error::NotUnderstood {
            entry: self.number,
            written_by: self.written_by.clone(),
            what: error.to_string(),
        })?;
        Ok(Some(entry))
    }

    fn damaged(&self, what: &str) -> Error {
        Error::Damaged {
            entry: self.number,
            what: what.to_owned(),
        }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let entry = self.read().transpose();
        self.over = !matches!(entry, Some(Ok(_)));
        entry
    }
}

/// What the first frame holds, which is not compressed.
fn header(file: &mut impl Read) -> Result<Vec<u8>, Error> {
    let mut start = Vec::new();
    file.take(8).read_to_end(&mut start)?;
    if start.is_empty() {
        return Err(Error::Empty);
    }
    if start.starts_with(b"{") {
        return Err(Error::Report);
    }
    let Some(length) = start
        .strip_prefix(&SKIPPABLE_FRAME)
        .and_then(|length| Some(u32::from_le_bytes(length.try_into().ok()?)))
        .filter(|length| *length <= HEADER_MAX)
    else {
        let begun = start.starts_with(&SKIPPABLE_FRAME) || SKIPPABLE_FRAME.starts_with(&start);
        let cut_off = begun && start.len() < 8;
        return Err(if cut_off {
            Error::Empty
        } else {
            Error::Foreign
        });
    };
    let mut header = vec![0; length as usize];
    match file.read_exact(&mut header) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Error::Empty),
        read => Ok(read.map(|()| header)?),
    }
}
