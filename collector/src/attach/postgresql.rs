//! PostgreSQL: a postmaster, and a process for each connection and each of its own tasks.

pub mod connections;
pub mod title;

use super::databases::Database;
use crate::roles;
use crate::snapshot::TargetKind;

/// Known by the program, which is called `postmaster` where a link of that name starts it.
pub const DATABASE: Database = Database {
    kind: TargetKind::Postgresql,
    name: "PostgreSQL",
    option: "--postgres",
    is_one: |process| ["postgres", "postmaster"].contains(&process.name.as_str()),
    roles: &roles::OF_ANY,
    telling: None,
};
