//! Why a recording cannot be reported on.

use crate::snapshot::Run;

/// A run whose snapshots contradict each other. Nothing is reported of such a recording, since a
/// figure from it could not be told from a good one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot report on {run}: {problem}")]
pub struct Error {
    /// The run: `thread-per-connection with 100 connections, repeat 2`.
    pub run: String,
    /// What is wrong with it; in the message, so not a source of it.
    pub problem: Problem,
}

/// What is wrong with a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The window has no length, or its snapshots are not in the order of time.
    #[error(
        "its window is empty or runs backwards (snapshots at {before_ns}, {start_ns} and {end_ns} ns); \
         watch it for longer"
    )]
    Window {
        /// When the watch began.
        before_ns: u64,
        /// When the window opened.
        start_ns: u64,
        /// When the window closed.
        end_ns: u64,
    },
    /// Two snapshots of the run list different roles.
    #[error("its snapshots list different roles ([{before}], [{start}], [{end}]); record it again")]
    Roles {
        /// Roles when the watch began, separated by commas.
        before: String,
        /// Roles when the window opened.
        start: String,
        /// Roles when the window closed.
        end: String,
    },
    /// A cumulative counter is smaller in the later of two snapshots.
    #[error("{counter} went back from {earlier} to {later}; record it again")]
    Backwards {
        /// Which counter, and of which role.
        counter: String,
        /// Its value in the earlier snapshot.
        earlier: u128,
        /// Its value in the later one.
        later: u128,
    },
    /// Two histograms that belong together have different buckets.
    #[error(
        "{histogram} has 2^{left} and 2^{right} buckets to a power of two in snapshots that belong \
         together (2^16 at most); record it again with one version of connscope"
    )]
    Shape {
        /// Which histogram, and of which role.
        histogram: String,
        /// Binary logarithm of the buckets to each power of two in one.
        left: u32,
        /// And in the other.
        right: u32,
    },
}

impl Problem {
    /// The problem with the run it was found in.
    pub(super) fn of(self, run: &Run) -> Error {
        Error {
            run: run_name(run),
            problem: self,
        }
    }
}

/// A run as an error names it: `thread-per-connection with 100 connections, repeat 2`.
pub(super) fn run_name(run: &Run) -> String {
    match run.connections {
        Some(1) => format!("{} with 1 connection, repeat {}", run.name, run.repeat),
        Some(connections) => {
            format!(
                "{} with {connections} connections, repeat {}",
                run.name, run.repeat
            )
        }
        None => {
            let pids: Vec<_> = run.pids.iter().map(u32::to_string).collect();
            let pids = pids.join(", ");
            format!("{} (pid {pids}), repeat {}", run.name, run.repeat)
        }
    }
}

/// `later - earlier` of a cumulative counter.
///
/// # Errors
/// [`Problem::Backwards`] if the counter decreased.
pub(super) fn growth(
    earlier: u64,
    later: u64,
    counter: impl FnOnce() -> String,
) -> Result<u64, Problem> {
    later
        .checked_sub(earlier)
        .ok_or_else(|| Problem::Backwards {
            counter: counter(),
            earlier: earlier.into(),
            later: later.into(),
        })
}
