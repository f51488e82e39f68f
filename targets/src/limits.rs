//! The limit on open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit on open files to the hard one, and the hard one too where `wanted` is
/// above it and this process may. Answers the soft limit then in force (`u64::MAX`: none).
pub(crate) fn raise_open_files(wanted: u64) -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let Some(hard) = maximum else {
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: None,
                maximum: None,
            },
        );
        return getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    };
    let raised = Some(hard.max(wanted));
    if setrlimit(
        Resource::Nofile,
        Rlimit {
            current: raised,
            maximum: raised,
        },
    )
    .is_err()
    {
        // Not allowed above the hard limit: take what there is.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        );
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
