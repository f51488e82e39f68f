//! PostgreSQL: a postmaster, and a process for each connection and each of its own tasks.

pub mod connections;
mod cut;
mod login;
pub mod telling;
pub mod title;
pub mod wait;

use super::databases::Database;
use crate::snapshot::TargetKind;
use crate::snapshot::connections::Connections;
use std::fmt::Write as _;

/// Known by the program, which is called `postmaster` where a link of that name starts it.
pub const DATABASE: Database = Database {
    kind: TargetKind::Postgresql,
    name: "PostgreSQL",
    option: "--postgres",
    is_one: |process| ["postgres", "postmaster"].contains(&process.name.as_str()),
    roles: &telling::OF_POSTGRESQL,
    telling: Some(telling::Titles::of),
    connections: |postmaster, processes, _| Ok(with_waits(postmaster, processes)),
    open: |_, snapshot| Ok(connections::open(snapshot)),
    has_threads: false,
    login: Some(&login::CLIENT),
};

/// What titles tell, and sockets where these do not; and what each waits for.
fn with_waits(postmaster: u32, processes: &[u32]) -> Connections {
    let titled = |&pid: &u32| Some((pid, title::read(pid)?));
    let titles: Vec<_> = processes.iter().filter_map(titled).collect();
    let mut found = connections::connections(&titles);
    cut::complete(postmaster, &titles, &mut found);
    match wait::Waits::of(postmaster) {
        Ok(waits) => waits.add_to(&mut found),
        Err(error) => {
            let _ = write!(found.method, "; no waits: {error:#}");
        }
    }
    found
}
