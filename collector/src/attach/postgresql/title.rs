//! What a PostgreSQL process says it is, in its title: `postgres: 15/main: alice shop 10.0.0.7(5432) idle`.
//!
//! Titles of versions 14 to 18 (`init_ps_display` and `set_ps_display` in each version's sources): a prefix,
//! the name of the cluster if it has one, a part that stays, and a part that says what goes on. Names may
//! hold spaces, colons and brackets. What they leave open is not told.

mod client;
mod read;

pub use read::read;

use crate::snapshot::connections::Connection;

/// What the processes of a server can be.
pub const ROLES: &[&str] = &[
    POSTMASTER,
    STARTING,
    CLIENT,
    PARALLEL_WORKER,
    AUTOVACUUM,
    CHECKPOINTER,
    BACKGROUND_WRITER,
    WAL_WRITER,
    WAL_SENDER,
    WAL_RECEIVER,
    STARTUP,
    IO_WORKER,
    LOGICAL_REPLICATION,
    OTHER,
];

/// The first process, which makes the others.
pub const POSTMASTER: &str = "postmaster";
/// A child that has no title yet: it still shows that of the postmaster, until the client has said who it is.
pub const STARTING: &str = "starting";
/// Serves a client.
pub const CLIENT: &str = "client";
/// Helps one that serves a client.
pub const PARALLEL_WORKER: &str = "parallel_worker";
/// The launcher of autovacuum, and its workers.
pub const AUTOVACUUM: &str = "autovacuum";
#[allow(missing_docs)]
pub const CHECKPOINTER: &str = "checkpointer";
#[allow(missing_docs)]
pub const BACKGROUND_WRITER: &str = "background_writer";
#[allow(missing_docs)]
pub const WAL_WRITER: &str = "wal_writer";
/// Serves a replica, or another that reads the log.
pub const WAL_SENDER: &str = "wal_sender";
#[allow(missing_docs)]
pub const WAL_RECEIVER: &str = "wal_receiver";
/// Recovers: for a moment after the start, or as long as a replica runs.
pub const STARTUP: &str = "startup";
/// Reads and writes for others, from version 18.
pub const IO_WORKER: &str = "io_worker";
/// The launcher of logical replication, its workers, and the one that keeps slots in step.
pub const LOGICAL_REPLICATION: &str = "logical_replication";
/// Archiver, logger, statistics, WAL summarizer, and workers of extensions.
pub const OTHER: &str = "other";

/// Those that serve one connection each.
pub(super) const CONNECTED: [&str; 2] = [CLIENT, WAL_SENDER];

/// Titles that a server gives to processes of its own, as far as they stay, and their roles.
const OWN: &[(&str, &str)] = &[
    ("parallel worker for PID", PARALLEL_WORKER),
    ("autovacuum launcher", AUTOVACUUM),
    ("autovacuum worker", AUTOVACUUM),
    ("checkpointer", CHECKPOINTER),
    ("background writer", BACKGROUND_WRITER),
    ("walwriter", WAL_WRITER),
    ("walreceiver", WAL_RECEIVER),
    ("startup", STARTUP),
    ("io worker", IO_WORKER),
    ("logical replication launcher", LOGICAL_REPLICATION),
    ("logical replication worker for", LOGICAL_REPLICATION),
    ("logical replication apply worker for", LOGICAL_REPLICATION),
    (
        "logical replication parallel apply worker for",
        LOGICAL_REPLICATION,
    ),
    (
        "logical replication tablesync worker for",
        LOGICAL_REPLICATION,
    ),
    ("slotsync worker", LOGICAL_REPLICATION),
];

/// Those that each server has one of, and that say nothing more while it runs.
const SINGLE: [&str; 3] = ["checkpointer", "background writer", "walwriter"];

/// What all titles begin with.
pub(super) const PREFIX: &str = "postgres: ";

/// What a title says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Title {
    /// One of [`ROLES`].
    pub role: &'static str,
    /// Of a process that serves a client: who that is. `pid` and `tid` are for the caller to fill in.
    pub connection: Option<Connection>,
}

impl Title {
    fn of(role: &'static str) -> Self {
        Self {
            role,
            connection: None,
        }
    }
}

/// What a process is by its title, as [`read`] gives it: `None` if that is none of a process of this server,
/// such as a shell that archives for it. A child with a title of a postmaster is [`STARTING`].
#[must_use]
pub fn parse(title: &str, cluster_name: Option<&str>) -> Option<Title> {
    let title = title.trim_end_matches('\0');
    let Some(own) = title.strip_prefix(PREFIX) else {
        return is_program(title).then(|| Title::of(POSTMASTER));
    };
    let says = match cluster_name {
        Some(name) => own.strip_prefix(name)?.strip_prefix(": ")?,
        None => own,
    };
    let served = client::parse(says);
    Some(served.unwrap_or_else(|| Title::of(own_role(says))))
}

/// Whether a command line begins with the path of the server's program.
fn is_program(command: &str) -> bool {
    let program = command.split('\0').next().unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default();
    ["postgres", "postmaster"].contains(&name)
}

/// The role of a process that serves no client.
fn own_role(says: &str) -> &'static str {
    let known = OWN.iter().find(|(own, _)| begins(says, own));
    known.map_or(OTHER, |(_, role)| role)
}

/// Whether the first words are these.
fn begins(says: &str, words: &str) -> bool {
    let rest = says.strip_prefix(words);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// The `cluster_name` of a server, from the titles of the postmaster's children: what stands before the
/// name of its checkpointer, or of another that it always has. `None` if it has none, or if none of
/// these runs.
pub fn cluster_name<T: AsRef<str>>(titles: impl IntoIterator<Item = T>) -> Option<String> {
    let titles: Vec<_> = titles.into_iter().collect();
    let own: Vec<_> = titles
        .iter()
        .filter_map(|title| title.as_ref().strip_prefix(PREFIX))
        .collect();
    SINGLE.iter().find_map(|single| {
        let names = own.iter().filter_map(|says| before(says, single));
        let mut of_all = names.filter(|name| own.iter().all(|says| says.starts_with(*name)));
        let name = of_all.next()?.strip_suffix(": ")?;
        (!name.is_empty()).then(|| name.to_owned())
    })
}

/// What stands before those last words.
fn before<'a>(says: &'a str, single: &str) -> Option<&'a str> {
    says.trim_end_matches([' ', '\0']).strip_suffix(single)
}

#[cfg(test)]
#[path = "title/tests.rs"]
mod tests;
