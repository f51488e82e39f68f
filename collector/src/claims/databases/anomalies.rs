//! The anomalies of the SQL standard's table, and two more, tried at each level of isolation: two sessions in a
//! fixed order of statements.

use super::{
    client::{Client, Kind, Refused, Why},
    patience::Patience,
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
    let mut pair = scratch.wait(Pair::connect(scratch))?;
    for level in LEVELS {
        round.go_on()?;
        for anomaly in &ANOMALIES {
            let seen = scratch.wait(pair.try_once(level, anomaly))?;
            let at = format!("{}, {level}: {}", scratch.kind.name(), anomaly.name);
            round.tell_at(
                "isolation_anomalies",
                &at,
                None,
                vec![f64::from(u8::from(seen))],
            );
        }
    }
    scratch.wait(pair.close())
}

/// Begins a transaction at this level.
pub(super) async fn begin(session: &mut Client, kind: Kind, level: &str) -> Result<(), Refused> {
    let set = match kind {
        Kind::Postgresql => format!("begin isolation level {level}"),
        Kind::Mysql => format!("set transaction isolation level {level}; begin"),
    };
    session.run(&set).await
}

/// The two sessions.
struct Pair {
    kind: Kind,
    sessions: [Client; 2],
    patience: Patience,
}

impl Pair {
    async fn connect(scratch: &Scratch) -> Result<Self> {
        let mut sessions = [scratch.connect().await?, scratch.connect().await?];
        Ok(Self {
            kind: scratch.kind,
            patience: Patience::of(scratch, &mut sessions).await?,
            sessions,
        })
    }

    async fn try_once(&mut self, level: &str, anomaly: &Anomaly) -> Result<bool> {
        let clean = "delete from accounts where id > 20; update accounts set v = case when id <= 2 then 100 else 1000 end";
        self.sessions[0].run(clean).await?;
        for session in &mut self.sessions {
            begin(session, self.kind, level).await?;
        }
        let (mut looks, mut refused) = (Vec::new(), [false; 2]);
        for step in anomaly.steps {
            let (Run(who, _) | Look(who, ..)) = step;
            let who = *who as usize;
            if refused[who] {
                // It is done.
                continue;
            }
            let session = &mut self.sessions[who];
            let outcome = match step {
                Run(_, sql) => self.patience.with(who, session.run(sql)).await,
                Look(_, what, from) => {
                    let number = self.patience.with(who, session.number(what, from)).await;
                    number.map(|number| looks.push(number))
                }
            };
            match outcome {
                Ok(()) => {}
                Err(error) if error.why == Why::Other => {
                    bail!("{} at {level}: {error}", anomaly.name)
                }
                // MySQL leaves the transaction open after a wait that was too long.
                Err(_) => {
                    refused[who] = true;
                    session.run("rollback").await?;
                }
            }
        }
        let [session, _] = &mut self.sessions;
        let left = [
            session.number("v", ROW_1).await?,
            session.number("v", ROW_2).await?,
        ];
        Ok((anomaly.seen)(&Outcome {
            looks,
            left,
            both_committed: refused == [false; 2],
        }))
    }

    async fn close(self) -> Result<()> {
        for session in self.sessions {
            session.close().await;
        }
        self.patience.close().await;
        Ok(())
    }
}
