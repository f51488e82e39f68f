//! PgBouncer: an event loop in front of PostgreSQL.

use super::databases::Database;
use super::sockets;
use crate::roles;
use crate::snapshot::TargetKind;

/// Known by its name.
pub const DATABASE: Database = Database {
    kind: TargetKind::Pgbouncer,
    name: "PgBouncer",
    option: "--pgbouncer",
    is_one: |process| process.name == "pgbouncer",
    roles: &roles::OF_ANY,
    telling: None,
    connections: |_, processes, _| sockets::connections(processes),
    open: |_, snapshot| sockets::open(&snapshot.processes()),
    has_threads: false,
    login: None,
};
