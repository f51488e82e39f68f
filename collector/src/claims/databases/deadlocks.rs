//! Two transactions that lock the same two rows, in opposite order and in one.

use super::{
    client::{Client, Why},
    scratch::Scratch,
};
use crate::claims::round::Round;
use anyhow::{Context, Result, bail};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Tries of either order, each round: PostgreSQL looks for a circle only after a second.
const TRIES: usize = 1;
/// Until the second lock is waited for.
const HEAD_START: Duration = Duration::from_millis(20);
/// A deadlock that nobody finds.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) fn take(scratch: &Scratch, round: &mut Round<'_>) -> Result<()> {
    let name = scratch.kind.name();
    for (order, rows) in [
        ("opposite", [[1, 2], [2, 1]]),
        ("one order", [[1, 2], [1, 2]]),
    ] {
        for _ in 0..TRIES {
            let found = scratch.wait(try_once(scratch, rows))?;
            let seen = f64::from(u8::from(found.is_some()));
            round.tell_at("deadlocks", &format!("{name}: {order}"), None, vec![seen]);
            if let Some(after) = found {
                round.tell_at("deadlock_detection", name, None, vec![after.as_secs_f64()]);
            }
        }
    }
    Ok(())
}

/// How long after the circle was closed the database aborted one of the two, if it did.
async fn try_once(scratch: &Scratch, rows: [[u32; 2]; 2]) -> Result<Option<Duration>> {
    let (mut one, mut other) = (scratch.connect().await?, scratch.connect().await?);
    one.run("begin").await?;
    other.run("begin").await?;
    one.run(&lock(rows[0][0])).await?;
    let crossed = rows[0][0] != rows[1][0];
    if crossed {
        other.run(&lock(rows[1][0])).await?;
    }
    // One goes on at once; the other after a moment, which closes the circle.
    let first = async {
        let end = one.run(&lock(rows[0][1])).await;
        finish(&mut one, end).await
    };
    let second = async {
        tokio::time::sleep(HEAD_START).await;
        let closed = Instant::now();
        let mut end = Ok(());
        if !crossed {
            end = other.run(&lock(rows[1][0])).await;
        }
        if end.is_ok() {
            end = other.run(&lock(rows[1][1])).await;
        }
        (closed, finish(&mut other, end).await)
    };
    let both = timeout(PATIENCE, async { tokio::join!(first, second) }).await;
    let (first, (closed, second)) = both.context("nobody found a deadlock")?;
    let found = [first?, second?].into_iter().flatten().next();
    one.close().await;
    other.close().await;
    Ok(found.map(|at| at.saturating_duration_since(closed)))
}

fn lock(row: u32) -> String {
    format!("update accounts set v = v + 1 where id = {row}")
}

/// Commits, or says when the transaction was aborted as one of a deadlock.
async fn finish(
    session: &mut Client,
    end: Result<(), super::client::Refused>,
) -> Result<Option<Instant>> {
    let at = Instant::now();
    match end {
        Ok(()) => {
            session.run("commit").await?;
            Ok(None)
        }
        Err(error) if error.why == Why::Deadlock => {
            session.run("rollback").await?;
            Ok(Some(at))
        }
        Err(error) => bail!("a transaction was refused: {error}"),
    }
}
