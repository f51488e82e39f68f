//! The one list of database servers that are known by sight.

use super::login::Client;
use super::running::Running;
use super::telling::Telling;
use super::{mysql, pgbouncer, postgresql, redis};
use crate::roles::Roles;
use crate::snapshot::{Snapshot, TargetKind, connections::Connections};
use anyhow::Result;
use probe_ebpf::probes::socket_waiters::WaitersBySocket;

/// Who the connections are of a server with that pid and all of these processes; with what was seen of the threads that
/// wait at sockets, where that was asked for.
pub type Connected = fn(u32, &[u32], Option<&WaitersBySocket>) -> Result<Connections>;
/// How many they are, of a server with that pid, as a snapshot that was just taken shows it.
pub type Counted = fn(u32, &Snapshot) -> Result<u64>;

/// A kind of server that tells itself by its process.
#[derive(Debug)]
pub struct Database {
    /// What reports call it.
    pub kind: TargetKind,
    /// As people write it.
    pub name: &'static str,
    /// The option that chooses one of them.
    pub option: &'static str,
    /// Whether this process is one, or a child of one.
    pub is_one: fn(&Running) -> bool,
    /// What its tasks are.
    pub roles: &'static Roles,
    /// Tells which, of a server with that pid, if its roles are told later.
    pub telling: Option<fn(u32) -> Box<dyn Telling>>,
    /// Who its connections are.
    pub connections: Connected,
    /// How many of them are open, which takes less than to name them.
    pub open: Counted,
    /// Whether a thread serves each of them, so that those at work can be asked for.
    pub has_threads: bool,
    /// How to log in to it, if it tells more then.
    pub login: Option<&'static Client>,
}

/// All of them.
pub const DATABASES: &[Database] = &[
    postgresql::DATABASE,
    mysql::MYSQL,
    mysql::MARIADB,
    redis::DATABASE,
    pgbouncer::DATABASE,
];

/// The kind of server that reports call so; `None` if it is none of a database.
#[must_use]
pub fn of_kind(kind: TargetKind) -> Option<&'static Database> {
    DATABASES.iter().find(|database| database.kind == kind)
}

/// What runs a script, which has the name of its file and may be called as the server that it starts.
const SHELLS: [&str; 6] = ["sh", "dash", "bash", "busybox", "ksh", "zsh"];

/// Whether a shell is its program.
pub(super) fn is_script(process: &Running) -> bool {
    let program = process.program.as_deref();
    program.is_some_and(|it| SHELLS.contains(&it))
}

impl Database {
    fn has(&self, process: &Running) -> bool {
        !is_script(process) && (self.is_one)(process)
    }
}

/// The servers among these processes: those that are not the child of another one of their kind.
pub fn servers(processes: &[Running]) -> Vec<(&'static Database, &Running)> {
    let database_of = |process: &Running| DATABASES.iter().find(|known| known.has(process));
    let is_child = |process: &Running, database: &Database| {
        let mut parents = processes.iter().filter(|it| it.pid == process.parent);
        parents.any(|parent| database.has(parent))
    };
    let found = processes.iter().filter_map(|process| {
        let database = database_of(process)?;
        (!is_child(process, database)).then_some((database, process))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, parent: u32, name: &str, program: &str) -> Running {
        Running {
            pid,
            parent,
            name: name.to_owned(),
            program: (!program.is_empty()).then(|| program.to_owned()),
        }
    }

    #[test]
    fn a_server_is_the_first_of_its_processes() {
        let processes = [
            process(1, 0, "systemd", "systemd"),
            process(10, 1, "postgres", "postgres"),
            process(11, 10, "postgres", "postgres"),
            process(12, 11, "sh", "dash"),
            // A server that a client's own tests have started, by way of a shell.
            process(13, 12, "postgres", "postgres"),
            process(20, 1, "redis-server", "redis-check-rdb"),
            process(21, 20, "redis-server", "redis-check-rdb"),
            process(30, 1, "mysqld", "mysqld"),
            process(40, 1, "mysqld", "mariadbd"),
            process(41, 1, "mariadbd", ""),
            process(50, 1, "mysqld_safe", "dash"),
            process(60, 1, "pgbouncer", "pgbouncer"),
            process(70, 1, "psql", "psql"),
            // Scripts: one that will become the server, and one that has started it.
            process(80, 1, "mysqld", "dash"),
            process(90, 1, "redis-server", "bash"),
            process(91, 90, "redis-server", "redis-server"),
        ];
        let found: Vec<_> = servers(&processes)
            .iter()
            .map(|(database, process)| (database.kind, process.pid))
            .collect();
        let expected = [
            (TargetKind::Postgresql, 10),
            (TargetKind::Postgresql, 13),
            (TargetKind::Redis, 20),
            (TargetKind::Mysql, 30),
            (TargetKind::Mariadb, 40),
            (TargetKind::Mariadb, 41),
            (TargetKind::Pgbouncer, 60),
            (TargetKind::Redis, 91),
        ];
        assert_eq!(found, expected);
    }
}
