//! Whom to watch: the one list of kinds of target.

pub mod bound;
pub mod cgroup;
pub mod choice;
pub mod databases;
pub mod following;
pub mod launched;
pub mod login;
pub mod memory;
pub mod models;
pub mod mysql;
pub mod namespace;
pub mod pgbouncer;
pub mod postgresql;
pub mod process;
pub mod redis;
pub(crate) mod rounds;
pub mod running;
pub mod runtimes;
pub mod sockets;
pub mod telling;
