//! Who the connections of a PostgreSQL server are, by the titles of its processes.

use super::title::{CONNECTED, cluster_name, parse};
use crate::snapshot::{
    Role, Snapshot,
    connections::{Connection, Connections},
};

const METHOD: &str = "titles of the server's processes in /proc/PID/cmdline";
/// Why no states are told.
const STALE: &str = "; no states, since update_process_title is off";

/// The connections of one server: those that serve clients and those that send its log, as
/// `pg_stat_activity` counts them, by the titles of all its processes as [`read`](super::title::read)
/// gives them. One whose client has not yet said who it is has no title, and is not counted.
///
/// A connection is named if its user is known. Titles stop changing where `update_process_title` is off:
/// as soon as one shows that, no states are told, since those of older connections may be long past.
#[must_use]
pub fn connections<T: AsRef<str>>(processes: &[(u32, T)]) -> Connections {
    let cluster = cluster_name(processes.iter().map(|(_, title)| title));
    let mut is_stale = false;
    let served = processes.iter().filter_map(|(pid, text)| {
        let title = parse(text.as_ref(), cluster.as_deref())?;
        let is_open = CONNECTED.contains(&title.role);
        let connection = title.connection.filter(|_| is_open)?;
        // A state would stand behind the space that follows the peer.
        is_stale |= text.as_ref().trim_end_matches('\0').ends_with(' ');
        Some(Connection {
            pid: *pid,
            tid: *pid,
            ..connection
        })
    });
    let mut all: Vec<_> = served.collect();
    if is_stale {
        all.iter_mut().for_each(|it| it.state = None);
    }
    let open = all.len() as u64;
    all.retain(|it| it.user.is_some());
    Connections {
        open,
        unnamed: open - all.len() as u64,
        named: all,
        method: [METHOD, if is_stale { STALE } else { "" }].concat(),
    }
}

/// How many there are by the roles that processes were last told: up to a second old where that is how often they are
/// asked.
#[must_use]
pub fn open(snapshot: &Snapshot) -> u64 {
    let roles = snapshot.roles.iter();
    let serving = roles.filter(|role| CONNECTED.contains(&role.name.as_str()));
    serving.flat_map(Role::leaders).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: [(u32, &str); 6] = [
        (10, "/usr/lib/postgresql/15/bin/postgres\0-D\0/data"),
        (11, "postgres: a: b: checkpointer "),
        (12, "postgres: a: b: alice shop 10.0.0.7(5432) idle"),
        (
            13,
            "postgres: a: b: walsender replica 10.0.0.8(5432) streaming 0/3000148",
        ),
        (14, "sh\0-c\0cp a b"),
        (15, "postgres\0-D\0/data"),
    ];

    #[test]
    fn those_whose_user_is_known_are_named() {
        let mut server = SERVER.to_vec();
        server.push((16, "postgres: a: b: my self my shop [local] SELECT"));
        let found = connections(&server);
        assert_eq!((found.open, found.unnamed), (3, 1));
        assert_eq!(found.method, METHOD);
        let [alice, replica] = &found.named[..] else {
            panic!("{found:?}");
        };
        let expected = Connection {
            pid: 12,
            tid: 12,
            user: Some("alice".to_owned()),
            database: Some("shop".to_owned()),
            peer: Some("10.0.0.7(5432)".to_owned()),
            state: Some("idle".to_owned()),
            ..Connection::default()
        };
        assert_eq!(*alice, expected);
        assert_eq!(
            (replica.pid, replica.user.as_deref()),
            (13, Some("replica"))
        );
    }

    #[test]
    fn a_state_is_told_only_while_titles_follow_it() {
        let mut server = SERVER.to_vec();
        server.push((16, "postgres: a: b: bob shop [local] "));
        let found = connections(&server);
        assert_eq!((found.open, found.named.len()), (3, 3));
        assert!(found.named.iter().all(|it| it.state.is_none()), "{found:?}");
        assert!(found.method.ends_with(STALE));
    }

    #[test]
    fn a_server_without_any() {
        let none: [(u32, String); 0] = [];
        assert_eq!(connections(&none).open, 0);
        assert_eq!(connections(&SERVER[..2]).open, 0);
    }
}
