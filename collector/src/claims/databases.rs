//! What is said of databases, on one that was given: in a scratch database that is made for it and removed
//! afterwards. No other is touched, and no setting of the server is changed.

use super::{
    Measurement, Spec,
    round::{NotHere, Round},
};
use crate::figures::{Described, Unit};
use anyhow::Result;

mod anomalies;
mod client;
mod connections;
mod contention;
mod deadlocks;
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
                 own view, looked at every 5 ms, of all clients",
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

/// One for each kind of database: those given, or why there is none.
pub(super) fn measurements() -> Vec<Measurement> {
    [Kind::Postgresql, Kind::Mysql].map(of_kind).into()
}

fn of_kind(kind: Kind) -> Measurement {
    Measurement {
        name: kind.name(),
        figures: FIGURES
            .iter()
            .map(Spec::described)
            .collect::<Vec<Described>>(),
        takes_ms: [7_000, 5_000],
        take: Box::new(move |round| take(kind, round)),
    }
}

fn take(kind: Kind, round: &mut Round<'_>) -> Result<()> {
    let Some(login) = round.setting.login(kind) else {
        let option = kind.option();
        let why = format!(
            "no {} was given; give one by {option} PORT or {option} URL: a scratch database is made there, \
             and removed afterwards",
            kind.name()
        );
        return Err(NotHere(why).into());
    };
    let scratch = Scratch::create(login, kind)?;
    anomalies::take(&scratch, round)?;
    contention::isolation(&scratch, round)?;
    deadlocks::take(&scratch, round)?;
    contention::lock_waits(&scratch, round)?;
    match kind {
        Kind::Postgresql => connections::of_postgresql(&scratch, round),
        Kind::Mysql => connections::of_mysql(&scratch, round),
    }
}
