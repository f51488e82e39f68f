//! Writes a record: entry by entry, each readable as soon as it is written, in memory that does not grow with
//! their number.

use super::{Chain, Entry, FORMAT, Header, SKIPPABLE_FRAME};
use std::io::{self, Write};
use zstd::stream::write::Encoder;
use zstd::zstd_safe::CParameter;

/// The fastest of zstd's usual levels: snapshots come while servers are watched.
const LEVEL: i32 = 1;
/// One snapshot finds most of itself in the one before: 8 MB, that of some 10,000 tasks.
const WINDOW_LOG: u32 = 23;

/// A record that is written.
pub struct Writer<W: Write> {
    encoder: Encoder<'static, W>,
    chain: Chain,
    /// The entry being written; kept for its memory.
    entry: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a record.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn begin(mut out: W) -> io::Result<Self> {
        let header = serde_json::to_vec(&Header {
            connscope_record: FORMAT,
            written_by: env!("CARGO_PKG_VERSION").to_owned(),
        })?;
        out.write_all(&SKIPPABLE_FRAME)?;
        out.write_all(&(header.len() as u32).to_le_bytes())?;
        out.write_all(&header)?;
        out.flush()?;
        let mut encoder = Encoder::new(out, LEVEL)?;
        encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
        encoder.set_parameter(CParameter::EnableLongDistanceMatching(true))?;
        encoder.include_checksum(true)?;
        Ok(Self {
            encoder,
            chain: Chain::of(&header),
            entry: Vec::new(),
        })
    }

    /// Writes an entry, to be read from then on.
    ///
    /// # Errors
    /// Those of `out`; the record then ends with the entry before, and nothing more is to be written to it.
    pub fn put(&mut self, entry: &Entry) -> io::Result<()> {
        self.entry.clear();
        serde_json::to_writer(&mut self.entry, entry)?;
        let digest = self.chain.link(&self.entry);
        self.entry.push(b'\n');
        self.encoder.write_all(digest.as_bytes())?;
        self.encoder.write_all(b" ")?;
        self.encoder.write_all(&self.entry)?;
        self.encoder.flush()
    }

    /// Ends the stream, after its last entry.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(self) -> io::Result<W> {
        self.encoder.finish()
    }
}
