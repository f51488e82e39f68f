//! The anomalies of the SQL standard's table, and two more, tried at each level of isolation: two sessions in a
//! fixed order of statements.

use super::{
    client::{Client, Kind, Refused, Why},
    scratch::Scratch,
};
use crate::claims::round::Round;
use anyhow::{Result, bail};

/// The levels, weakest first.
pub(super) const LEVELS: [&str; 4] = [
    "read uncommitted",
    "read committed",
    "repeatable read",
    "serializable",
];

/// An anomaly, and how it is provoked. `A` and `B` say whose turn it is.
struct Anomaly {
    name: &'static str,
    steps: &'static [Step],
    /// Whether what the sessions saw, and what is there in the end, is one.
    seen: fn(&Outcome) -> bool,
}

/// One statement of a session.
enum Step {
    /// Runs it.
    Run(Session, &'static str),
    /// Notes the number that it finds: an expression, and where it comes from.
    Look(Session, &'static str, &'static str),
}

#[derive(Clone, Copy)]
enum Session {
    A = 0,
    B = 1,
}

use Session::{A, B};
use Step::{Look, Run};

/// What came of it.
struct Outcome {
    looks: Vec<i64>,
    /// `v` of the first two rows, afterwards.
    left: [i64; 2],
    /// None of the two was refused anything.
    both_committed: bool,
}

const ROW_1: &str = "from accounts where id = 1";
const ROW_2: &str = "from accounts where id = 2";

/// Both have begun. Rows 1 and 2 hold 100 each; the others are out of the way.
const ANOMALIES: [Anomaly; 6] = [
    Anomaly {
        name: "dirty read",
        steps: &[
            Run(A, "update accounts set v = 101 where id = 1"),
            Look(B, "v", ROW_1),
            Run(A, "rollback"),
            Run(B, "commit"),
        ],
        seen: |it| it.looks.first() == Some(&101),
    },
    Anomaly {
        name: "non-repeatable read",
        steps: &[
            Look(A, "v", ROW_1),
            Run(B, "update accounts set v = 101 where id = 1"),
            Run(B, "commit"),
            Look(A, "v", ROW_1),
            Run(A, "commit"),
        ],
        seen: |it| it.looks == [100, 101],
    },
    Anomaly {
        name: "phantom",
        steps: &[
            Look(A, "count(*)", "from accounts where v between 50 and 150"),
            Run(B, "insert into accounts values (1000, 100)"),
            Run(B, "commit"),
            Look(A, "count(*)", "from accounts where v between 50 and 150"),
            Run(A, "commit"),
        ],
        seen: |it| it.looks == [2, 3],
    },
    Anomaly {
        name: "lost update",
        steps: &[
            Look(A, "v", ROW_1),
            Look(B, "v", ROW_1),
            Run(A, "update accounts set v = 110 where id = 1"),
            Run(A, "commit"),
            Run(B, "update accounts set v = 120 where id = 1"),
            Run(B, "commit"),
        ],
        seen: |it| it.looks == [100, 100] && it.left[0] == 120 && it.both_committed,
    },
    Anomaly {
        name: "read skew",
        steps: &[
            Look(A, "v", ROW_1),
            Run(B, "update accounts set v = 150 where id = 1"),
            Run(B, "update accounts set v = 50 where id = 2"),
            Run(B, "commit"),
            Look(A, "v", ROW_2),
            Run(A, "commit"),
        ],
        seen: |it| it.looks == [100, 50],
    },
    Anomaly {
        name: "write skew",
        steps: &[
            Look(A, "sum(v)", "from accounts where id <= 2"),
            Look(B, "sum(v)", "from accounts where id <= 2"),
            Run(A, "update accounts set v = v - 150 where id = 1"),
            Run(B, "update accounts set v = v - 150 where id = 2"),
            Run(A, "commit"),
            Run(B, "commit"),
        ],
        seen: |it| it.left == [-50, -50] && it.both_committed,
    },
];

pub(super) fn take(scratch: &Scratch, round: &mut Round<'_>) -> Result<()> {
    for level in LEVELS {
        round.go_on()?;
        for anomaly in &ANOMALIES {
            let seen = scratch.wait(try_once(scratch, level, anomaly))?;
            let at = format!("{}, {level}: {}", scratch.kind.name(), anomaly.name);
            round.tell_at(
                "isolation_anomalies",
                &at,
                None,
                vec![f64::from(u8::from(seen))],
            );
        }
    }
    scratch.wait(async {
        let mut session = scratch.connect().await?;
        session.run("update accounts set v = 100").await?;
        session.close().await;
        Ok(())
    })
}

/// Begins a transaction at this level.
pub(super) async fn begin(session: &mut Client, kind: Kind, level: &str) -> Result<(), Refused> {
    let set = match kind {
        Kind::Postgresql => format!("begin isolation level {level}"),
        Kind::Mysql => format!("set transaction isolation level {level}; begin"),
    };
    session.run(&set).await
}

async fn try_once(scratch: &Scratch, level: &str, anomaly: &Anomaly) -> Result<bool> {
    let mut sessions = [scratch.connect().await?, scratch.connect().await?];
    let [first, _] = &mut sessions;
    first
        .run("delete from accounts where id > 20; update accounts set v = case when id <= 2 then 100 else 1000 end")
        .await?;
    for session in &mut sessions {
        have_no_patience(session, scratch.kind).await?;
        begin(session, scratch.kind, level).await?;
    }
    let (mut looks, mut refused) = (Vec::new(), [false; 2]);
    for step in anomaly.steps {
        let (&(Run(who, _) | Look(who, ..)), outcome) = (
            step,
            match step {
                // Whoever was refused something is done.
                Run(who, _) | Look(who, ..) if refused[*who as usize] => continue,
                Run(who, sql) => sessions[*who as usize].run(sql).await,
                Look(who, what, from) => sessions[*who as usize]
                    .number(what, from)
                    .await
                    .map(|number| looks.push(number)),
            },
        );
        match outcome {
            Ok(()) => {}
            Err(error) if error.why == Why::Other => bail!("{} at {level}: {error}", anomaly.name),
            // MySQL leaves the transaction open after a wait that was too long.
            Err(_) => {
                refused[who as usize] = true;
                sessions[who as usize].run("rollback").await?;
            }
        }
    }
    let [mut last, other] = sessions;
    other.close().await;
    let left = [
        last.number("v", ROW_1).await?,
        last.number("v", ROW_2).await?,
    ];
    last.close().await;
    Ok((anomaly.seen)(&Outcome {
        looks,
        left,
        both_committed: refused == [false; 2],
    }))
}

/// A session that the other's lock holds up gives up at once: the other one would go on only after it. MySQL, unlike
/// MariaDB, knows no wait shorter than a second.
async fn have_no_patience(session: &mut Client, kind: Kind) -> Result<(), Refused> {
    if kind == Kind::Postgresql {
        return session.run("set lock_timeout = '50ms'").await;
    }
    match session
        .run("set session innodb_lock_wait_timeout = 0")
        .await
    {
        Ok(()) => Ok(()),
        Err(_) => {
            session
                .run("set session innodb_lock_wait_timeout = 1")
                .await
        }
    }
}
