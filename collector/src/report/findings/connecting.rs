//! Rules on the making of connections.

use super::thresholds::{CREATED_MIN, WATCH_MIN_SECONDS};
use super::{Confidence, Facts, Measured, Seen, lacking, too_few};
use crate::report::new_connection::{Made, NewConnection, Times};
use crate::snapshot::TargetKind;
use crate::units;

/// So many leave nothing to chance.
const MANY: u64 = 200;

pub(super) fn processes(facts: &Facts<'_>) -> Seen {
    let advice = match facts.target.kind {
        TargetKind::Postgresql => {
            "a pooler (PgBouncer, or one in the application) would keep the connections open and save these forks"
        }
        _ => "keep the connections open, or a number of processes ready, to save these forks",
    };
    churn(facts, Made::Process, "forks", advice)
}

pub(super) fn threads(facts: &Facts<'_>) -> Seen {
    let advice = match facts.target.kind {
        TargetKind::Mysql | TargetKind::Mariadb => {
            "keep the connections open in the application, or more threads in the server (thread_cache_size)"
        }
        _ => "keep the connections open, or a number of threads ready",
    };
    churn(facts, Made::Thread, "calls of pthread_create", advice)
}

fn churn(facts: &Facts<'_>, made: Made, calls: &str, advice: &str) -> Seen {
    let new = facts.target.new_connection.as_ref();
    let new = new.filter(|new| new.made == made).ok_or_else(|| {
        let what = made.word();
        format!("no {what} is made for a connection")
    })?;
    if facts.target.window_seconds < WATCH_MIN_SECONDS {
        return Err(super::watching::too_short(facts.target.window_seconds));
    }
    let connections = new.created - new.of_other_roles;
    let rate = new
        .connections_per_second
        .ok_or_else(|| lacking("creations"))?;
    let what = made.word();
    let per_second = units::number(rate);
    let untold = Untold::of(facts.target.kind, new);
    let made = match facts.target.kind {
        TargetKind::Process => format!("its main thread made a {what} {per_second} times a second"),
        _ if untold.is_some() => format!(
            "up to {per_second} connections a second had a {what} made for them, or parallel workers of queries: {} \
             of {} ended before they told what they are",
            units::count(new.unsettled as f64),
            units::count(connections as f64)
        ),
        _ => format!("{per_second} connections a second had a {what} made for them"),
    };
    let sentence = made + &cost(new, calls);
    let because = "every creation was counted; those that were not for a client are in it if they ended before they \
                   told what they are";
    let seen = Measured::sure(rate, sentence, advice, because);
    let seen = match facts.target.kind {
        TargetKind::Process => seen.but(
            Confidence::Medium,
            "every one was counted, and made for anything",
        ),
        _ if untold.is_some() => seen.but(
            Confidence::Low,
            "every creation was counted, but of most it is not known whether it was for a client or for a parallel \
             worker (max_parallel_workers_per_gather)",
        ),
        _ if connections < MANY => seen.but(
            Confidence::Medium,
            "every one was counted, though they are few",
        ),
        _ => seen,
    };
    let seen = seen.unless(untold == Some(Untold::RatherWorkers), || {
        "most that were made ended before they told what they are; of the others more were parallel workers than clients"
            .to_owned()
    });
    Ok(seen.unless(connections < CREATED_MIN, || {
        too_few("connections", connections as f64, CREATED_MIN as f64)
    }))
}

/// Of most that a postmaster made it is not known what they were: it makes parallel workers, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Untold {
    RatherClients,
    RatherWorkers,
}

impl Untold {
    /// By those that told, since they ran when they were asked; those do that run for long. What else a postmaster makes
    /// now and then, such as autovacuum, tells nothing of them.
    fn of(kind: TargetKind, new: &NewConnection) -> Option<Self> {
        let connections = new.created - new.of_other_roles;
        let clients = connections - new.unsettled;
        let dominate = kind == TargetKind::Postgresql && new.unsettled > clients;
        dominate.then_some(match new.helpers > clients {
            true => Self::RatherWorkers,
            false => Self::RatherClients,
        })
    }
}

/// `; the forks took 12 % of a core (mean 1.20 ms each), each first ran after 300 µs (p50)`.
fn cost(new: &NewConnection, calls: &str) -> String {
    let called = new.call.as_ref().zip(new.calls_share_of_a_core());
    let called = called.map(|(call, share)| {
        let (share, mean) = (units::percent(share), units::time(call.mean_seconds));
        format!("the {calls} took {share} of a core (mean {mean} each)")
    });
    let ran = |first: &Times| {
        let p50 = units::time(first.p50_seconds?);
        Some(format!("each first ran after {p50} (p50)"))
    };
    let parts: Vec<String> = called
        .into_iter()
        .chain(new.first_run.as_ref().and_then(ran))
        .collect();
    match parts.is_empty() {
        true => String::new(),
        false => format!("; {}", parts.join(", ")),
    }
}
