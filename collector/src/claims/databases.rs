//! What is said of databases, on those that were given: in a scratch database of each that is made for it and removed
//! afterwards. No other is touched, and no setting of the server is changed.

use super::{
    Measurement, Spec,
    round::{NotHere, Round},
};
use crate::figures::Unit;
use anyhow::Result;
use std::{cell::OnceCell, ops::Range};

mod anomalies;
mod client;
mod connections;
mod contention;
mod deadlocks;
mod patience;
mod scratch;
mod watching;

pub use client::{Kind, Login};

use scratch::Scratch;

/// Figures of both kinds, over the same axes: what one database cannot tell, the other may.
const FIGURES: [Spec; 12] = [
    Spec {
        name: "isolation_anomalies",
        unit: Unit::Share,
        axis: "database, level: anomaly",
        method: "two sessions in a fixed order of statements, once a round: whether the anomaly was seen; a session \
                 that the other one's lock holds up, or that is aborted, has seen none",
    },
    Spec {
        name: "transaction_rate",
        unit: Unit::PerSecond,
        axis: "database, level",
        method: "8 clients read two of 20 rows and write both, over and over: commits a second",
    },
    Spec {
        name: "transaction_retries",
        unit: Unit::Number,
        axis: "database, level",
        method: "the same: transactions that the database aborted, for each commit",
    },
    Spec {
        name: "transaction_lock_wait",
        unit: Unit::Seconds,
        axis: "database, level",
        method: "the same: clients that wait for locks by the server's own view, looked at every 5 ms, for each commit",
    },
    Spec {
        name: "transaction_switches",
        unit: Unit::Number,
        axis: "database, level",
        method: "the same: context switches of the processes that serve the clients, of MySQL of all its threads, for each \
                 commit",
    },
    Spec {
        name: "serializable_slowdown",
        unit: Unit::Number,
        axis: "database",
        method: "commits a second under read committed, by those under serializable",
    },
    Spec {
        name: "deadlocks",
        unit: Unit::Share,
        axis: "database: order of locks",
        method: "two transactions that each lock a row, and then the other's: tries in which the database aborted \
                 one, of all; in one order both begin with the same row",
    },
    Spec {
        name: "deadlock_detection",
        unit: Unit::Seconds,
        axis: "database",
        method: "from the statement that closes the circle to the error of the one that was aborted",
    },
    Spec {
        name: "lock_wait_share",
        unit: Unit::Share,
        axis: "database: clients",
        method: "clients that update a row in a transaction over and over: those that wait for a lock by the server's \
                 own view, looked at every 5 ms from when all have begun, of all clients; PostgreSQL wakes all that wait \
                 for a row each time that it is free, and who is awake and has not asked again yet does not count",
    },
    Spec {
        name: "database_connection",
        unit: Unit::Bytes,
        axis: "database",
        method: "what a backend holds of its own after a query: private anonymous memory by share (Pss_Anon of \
                 smaps_rollup), page tables and the kernel's stack, of ten",
    },
    Spec {
        name: "shared_buffer_copies",
        unit: Unit::Count,
        axis: "database",
        method: "pages of the shared buffer pool that are a backend's own after it has written a table through it \
                 (Anonymous of shared mappings in smaps)",
    },
    Spec {
        name: "threads_created",
        unit: Unit::Number,
        axis: "database",
        method: "growth of Threads_created for each of 40 connections that come and go, one after the other",
    },
];

/// The databases that were given.
pub struct Databases(Vec<Database>);

struct Database {
    kind: Kind,
    login: Login,
    /// Made when it is first needed, for all that follows: to make and to remove one takes a good part of a second.
    scratch: OnceCell<Scratch>,
}

impl Databases {
    /// Those that are logged in to so.
    #[must_use]
    pub fn new(logins: Vec<(Kind, Login)>) -> Self {
        let database = |(kind, login)| Database {
            kind,
            login,
            scratch: OnceCell::new(),
        };
        Self(logins.into_iter().map(database).collect())
    }

    /// Whether there is one of that kind.
    pub(super) fn have(&self, kind: Kind) -> bool {
        self.0.iter().any(|it| it.kind == kind)
    }

    /// The scratch database of that kind, as it is when it is new.
    fn scratch(&self, kind: Kind) -> Result<&Scratch> {
        let Some(database) = self.0.iter().find(|it| it.kind == kind) else {
            let why = format!(
                "no {} was given; give one by {option} PORT or {option} URL: a scratch database is made \
                 there, and removed afterwards",
                kind.name(),
                option = kind.option()
            );
            return Err(NotHere(why).into());
        };
        let scratch = match database.scratch.get() {
            Some(scratch) => scratch,
            None => {
                let created = Scratch::create(&database.login, kind)?;
                database.scratch.get_or_init(|| created)
            }
        };
        scratch.begin()?;
        Ok(scratch)
    }
}

/// What is measured in a scratch database, the figures of it, and how long it takes.
struct Part {
    name: &'static str,
    figures: Range<usize>,
    takes_ms: [u64; 2],
    take: fn(&Scratch, &mut Round<'_>) -> Result<()>,
}

const PARTS: [Part; 5] = [
    Part {
        name: "anomalies",
        figures: 0..1,
        takes_ms: [300, 300],
        take: anomalies::take,
    },
    Part {
        name: "isolation levels",
        figures: 1..6,
        takes_ms: [2_800, 1_500],
        take: contention::isolation,
    },
    Part {
        name: "deadlocks",
        figures: 6..8,
        // PostgreSQL looks for a circle after a second, MySQL at once: the mean.
        takes_ms: [600, 600],
        take: deadlocks::take,
    },
    Part {
        name: "waits for locks",
        figures: 8..9,
        takes_ms: [2_900, 1_400],
        take: contention::lock_waits,
    },
    Part {
        name: "connections",
        figures: 9..12,
        takes_ms: [300, 300],
        take: connections::take,
    },
];

/// Each part for each kind of database: those given, or why there is none.
pub(super) fn measurements() -> Vec<Measurement> {
    let kinds = [Kind::Postgresql, Kind::Mysql].into_iter();
    kinds
        .flat_map(|kind| PARTS.iter().map(move |part| measurement(kind, part)))
        .collect()
}

fn measurement(kind: Kind, part: &'static Part) -> Measurement {
    let figures = FIGURES[part.figures.clone()].iter();
    Measurement {
        name: part.name,
        figures: figures.map(Spec::described).collect(),
        takes_ms: part.takes_ms,
        database: Some(kind),
        take: Box::new(move |round| (part.take)(round.databases.scratch(kind)?, round)),
    }
}
