//! Titles that are cut short. A server writes its titles over the arguments and the environment that it was started
//! with (`save_ps_display_args` and `set_ps_display` in `ps_status.c`): with few of these, by `env -i` or a
//! container's image, there is no room for a user, a database and an address.

use super::title::{OTHER, PREFIX, cluster_name, parse};
use crate::attach::sockets::sockets;
use crate::snapshot::connections::Connections;
use anyhow::Result;
use procfs::process::Process;
use std::collections::HashSet;
use std::fmt::Write as _;

/// The room for titles of one server's processes: those that it forks have all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room(usize);

impl Room {
    /// That of the server with this pid; endless where we may not know.
    pub(super) fn of(postmaster: u32) -> Self {
        let stat = Process::new(postmaster as i32).and_then(|process| process.stat());
        let room = stat.ok().and_then(|stat| {
            let (begin, end) = (stat.arg_start?, stat.env_end.or(stat.arg_end)?);
            // Its last byte, and the one that ends the text, stay zero.
            usize::try_from(end.checked_sub(begin)?)
                .ok()?
                .checked_sub(2)
        });
        Self(room.filter(|room| *room > 0).unwrap_or(usize::MAX))
    }

    /// Whether a title fills it, and so may lack its end.
    pub(super) fn is_filled_by(self, title: &str) -> bool {
        title.starts_with(PREFIX) && title.len() >= self.0
    }
}

/// Of these children of a postmaster those that hold a client's socket.
///
/// # Errors
/// As [`sockets`].
pub(super) fn serving(postmaster: u32, children: &[u32]) -> Result<HashSet<u32>> {
    let clients = sockets(&[&[postmaster], children].concat())?.clients;
    let holders = clients.values().flat_map(|client| &client.holders);
    // The postmaster has accepted it a moment ago.
    let others = holders.filter(|(pid, _)| *pid != postmaster);
    Ok(others.map(|(pid, _)| *pid).collect())
}

/// Adds connections that titles do not tell, by their sockets, and takes back what titles that are cut short may tell
/// wrong: `idle` may have gone on as `idle in transaction`.
pub(super) fn complete(postmaster: u32, titles: &[(u32, String)], found: &mut Connections) {
    let room = Room::of(postmaster);
    let filled = titles.iter().filter(|(_, title)| room.is_filled_by(title));
    let cut: HashSet<u32> = filled.map(|(pid, _)| *pid).collect();
    for connection in &mut found.named {
        if cut.contains(&connection.pid) {
            connection.state = None;
        }
    }
    let untold = untold(titles);
    if !untold.is_empty() {
        match serving(postmaster, &untold) {
            Ok(serving) => {
                found.open += serving.len() as u64;
                found.unnamed += serving.len() as u64;
            }
            Err(error) => {
                let _ = write!(
                    found.method,
                    "; connections with no such title are not counted: {error:#}"
                );
            }
        }
    }
    if !cut.is_empty() {
        let _ = write!(
            found.method,
            "; {} titles are cut short, since the server was started with a short command line and environment: who \
             these serve may not be told, and their state is not",
            cut.len()
        );
    }
}

/// Processes that have a title of their own, and one that says of nothing known what it is.
fn untold(titles: &[(u32, String)]) -> Vec<u32> {
    let cluster = cluster_name(titles.iter().map(|(_, title)| title));
    let is_untold = |title: &str| {
        let role = parse(title, cluster.as_deref()).map(|title| title.role);
        title.starts_with(PREFIX) && role.is_none_or(|role| role == OTHER)
    };
    let untold = titles.iter().filter(|(_, title)| is_untold(title));
    untold.map(|(pid, _)| *pid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_that_fills_its_room_may_be_cut() {
        let room = Room(24);
        assert!(room.is_filled_by("postgres: alice shop [lo"));
        assert!(!room.is_filled_by("postgres: alice shop [l"));
        assert!(!room.is_filled_by("/usr/lib/postgresql/15/bin/postgres"));
        let Room(own) = Room::of(std::process::id());
        assert!((100..usize::MAX).contains(&own), "{own}");
    }

    #[test]
    fn what_says_nothing_known_is_asked_for_its_socket() {
        let titles = [
            "/usr/lib/postgresql/15/bin/postgres",
            "postgres: checkpointer ",
            "postgres: alice shop [local] idle",
            "postgres: alice shop [loc",
            "postgres: archiver ",
            "sh\0-c\0cp a b",
        ];
        let titles: Vec<_> = (10..)
            .zip(titles.iter().map(|it| (*it).to_owned()))
            .collect();
        assert_eq!(untold(&titles), [13, 14]);
    }
}
