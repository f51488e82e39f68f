//! Titles of processes that serve a client: `USER DATABASE PEER STATE`, or `walsender USER [DATABASE] PEER STATE`.
//!
//! Only the peer has a form of its own, so it is looked for, and names are what stands before it. Two
//! words there are a user and a database. Of more it cannot be told where the user's name ends.

use super::{CLIENT, Title, WAL_SENDER};
use crate::snapshot::connections::Connection;
use std::net::IpAddr;

/// What a title says of a walsender before it says whose.
const WALSENDER: &str = "walsender";

/// What stands before the name of the database that an autovacuum worker is at: any name, even one like a client's
/// peer and state.
const AUTOVACUUM: &str = "autovacuum worker";

/// States that are not the tag of a command. `set_ps_display` in `postgres.c`, `postinit.c`, `async.c`.
const STATES: [&str; 9] = [
    "idle",
    "idle in transaction",
    "idle in transaction (aborted)",
    "initializing",
    "authentication",
    STARTUP,
    "notify interrupt",
    "<FASTPATH>",
    "???",
];

/// What a title says until the first command, and for ever if the user's or the database's own settings
/// hold `update_process_title = off`: no state can be told from it.
const STARTUP: &str = "startup";

/// One way to read a title.
struct Reading<'a> {
    before: &'a str,
    peer: Peer<'a>,
    activity: &'a str,
}

/// From where a client came, by its form.
#[derive(Clone, Copy)]
enum Peer<'a> {
    /// A socket of this host, or an address and a port: nothing else looks like it.
    Sure(&'a str),
    /// A name of a host (`log_hostname`) and a port. Names of other workers could look like it.
    Name(&'a str),
    /// The system could not say from where.
    Unknown,
}

/// What a title says, if it is that of a process that serves a client.
pub(super) fn parse(says: &str) -> Option<Title> {
    let readings: Vec<_> = readings(says).collect();
    let mut likely: Vec<_> = readings.iter().filter(|it| it.is_likely()).collect();
    if likely.is_empty() {
        // A state that we do not know.
        likely.extend(readings.iter().filter(|it| it.peer.is_sure()));
    }
    let first = likely.first()?;
    let role = role(first.before);
    let connection = match likely[..] {
        [reading] => reading.connection(role),
        _ => Connection::default(),
    };
    Some(Title {
        role,
        connection: Some(connection),
    })
}

fn role(before: &str) -> &'static str {
    match before.split(' ').next() {
        Some(WALSENDER) => WAL_SENDER,
        _ => CLIENT,
    }
}

/// All places where a peer can be, behind at least two words.
fn readings(says: &str) -> impl Iterator<Item = Reading<'_>> {
    let ends = says.match_indices(' ').map(|(place, _)| place);
    let starts = ends.clone().map(|place| place + 1);
    let behind_two = starts.skip(1);
    behind_two.filter_map(move |start| {
        let rest = &says[start..];
        let (word, activity) = rest.split_once(' ').unwrap_or((rest, ""));
        Some(Reading {
            before: &says[..start - 1],
            peer: Peer::of(word)?,
            activity,
        })
    })
}

impl Reading<'_> {
    /// Whether what stands behind the peer can be a state; without one (`update_process_title = off`) only
    /// where the peer is surely one.
    fn is_likely(&self) -> bool {
        let known = is_state(self.activity) || is_replication(self.activity);
        known && (self.peer.is_sure() || !self.activity.is_empty())
    }

    fn connection(&self, role: &str) -> Connection {
        let (user, database) = match role {
            WAL_SENDER => (self.replicating_user(), None),
            _ => self.names().unzip(),
        };
        let is_told = !["", STARTUP].contains(&self.activity) && self.is_likely();
        Connection {
            user: user.map(str::to_owned),
            database: database.map(str::to_owned),
            peer: self.peer.text().map(str::to_owned),
            state: is_told.then(|| self.activity.to_owned()),
            ..Connection::default()
        }
    }

    /// The user and the database, if it is plain which is which.
    fn names(&self) -> Option<(&str, &str)> {
        let (user, database) = self.before.split_once(' ')?;
        let are_plain = is_name(user) && is_name(database) && !database.contains(' ');
        (are_plain && self.before != AUTOVACUUM).then_some((user, database))
    }

    /// The user of a walsender. Two words can be a name with a space, or a database too; of a user who is
    /// called `walsender`, one is a database: that one never says that it replicates.
    fn replicating_user(&self) -> Option<&str> {
        let user = self.before.strip_prefix(WALSENDER)?.strip_prefix(' ')?;
        let is_plain = is_name(user) && !user.contains(' ');
        (is_plain && is_replication(self.activity)).then_some(user)
    }
}

/// Whether it can be a name. A character that was replaced when it was read may have been any.
fn is_name(word: &str) -> bool {
    !word.is_empty() && !word.contains(char::REPLACEMENT_CHARACTER)
}

impl<'a> Peer<'a> {
    fn of(word: &'a str) -> Option<Self> {
        // A client's own socket may have a path.
        if word == "[local]" || word.starts_with("[local](") && word.ends_with(')') {
            return Some(Self::Sure(word));
        }
        if word == "???(???)" {
            return Some(Self::Unknown);
        }
        let (host, port) = word.strip_suffix(')')?.rsplit_once('(')?;
        port.parse::<u16>().ok()?;
        // Behind an address of one link stands which: fe80::1%eth0.
        let address = host.split('%').next().unwrap_or_default();
        if address.parse::<IpAddr>().is_ok() {
            return Some(Self::Sure(word));
        }
        let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        (!host.is_empty() && host.bytes().all(of_name)).then_some(Self::Name(word))
    }

    fn is_sure(self) -> bool {
        matches!(self, Self::Sure(_))
    }

    fn text(self) -> Option<&'a str> {
        match self {
            Self::Sure(word) | Self::Name(word) => Some(word),
            Self::Unknown => None,
        }
    }
}

/// Whether it is one of a process that serves queries: a fixed one, or the tag of a command, and what
/// it waits for.
fn is_state(activity: &str) -> bool {
    let (what, wait) = match activity.split_once(" waiting") {
        Some((what, wait)) => (what, wait),
        None => (activity, ""),
    };
    let is_place = |rest: &str| rest.strip_prefix(" for ").is_some_and(is_log_place);
    let is_tag = |what: &str| {
        what.bytes()
            .all(|it| it.is_ascii_uppercase() || b" _".contains(&it))
    };
    (STATES.contains(&what) || is_tag(what)) && (wait.is_empty() || is_place(wait))
}

/// Whether it is one that only a walsender has; of its commands, all have an underscore.
fn is_replication(activity: &str) -> bool {
    let streams = activity.strip_prefix("streaming ");
    let is_command = is_state(activity) && activity.contains('_');
    is_command || streams.is_some_and(is_log_place) || activity.starts_with("sending backup \"")
}

/// A place in the log: `16/B374D848`.
fn is_log_place(place: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_hexdigit());
    place
        .split_once('/')
        .is_some_and(|(high, low)| is_number(high) && is_number(low))
}
