//! What a run keeps in a file, so that its report can be made again, elsewhere and later: the entries that
//! the report is a pure function of, in the order they came.
//!
//! A live run and a file that is read go the same way: [`Entry`] by entry into a [`Gathered`], and from
//! there to the [`Record`] that reports are made of. See `docs/records.md` for the file.

mod error;
mod gathered;
mod read;
mod write;

pub use error::Error;
pub use gathered::Gathered;
pub use read::Reader;
pub use write::Writer;

use crate::figures::ClaimsRun;
use crate::report::claims;
use crate::series::Calibration;
use crate::snapshot::{
    Host, Method, Recording, Run, Snapshot, Unavailable, stacks::Stacks, timeline::Part,
};
use ring::digest::{Context, Digest, SHA256};
use serde::{Deserialize, Serialize};

/// Version of the file. Entries and fields may be added in a later one; this one reads all up to it.
pub const FORMAT: u32 = 1;

/// `ZSTD_MAGIC_SKIPPABLE_START`, little-endian: what a reader of Zstandard frames passes over (RFC 8878, 3.1.2).
const SKIPPABLE_FRAME: [u8; 4] = 0x184D_2A50_u32.to_le_bytes();
/// A page-sized header would be none of ours.
const HEADER_MAX: u32 = 4096;

/// What a record begins with, uncompressed: a Zstandard frame that others skip, with this as JSON in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    /// [`FORMAT`].
    connscope_record: u32,
    /// Version of connscope.
    written_by: String,
}

/// What is kept, in the order it came.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The first of all.
    Origin(Box<Origin>),
    /// One that is over, with its snapshots: of a server that was started to be compared.
    Run(Box<Run>),
    /// The targets that are watched at once, without snapshots, as far as they are known; a later one takes the
    /// place of an earlier one.
    Watched(Vec<Run>),
    /// A snapshot of each of them, of one instant.
    Snapshots(Vec<Snapshot>),
    /// What tasks did one by one.
    Timeline(Part),
    /// What the basic operations cost.
    Calibration(Box<Calibration>),
    /// What claims were put to the test by.
    Claims(Box<ClaimsRun>),
    /// Stacks of the tasks that are watched, taken since the entry of this kind before.
    Stacks(Box<Stacks>),
    /// The last of all.
    End(End),
}

/// Where a record comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Origin {
    /// The command that made it: `compare`, `attach`, `record`, `calibrate`, `claims`.
    pub command: String,
    /// The same with all its arguments.
    pub command_line: Vec<String>,
    /// The host's name, as `uname -n` says it.
    pub host_name: String,
    /// The distribution, as `/etc/os-release` says it.
    pub operating_system: Option<String>,
    /// The machine.
    pub host: Host,
    /// How each measure is taken.
    pub methods: Vec<Method>,
    /// What could not be measured from the beginning, and why.
    pub unavailable: Vec<Unavailable>,
}

/// What was known at the end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct End {
    /// How each measure was taken.
    pub methods: Vec<Method>,
    /// What could not be measured, and why.
    pub unavailable: Vec<Unavailable>,
    /// Why the run ended before its time, if it did.
    pub incomplete: Option<String>,
}

/// All that reports are made of.
#[derive(Clone, Debug)]
pub struct Record {
    /// Where it comes from.
    pub origin: Origin,
    /// What was found.
    pub content: Content,
    /// Stacks of what was watched, if they were taken.
    pub stacks: Option<Stacks>,
}

impl Record {
    /// Why its report is not whole, if it is not: it ended before its time, or what a claim needs went wrong.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        let incomplete = match &self.content {
            Content::Recording(recording) => &recording.incomplete,
            Content::Calibration(calibration) => &calibration.incomplete,
            Content::Claims(run) => return claims::build(run).troubles(),
        };
        incomplete.iter().cloned().collect()
    }
}

/// What a record holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// What was watched.
    Recording(Recording),
    /// What the basic operations cost.
    Calibration(Calibration),
    /// What claims were put to the test by.
    Claims(ClaimsRun),
}

/// The digest of all entries so far: what is altered, left out or put elsewhere changes all that come after it.
struct Chain(Digest);

impl Chain {
    fn of(header: &[u8]) -> Self {
        Self(ring::digest::digest(&SHA256, header))
    }

    /// Takes in an entry; returns the digest up to it, in hexadecimal.
    fn link(&mut self, entry: &[u8]) -> String {
        let mut context = Context::new(&SHA256);
        context.update(self.0.as_ref());
        context.update(entry);
        self.0 = context.finish();
        self.0
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}
