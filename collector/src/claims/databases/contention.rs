//! Clients that want the same rows: what stronger isolation costs, and how much of their time is waits for
//! locks.

use super::{
    anomalies::{LEVELS, begin},
    client::{Client, Kind, Refused, Why},
    scratch::{ROWS, Scratch},
    watching::Watched,
};
use crate::claims::round::Round;
use anyhow::{Context, Result, anyhow};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::sleep};

/// Clients of the isolation levels' workload.
const CLIENTS: u32 = 8;
/// Clients that want locks: on one row, and on one of their own each.
const CROWDS: [u32; 3] = [2, 16, 64];
/// How often it is looked who waits.
const LOOK: Duration = Duration::from_millis(5);

/// What clients did together.
#[derive(Default)]
struct Done {
    commits: u64,
    aborted: u64,
    /// The mean number of clients that waited for a lock.
    waiting: f64,
    seconds: f64,
    switches: Option<u64>,
}

/// What each client does.
#[derive(Clone)]
enum Work {
    /// Reads two rows, and writes both, at this level.
    Transfer(&'static str),
    /// Updates a row: the one, or that of its own number.
    Update { own: bool },
}

pub(super) fn isolation(scratch: &Scratch, round: &mut Round<'_>) -> Result<()> {
    let name = scratch.kind.name();
    let window = round.setting.window(600, 400);
    let mut rates = Vec::new();
    for level in LEVELS {
        round.go_on()?;
        let done = scratch.wait(together(
            scratch,
            round,
            CLIENTS,
            Work::Transfer(level),
            window,
        ))?;
        let at = format!("{name}, {level}");
        let commits = done.commits.max(1) as f64;
        let rate = done.commits as f64 / done.seconds;
        rates.push(rate);
        round.tell_at("transaction_rate", &at, None, vec![rate]);
        round.tell_at(
            "transaction_retries",
            &at,
            None,
            vec![done.aborted as f64 / commits],
        );
        let waited = done.waiting * done.seconds / commits;
        round.tell_at("transaction_lock_wait", &at, None, vec![waited]);
        if let Some(switches) = done.switches {
            round.tell_at(
                "transaction_switches",
                &at,
                None,
                vec![switches as f64 / commits],
            );
        }
    }
    let [_, read_committed, _, serializable] = rates[..] else {
        return Err(anyhow!("not all levels were measured"));
    };
    round.tell_at(
        "serializable_slowdown",
        name,
        None,
        vec![read_committed / serializable.max(0.1)],
    );
    Ok(())
}

pub(super) fn lock_waits(scratch: &Scratch, round: &mut Round<'_>) -> Result<()> {
    let window = round.setting.window(400, 250);
    for clients in CROWDS {
        round.go_on()?;
        for (own, rows) in [(false, "one row"), (true, "a row each")] {
            let done = scratch.wait(together(
                scratch,
                round,
                clients,
                Work::Update { own },
                window,
            ))?;
            let at = format!("{}: {clients} on {rows}", scratch.kind.name());
            let share = done.waiting / f64::from(clients);
            round.tell_at("lock_wait_share", &at, None, vec![share]);
        }
    }
    Ok(())
}

/// Has so many clients work at once for so long.
async fn together(
    scratch: &Scratch,
    round: &Round<'_>,
    clients: u32,
    work: Work,
    window: Duration,
) -> Result<Done> {
    let mut looking = scratch.connect().await?;
    if clients > ROWS {
        let rows = (ROWS + 1..=clients).map(|id| format!("({id}, 100)"));
        let rows = rows.collect::<Vec<_>>().join(", ");
        looking
            .run(&format!(
                "delete from accounts where id > {ROWS}; insert into accounts values {rows}"
            ))
            .await?;
    }
    let mut sessions = Vec::new();
    for _ in 0..clients {
        sessions.push(scratch.connect().await?);
    }
    let mut watched = Watched::of(scratch.kind, &mut sessions, round).await;
    let stop = Arc::new(AtomicBool::new(false));
    let before = watched.as_mut().map(Watched::switches).transpose()?;
    let begun = Instant::now();
    let mut working = JoinSet::new();
    for (number, session) in (1..).zip(sessions) {
        working.spawn(go_on(
            session,
            scratch.kind,
            number,
            work.clone(),
            stop.clone(),
        ));
    }
    let waiting = look(&mut looking, scratch, window).await;
    let seconds = begun.elapsed().as_secs_f64();
    let after = watched.as_mut().map(Watched::switches).transpose()?;
    stop.store(true, Ordering::Relaxed);
    let mut done = Done {
        waiting: waiting?,
        seconds,
        switches: after.zip(before).map(|(after, before)| after - before),
        ..Done::default()
    };
    while let Some(ended) = working.join_next().await {
        let (commits, aborted) = ended.context("a client panicked")??;
        done.commits += commits;
        done.aborted += aborted;
    }
    looking.close().await;
    Ok(done)
}

/// How many clients wait for a lock, on the mean of many looks.
async fn look(looking: &mut Client, scratch: &Scratch, window: Duration) -> Result<f64> {
    let waiting = format!(
        "from pg_stat_activity where datname = '{}' and wait_event_type = 'Lock'",
        scratch.name
    );
    let end = Instant::now() + window;
    let (mut sum, mut looks) = (0, 0_u32);
    while Instant::now() < end {
        sleep(LOOK).await;
        sum += match scratch.kind {
            Kind::Postgresql => looking.number("count(*)", &waiting).await?,
            // Of the whole server; what innodb_trx shows is up to 100 ms old.
            Kind::Mysql => looking.status("Innodb_row_lock_current_waits").await?,
        };
        looks += 1;
    }
    Ok(sum as f64 / f64::from(looks.max(1)))
}

/// Works until it is to stop; how often, and how often the database aborted it.
async fn go_on(
    mut session: Client,
    kind: Kind,
    number: u32,
    work: Work,
    stop: Arc<AtomicBool>,
) -> Result<(u64, u64)> {
    let (mut commits, mut aborted) = (0, 0);
    let mut random = u64::from(number);
    while !stop.load(Ordering::Relaxed) {
        let done = match &work {
            Work::Transfer(level) => transfer(&mut session, kind, level, &mut random).await,
            Work::Update { own } => update(&mut session, if *own { number } else { 1 }).await,
        };
        match done {
            Ok(()) => commits += 1,
            Err(error) if error.why == Why::Other => return Err(error.into()),
            Err(_) => {
                aborted += 1;
                session.run("rollback").await?;
            }
        }
    }
    session.close().await;
    Ok((commits, aborted))
}

/// The lower row first: what is aborted is not for the order of locks.
async fn transfer(
    session: &mut Client,
    kind: Kind,
    level: &str,
    random: &mut u64,
) -> Result<(), Refused> {
    let first = 1 + next(random) % u64::from(ROWS - 1);
    let second = first + 1 + next(random) % (u64::from(ROWS) - first);
    begin(session, kind, level).await?;
    for row in [first, second] {
        session
            .number("v", &format!("from accounts where id = {row}"))
            .await?;
    }
    for (row, change) in [(first, -1), (second, 1)] {
        session
            .run(&format!(
                "update accounts set v = v + {change} where id = {row}"
            ))
            .await?;
    }
    session.run("commit").await
}

async fn update(session: &mut Client, row: u32) -> Result<(), Refused> {
    session.run("begin").await?;
    session
        .run(&format!("update accounts set v = v + 1 where id = {row}"))
        .await?;
    session.run("commit").await
}

/// Numbers that look random and are the same each time (Knuth's MMIX generator).
fn next(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}
