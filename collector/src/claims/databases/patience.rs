//! A session that the other's lock holds up gives up soon: the other one would go on only after it.

use super::{
    client::{Client, Kind, Refused},
    scratch::Scratch,
};
use anyhow::Result;
use std::{future::Future, pin::pin, time::Duration};
use tokio::time::timeout;

/// How long a statement may take until it is looked whether it waits for a lock.
const PATIENCE: Duration = Duration::from_millis(50);

/// Who ends waits for locks.
pub(super) enum Patience {
    /// The server.
    Server,
    /// A third session, where the server knows no wait shorter than a second, as MySQL does not; it knows the numbers
    /// that the others have.
    Session(Box<Client>, [i64; 2]),
}

impl Patience {
    /// For these sessions.
    pub(super) async fn of(scratch: &Scratch, sessions: &mut [Client; 2]) -> Result<Self> {
        let (shortest, next) = match scratch.kind {
            Kind::Postgresql => ("set lock_timeout = '50ms'", None),
            // That of MariaDB, and that of MySQL.
            Kind::Mysql => (
                "set session innodb_lock_wait_timeout = 0",
                Some("set session innodb_lock_wait_timeout = 1"),
            ),
        };
        let mut server_does = true;
        for session in &mut *sessions {
            match (session.run(shortest).await, next) {
                (Ok(()), _) => {}
                (Err(error), None) => return Err(error.into()),
                (Err(_), Some(next)) => {
                    session.run(next).await?;
                    server_does = false;
                }
            }
        }
        if server_does {
            return Ok(Self::Server);
        }
        let mut numbers = [0; 2];
        for (number, session) in numbers.iter_mut().zip(sessions) {
            *number = session.number("connection_id()", "").await?;
        }
        Ok(Self::Session(Box::new(scratch.connect().await?), numbers))
    }

    /// What comes of a statement of the session at that place; a wait for a lock is ended soon.
    pub(super) async fn with<T>(
        &mut self,
        session: usize,
        statement: impl Future<Output = Result<T, Refused>>,
    ) -> Result<T, Refused> {
        let Self::Session(third, numbers) = self else {
            return statement.await;
        };
        let mut statement = pin!(statement);
        loop {
            match timeout(PATIENCE, &mut statement).await {
                Ok(outcome) => return outcome,
                Err(_) => end_wait(third, numbers[session]).await?,
            }
        }
    }

    pub(super) async fn close(self) {
        if let Self::Session(third, _) = self {
            third.close().await;
        }
    }
}

/// Ends what that session is at if it waits for a lock, and nothing else that takes its time.
async fn end_wait(third: &mut Client, number: i64) -> Result<(), Refused> {
    let waits = format!(
        "from performance_schema.data_lock_waits join performance_schema.threads on thread_id = requesting_thread_id \
         where processlist_id = {number}"
    );
    // Who may not look there waits as long as the server says.
    match third.number("count(*)", &waits).await {
        Ok(0) | Err(_) => Ok(()),
        Ok(_) => third.run(&format!("kill query {number}")).await,
    }
}
