//! What a server says of its connections, joined to what is known of them without a login.

use crate::attach::namespace::Ids;
use crate::snapshot::connections::{Connection, Connections};
use std::collections::HashMap;

/// Adds what is told of each task's connection to what is known of it without a login.
pub(super) fn join(
    connections: &mut Connections,
    told: Vec<Connection>,
    server: u32,
    tasks: &[(u32, u32)],
) {
    let ids = Ids::of(server, tasks);
    // The kernel's list of children may lack some while others end: who is known already is there.
    let known = connections.named.iter().map(|one| (one.tid, one.pid));
    let tasks = tasks.iter().map(|(pid, tid)| (*tid, *pid));
    let processes: HashMap<u32, u32> = known.chain(tasks).collect();
    let places = connections.named.iter().enumerate();
    let places: HashMap<u32, usize> = places.map(|(place, one)| (one.tid, place)).collect();
    for one in told {
        // One that has ended meanwhile has no task any more.
        let Some((tid, pid)) = ids
            .ours(one.tid)
            .and_then(|tid| Some((tid, *processes.get(&tid)?)))
        else {
            continue;
        };
        match places.get(&tid) {
            Some(place) => complete(&mut connections.named[*place], one),
            // Without it, we may not know what it is: it may be no connection.
            None if one.state.is_none() => (),
            None => connections.named.push(Connection { pid, tid, ..one }),
        }
    }
    let named = connections.named.len() as u64;
    connections.open = connections.open.max(named);
    connections.unnamed = connections.open - named;
}

/// What the server says counts, but of the other end, which sockets know better. What it does not say, since we may
/// not know or because it is none, stays.
fn complete(known: &mut Connection, told: Connection) {
    if told.state.is_some() {
        known.state = told.state;
        known.wait = told.wait;
        known.wait_event = told.wait_event;
    }
    known.user = told.user.or(known.user.take());
    known.database = told.database.or(known.database.take());
    known.peer = known.peer.take().or(told.peer);
    known.application = told.application.or(known.application.take());
    known.query_id = told.query_id.or(known.query_id);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(tid: u32, user: &str) -> Connection {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Connection {
            pid: 0,
            tid,
            user: text(user),
            ..Connection::default()
        }
    }

    fn joined(named: Vec<Connection>, told: Vec<Connection>) -> Connections {
        let mut connections = Connections {
            open: 3,
            unnamed: 3 - named.len() as u64,
            named,
            method: String::new(),
        };
        let own = std::process::id();
        join(&mut connections, told, own, &[(own, 10), (own, 11)]);
        connections
    }

    #[test]
    fn who_was_not_known_is_named() {
        let active = |tid, user| Connection {
            state: Some("active".to_owned()),
            ..one(tid, user)
        };
        let told = vec![active(11, "bob"), active(12, "gone")];
        let found = joined(vec![one(10, "alice")], told);
        let named: Vec<_> = found.named.iter().map(|it| (it.pid, it.tid)).collect();
        assert_eq!(named, [(0, 10), (std::process::id(), 11)]);
        assert_eq!((found.open, found.unnamed), (3, 1));
        let found = joined(vec![one(10, "alice")], vec![one(11, "a worker")]);
        assert_eq!((found.named.len(), found.unnamed), (1, 2));
    }

    #[test]
    fn what_the_server_says_counts_but_of_the_other_end() {
        let known = Connection {
            peer: Some("10.0.0.7:40000".to_owned()),
            state: Some("SELECT".to_owned()),
            wait: Some("Client".to_owned()),
            ..one(10, "alice")
        };
        let told = Connection {
            peer: Some("10.0.0.7".to_owned()),
            state: Some("active".to_owned()),
            application: Some("shop".to_owned()),
            ..one(10, "alice b")
        };
        let found = joined(vec![known.clone()], vec![told.clone()]);
        let expected = Connection {
            peer: known.peer.clone(),
            ..told
        };
        assert_eq!(found.named, [expected]);
        // A role that may not see others' states.
        let found = joined(vec![known.clone()], vec![one(10, "alice")]);
        assert_eq!(found.named, [known]);
    }
}
