//! MySQL and MariaDB: a process, and a thread for each connection.

mod connections;
mod login;
pub mod telling;
mod threads;
mod waits;

pub use connections::connections;
pub use threads::*;

use super::databases::Database;
use super::running::Running;
use super::sockets;
use crate::snapshot::TargetKind;

/// MySQL.
pub const MYSQL: Database = Database {
    kind: TargetKind::Mysql,
    name: "MySQL",
    option: "--mysql",
    is_one: |process| process.name == "mysqld" && !is_mariadb(process),
    roles: &telling::OF_MYSQL,
    telling: Some(telling::Threads::of_mysql),
    connections: |pid, _, waiters| connections(TargetKind::Mysql, pid, waiters),
    open: |pid, _| sockets::open(&[pid]),
    has_threads: true,
    login: Some(&login::CLIENT),
};

/// MariaDB, whose program has the old name too, as a link.
pub const MARIADB: Database = Database {
    kind: TargetKind::Mariadb,
    name: "MariaDB",
    option: "--mysql",
    is_one: is_mariadb,
    roles: &telling::OF_MYSQL,
    telling: Some(telling::Threads::of_mariadb),
    connections: |pid, _, waiters| connections(TargetKind::Mariadb, pid, waiters),
    open: |pid, _| sockets::open(&[pid]),
    has_threads: true,
    login: Some(&login::CLIENT),
};

fn is_mariadb(process: &Running) -> bool {
    let program = process.program.as_deref();
    process.name == "mariadbd" || process.name == "mysqld" && program == Some("mariadbd")
}
