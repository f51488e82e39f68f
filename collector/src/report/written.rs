//! Reports that were written in JSON, read back to be laid beside others. They hold all figures, and neither the
//! samples of distributions nor where they come from beyond the host.

use super::{Report, SCHEMA, calibration::Calibration, ranking::Ranking};
use serde::{Deserialize, de::DeserializeOwned};

/// A report that can be laid beside others.
#[derive(Clone, Debug)]
pub enum Written {
    /// Of `compare`.
    Comparison(Box<Report>),
    /// Of `calibrate`.
    Calibration(Box<Calibration>),
}

/// What every report has.
#[derive(Deserialize)]
struct Head {
    schema: u32,
    command: String,
}

impl Written {
    /// Reads one.
    ///
    /// # Errors
    /// If it is none, of another command, or of another version, in words.
    pub fn read(text: &str) -> Result<Self, String> {
        let Head { schema, command } = serde_json::from_str(text)
            .map_err(|_| "it is no report of connscope in JSON".to_owned())?;
        if schema > SCHEMA {
            return Err(format!(
                "it is a report of schema {schema}, and this version reads up to {SCHEMA}: use a newer one"
            ));
        }
        match command.as_str() {
            "compare" => {
                let mut report: Report = whole(text)?;
                report.ranking = Ranking::of(&report.targets);
                Ok(Self::Comparison(Box::new(report)))
            }
            "calibrate" => Ok(Self::Calibration(Box::new(whole(text)?))),
            _ => Err(format!(
                "it is a report of {command} in JSON; those of compare and of calibrate can be laid side by side"
            )),
        }
    }
}

/// A later version may lack a field, an earlier one did.
fn whole<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| {
        format!(
            "it is not understood: {error}; make it with this version, or lay records side by side"
        )
    })
}
