//! What processes hold of their own, from those that were sampled.

use serde::{Deserialize, Serialize};

use super::student::t_quantile;
use crate::snapshot::{OwnMemory, OwnProcess, OwnRole};

/// Memory of a process's own: mean over the processes sampled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Own {
    /// Bytes of a process; none if none was sampled.
    pub mean: Option<f64>,
    /// Lower and upper bound of the 95 % confidence interval of the mean, by Student's t, less
    /// what sampling most of all processes leaves to chance; none of less than two.
    pub confidence_95: Option<[f64; 2]>,
    /// Processes sampled.
    pub sampled: u64,
    /// Processes there were.
    pub of: u64,
    /// Those that were not sampled.
    pub skipped: Skipped,
    /// What sampling took; of all roles together.
    pub seconds: f64,
    /// How it was measured.
    pub method: String,
}

/// How many processes were not sampled, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// More threads than one, or an address space shared with another: it is no single connection's.
    pub threaded: u64,
    /// Ended meanwhile.
    pub gone: u64,
    /// The budget was spent.
    pub out_of_budget: u64,
}

impl Own {
    /// Of a role, or of all; over repeats all processes sampled in any. None if none has sampled.
    pub(super) fn of<'a>(
        repeats: impl IntoIterator<Item = &'a OwnMemory>,
        role: Option<&str>,
        method: &str,
    ) -> Option<Self> {
        let repeats: Vec<_> = repeats.into_iter().collect();
        let roles = repeats.iter().flat_map(|own| &own.roles);
        let roles = roles.filter(|of| role.is_none_or(|role| of.name == role));
        let roles: Vec<&OwnRole> = roles.collect();
        let sampled = roles.iter().flat_map(|role| &role.sampled);
        let cut: Vec<_> = sampled
            .clone()
            .filter(|process| process.unread_files > 0)
            .collect();
        let bytes: Vec<f64> = sampled.map(|process| process.bytes() as f64).collect();
        let sampled = bytes.len() as u64;
        let sum = |figure: fn(&OwnRole) -> u64| roles.iter().map(|role| figure(role)).sum();
        let without = repeats.iter().find_map(|own| own.without_sockets.as_ref());
        let lacking = without.map(|reason| format!("; without sockets: {reason}"));
        let of = sum(|role| role.processes);
        (!repeats.is_empty()).then(|| Self {
            mean: mean(&bytes),
            confidence_95: interval(&bytes, of),
            sampled,
            of,
            skipped: Skipped {
                threaded: sum(|role| role.threaded),
                gone: sum(|role| role.gone),
                out_of_budget: sum(|role| role.out_of_budget),
            },
            seconds: repeats.iter().map(|own| own.seconds).sum(),
            method: method.to_owned() + &lacking.unwrap_or_default() + &partial(&cut),
        })
    }
}

/// What to say of processes whose sockets were not all looked at.
fn partial(cut: &[&OwnProcess]) -> String {
    if cut.is_empty() {
        return String::new();
    }
    let files: u64 = cut
        .iter()
        .map(|process| u64::from(process.unread_files))
        .sum();
    format!(
        "; partial: sockets were not looked for in {files} open files of {} processes, which have more than 65,536",
        cut.len()
    )
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Of `of` there are, so what was sampled of them is certain (the finite population correction).
fn interval(values: &[f64], of: u64) -> Option<[f64; 2]> {
    let degrees = u32::try_from(values.len()).ok()?.checked_sub(1)?;
    let mean = mean(values).filter(|_| degrees > 0)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let error = (squares / f64::from(degrees) / values.len() as f64).sqrt();
    // Past this the quantile is that of the normal distribution to three digits.
    let rest = (1.0 - values.len() as f64 / of as f64).max(0.0).sqrt();
    let margin = t_quantile(degrees.min(1_000), 0.95) * error * rest;
    Some([(mean - margin).max(0.0), mean + margin])
}
