//! Redis and Valkey: an event loop, and a child for each background save.

use super::databases::Database;
use super::sockets;
use crate::roles;
use crate::snapshot::TargetKind;

/// Known by the name of its thread: the program may be a link to one of its tools.
pub const DATABASE: Database = Database {
    kind: TargetKind::Redis,
    name: "Redis",
    option: "--redis",
    is_one: |process| ["redis-server", "valkey-server"].contains(&process.name.as_str()),
    roles: &roles::OF_ANY,
    telling: None,
    connections: |_, processes, _| sockets::connections(processes),
    open: |_, snapshot| sockets::open(&snapshot.processes()),
    has_threads: false,
    login: None,
};
