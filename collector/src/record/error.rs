//! Why a record cannot be read.

use super::FORMAT;
use crate::errors::in_words;
use std::io;

/// What is wrong with a file that is to be a record. One that merely ends early is none of these.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It does not begin as a record does.
    #[error("it is no record of connscope; `connscope record` and `--record FILE` write them")]
    Foreign,
    /// It is a report.
    #[error(
        "it is a report in JSON and no record; `connscope record` and `--record FILE` write those"
    )]
    Report,
    /// It has nothing in it.
    #[error("nothing was recorded before it ended; record it again")]
    Empty,
    /// A later version has made it.
    #[error(
        "it is a record of format {format}, written by connscope {written_by}, and this version reads up to \
         {FORMAT}: use that version or a newer one"
    )]
    Newer {
        /// Its format.
        format: u32,
        /// Who wrote it.
        written_by: String,
    },
    /// What it holds is not what was written.
    #[error(
        "it is damaged: entry {entry} is not what was written ({what}); it was altered or lost a part since, \
         so nothing is reported of it"
    )]
    Damaged {
        /// Which entry, from 1.
        entry: u64,
        /// How that is known.
        what: String,
    },
    /// It is whole, but not understood.
    #[error(
        "entry {entry}, written by connscope {written_by}, says what this version does not understand: {what}; use \
         that version or a newer one"
    )]
    NotUnderstood {
        /// Which entry, from 1.
        entry: u64,
        /// Who wrote it.
        written_by: String,
        /// What of it.
        what: String,
    },
    /// Its figures contradict each other.
    #[error("{0}")]
    Contradictory(String),
    /// The system refuses to have it read.
    #[error("{}", in_words(.0))]
    Io(#[from] io::Error),
}
