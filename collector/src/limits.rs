//! The limit on open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors of a process of ours besides its connections: those of the probes, mostly.
pub const SPARE_DESCRIPTORS: u64 = 64;

/// Raises the soft limit on open files to the hard one. Returns what is then in force (`u64::MAX`:
/// none).
pub fn raise_open_files() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    // If it is refused, the limit is what it was.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Why `what` cannot be done with so few open files, and the remedy.
pub fn too_few_files(what: &str, limit: u64, needed: u64) -> String {
    format!(
        "cannot {what}: the hard limit of open files (RLIMIT_NOFILE) is {limit}; raise it with `ulimit -n {needed}`"
    )
}
