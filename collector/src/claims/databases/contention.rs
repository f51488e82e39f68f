//! Clients that want the same rows: what stronger isolation costs, and how much of their time is waits for
//! locks.

use super::{
    anomalies::{LEVELS, begin},
    client::{Client, Kind, Refused, Why},
    scratch::{ROWS, Scratch},
    watching::Watched,
};
use crate::claims::round::Round;
use anyhow::{Context, Result, anyhow, ensure};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::sleep};

/// Clients of the isolation levels' workload.
const CLIENTS: u32 = 8;
/// Clients that want locks: on one row, and on one of their own each. With --quick the first two numbers alone.
const CROWDS: [u32; 3] = [2, 64, 16];
const FEW: usize = 2;
/// How often it is looked who waits.
const LOOK: Duration = Duration::from_millis(5);
/// How long it may take until all clients work.
const PATIENCE: Duration = Duration::from_secs(10);

/// What clients did together.
#[derive(Debug)]
struct Done {
    commits: u64,
    aborted: u64,
    /// The mean number of clients that waited for a lock.
    waiting: f64,
    seconds: f64,
    switches: Option<u64>,
}

/// What each client does.
#[derive(Clone, Copy)]
enum Work {
    /// Reads two rows, and writes both, at this level.
    Transfer(&'static str),
    /// Updates a row: the one, or that of its own number.
    Update { own: bool },
}

pub(super) fn isolation(scratch: &Scratch, round: &mut Round<'_>) -> Result<()> {
    let name = scratch.kind.name();
    let window = round.setting.window(600, 300);
    let mut crowd = scratch.wait(Crowd::of(scratch, CLIENTS))?;
    scratch.wait(crowd.watch(round))?;
    let mut rates = Vec::new();
    for level in LEVELS {
        round.go_on()?;
        let done = scratch.wait(crowd.work(CLIENTS, Work::Transfer(level), window))?;
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
    scratch.wait(crowd.close())?;
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
    let crowds = round.setting.some(&CROWDS, FEW);
    let most = crowds.iter().copied().max().unwrap_or(0);
    let mut crowd = scratch.wait(Crowd::of(scratch, most))?;
    for &clients in crowds {
        round.go_on()?;
        for (own, rows) in [(false, "one row"), (true, "a row each")] {
            let done = scratch.wait(crowd.work(clients, Work::Update { own }, window))?;
            let at = format!("{}: {clients} on {rows}", scratch.kind.name());
            let share = done.waiting / f64::from(clients);
            round.tell_at("lock_wait_share", &at, None, vec![share]);
        }
    }
    scratch.wait(crowd.close())
}

/// Sessions that work at once, and one that looks on.
struct Crowd {
    kind: Kind,
    database: String,
    looking: Client,
    sessions: Vec<Client>,
    watched: Option<Watched>,
}

/// What those that work tell the one that looks on, and when they are to stop.
struct Signals {
    /// Clients that have begun a transaction.
    begun: AtomicU32,
    commits: AtomicU64,
    aborted: AtomicU64,
    stop: AtomicBool,
}

impl Crowd {
    /// So many sessions, each of which has worked once: what it does for the first time only, plans and caches, is
    /// longer than a look at 64 of them, and most would not have asked for a lock yet.
    async fn of(scratch: &Scratch, clients: u32) -> Result<Self> {
        let mut looking = scratch.connect().await?;
        if clients > ROWS {
            let rows = (ROWS + 1..=clients).map(|id| format!("({id}, 100)"));
            let rows = rows.collect::<Vec<_>>().join(", ");
            looking
                .run(&format!("insert into accounts values {rows}"))
                .await?;
        }
        let mut beginning = JoinSet::new();
        for number in 1..=clients {
            let mut session = scratch.connect().await?;
            beginning.spawn(async move {
                // On a row that nobody else wants.
                session.run("begin").await?;
                update(&mut session, number).await?;
                Ok::<_, Refused>(session)
            });
        }
        let mut sessions = Vec::new();
        while let Some(begun) = beginning.join_next().await {
            sessions.push(begun.context("a client panicked")??);
        }
        Ok(Self {
            kind: scratch.kind,
            database: scratch.name.clone(),
            looking,
            sessions,
            watched: None,
        })
    }

    /// Counts context switches from now on, where that is allowed.
    async fn watch(&mut self, round: &Round<'_>) -> Result<()> {
        self.watched = Watched::of(self.kind, &mut self.sessions, round).await;
        Ok(())
    }

    /// Has so many of them work at once. They are looked at for so long, from when all of them have begun.
    async fn work(&mut self, clients: u32, work: Work, window: Duration) -> Result<Done> {
        let signals = Arc::new(Signals {
            begun: AtomicU32::new(0),
            commits: AtomicU64::new(0),
            aborted: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let idle = self.sessions.split_off(clients as usize);
        let mut working = JoinSet::new();
        for (number, session) in (1..).zip(self.sessions.drain(..)) {
            working.spawn(go_on(session, self.kind, number, work, signals.clone()));
        }
        let done = self.look_on(clients, window, &signals).await;
        signals.stop.store(true, Ordering::Relaxed);
        let mut worked = Vec::new();
        while let Some(ended) = working.join_next().await {
            worked.push(ended.context("a client panicked")??);
        }
        worked.sort_by_key(|(number, _)| *number);
        let worked = worked.into_iter().map(|(_, session)| session);
        self.sessions = worked.chain(idle).collect();
        done
    }

    async fn look_on(&mut self, clients: u32, window: Duration, signals: &Signals) -> Result<Done> {
        let given_up = Instant::now() + PATIENCE;
        while signals.begun.load(Ordering::Relaxed) < clients && Instant::now() < given_up {
            sleep(LOOK).await;
        }
        let begun = signals.begun.load(Ordering::Relaxed);
        ensure!(
            begun >= clients,
            "{begun} of {clients} clients only had begun to work after {PATIENCE:?}"
        );
        // The last one's statement is on its way.
        sleep(LOOK).await;
        let counted = || [&signals.commits, &signals.aborted].map(|it| it.load(Ordering::Relaxed));
        let switches_before = self.watched.as_mut().map(Watched::switches).transpose()?;
        let (before, begun) = (counted(), Instant::now());
        let waiting = look(&mut self.looking, self.kind, &self.database, window).await?;
        let (after, seconds) = (counted(), begun.elapsed().as_secs_f64());
        let switches_after = self.watched.as_mut().map(Watched::switches).transpose()?;
        let switches = switches_after.zip(switches_before);
        Ok(Done {
            commits: after[0] - before[0],
            aborted: after[1] - before[1],
            waiting,
            seconds,
            switches: switches.map(|(after, before)| after - before),
        })
    }

    async fn close(self) -> Result<()> {
        for session in self.sessions {
            session.close().await;
        }
        self.looking.close().await;
        Ok(())
    }
}

/// How many clients wait for a lock, on the mean of many looks.
async fn look(looking: &mut Client, kind: Kind, database: &str, window: Duration) -> Result<f64> {
    // The second is of who asks for the first, and finds all the others that do.
    let waiting = format!(
        "from pg_stat_activity where datname = '{database}' and (wait_event_type = 'Lock' or wait_event = 'LockManager')"
    );
    let end = Instant::now() + window;
    let (mut sum, mut looks) = (0, 0_u32);
    while Instant::now() < end {
        sleep(LOOK).await;
        sum += match kind {
            Kind::Postgresql => looking.number("count(*)", &waiting).await?,
            // Of the whole server; what innodb_trx shows is up to 100 ms old.
            Kind::Mysql => looking.status("Innodb_row_lock_current_waits").await?,
        };
        looks += 1;
    }
    Ok(sum as f64 / f64::from(looks.max(1)))
}

/// Works until it is to stop; gives the session back.
async fn go_on(
    mut session: Client,
    kind: Kind,
    number: u32,
    work: Work,
    signals: Arc<Signals>,
) -> Result<(u32, Client)> {
    let mut random = u64::from(number);
    let mut is_first = true;
    while !signals.stop.load(Ordering::Relaxed) {
        let mut done = begin_to(&mut session, kind, work).await;
        if std::mem::take(&mut is_first) {
            signals.begun.fetch_add(1, Ordering::Relaxed);
        }
        if done.is_ok() {
            done = match work {
                Work::Transfer(_) => transfer(&mut session, &mut random).await,
                Work::Update { own } => update(&mut session, if own { number } else { 1 }).await,
            };
        }
        match done {
            Ok(()) => signals.commits.fetch_add(1, Ordering::Relaxed),
            Err(error) if error.why == Why::Other => return Err(error.into()),
            Err(_) => {
                session.run("rollback").await?;
                signals.aborted.fetch_add(1, Ordering::Relaxed)
            }
        };
    }
    Ok((number, session))
}

async fn begin_to(session: &mut Client, kind: Kind, work: Work) -> Result<(), Refused> {
    match work {
        Work::Transfer(level) => begin(session, kind, level).await,
        Work::Update { .. } => session.run("begin").await,
    }
}

/// The lower row first: what is aborted is not for the order of locks.
async fn transfer(session: &mut Client, random: &mut u64) -> Result<(), Refused> {
    let first = 1 + next(random) % u64::from(ROWS - 1);
    let second = first + 1 + next(random) % (u64::from(ROWS) - first);
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
