//! A database for the claims alone.

use super::client::{Client, Kind, Login};
use crate::claims::round::NotHere;
use anyhow::{Context, Result};
use std::{future::Future, time::Duration};
use tokio::{
    runtime::{Builder, Runtime},
    time::sleep,
};

/// What our databases are called, with the pid of who made it behind it, and when: in seconds of the server's clock,
/// which is one for all who come to it.
const PREFIX: &str = "connscope_claims_";
/// How old one is at least that may be left over. Who has just made it may not be in it yet.
const GROWN_SECONDS: i64 = 60;
/// How often its removal is tried.
const TRIES: u32 = 3;
const BETWEEN_TRIES: Duration = Duration::from_millis(200);
/// Rows of the table `accounts`.
pub(super) const ROWS: u32 = 20;

/// A database with a table `accounts (id, v)`, removed when this is dropped.
pub(super) struct Scratch {
    pub(super) kind: Kind,
    runtime: Runtime,
    /// To the database that was given.
    outside: Login,
    /// A session there, kept for the removal: a new one may be refused by then.
    remover: Option<Client>,
    /// To the scratch database.
    inside: Login,
    /// A session in it, for as long as it lasts: where there is none, it was left over.
    keeper: Option<Client>,
    pub(super) name: String,
}

impl Scratch {
    pub(super) fn create(login: &Login, kind: Kind) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("cannot start the executor")?;
        let (name, remover) = runtime.block_on(async {
            let outside = login.connect_to_stay().await;
            let mut outside = outside
                .map_err(|error| NotHere(format!("cannot log in by {}: {error}", kind.option())))?;
            let now = outside.now().await?;
            remove_leftovers(&mut outside, kind, now).await;
            let name = format!("{PREFIX}{}_{now}", std::process::id());
            let created = outside.run(&format!("create database {name}")).await;
            created
                .map_err(|error| NotHere(format!("no scratch database may be made: {error}")))?;
            anyhow::Ok((name, outside))
        })?;
        let mut scratch = Self {
            kind,
            inside: login.to_database(&name),
            outside: login.clone(),
            remover: Some(remover),
            keeper: None,
            runtime,
            name,
        };
        let keeper = scratch.runtime.block_on(scratch.inside.connect_to_stay());
        scratch.keeper = Some(keeper.with_context(|| cannot_connect(&scratch.name))?);
        Ok(scratch)
    }

    /// Makes the table anew. No autovacuum of it, which would give PostgreSQL another plan in the middle of a
    /// measurement.
    pub(super) fn begin(&self) -> Result<()> {
        let options = match self.kind {
            Kind::Postgresql => "with (autovacuum_enabled = false)",
            Kind::Mysql => "engine = innodb",
        };
        let rows = (1..=ROWS).map(|id| format!("({id}, 100)"));
        let rows = rows.collect::<Vec<_>>().join(", ");
        self.wait(async {
            let mut session = self.connect().await?;
            session
                .run(&format!(
                    "drop table if exists accounts; create table accounts (id integer primary key, v integer) {options}; \
                     insert into accounts values {rows}"
                ))
                .await?;
            session.close().await;
            Ok(())
        })
    }

    /// A session in it.
    pub(super) async fn connect(&self) -> Result<Client> {
        let connected = self.inside.connect().await;
        connected.with_context(|| cannot_connect(&self.name))
    }

    /// Waits for what needs sessions.
    pub(super) fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(work)
    }

    /// Removes it: by that session, or by new ones if it can do it no more.
    async fn remove(&self, mut remover: Option<Client>) -> Result<()> {
        let mut tries = TRIES;
        loop {
            let removed = self.try_to_remove(remover.take()).await;
            tries -= 1;
            if removed.is_ok() || tries == 0 {
                return removed;
            }
            sleep(BETWEEN_TRIES).await;
        }
    }

    async fn try_to_remove(&self, remover: Option<Client>) -> Result<()> {
        let force = match self.kind {
            Kind::Postgresql => " with (force)",
            Kind::Mysql => "",
        };
        let mut remover = match remover {
            Some(remover) => remover,
            None => self.outside.connect().await?,
        };
        let drop = format!("drop database if exists {}{force}", self.name);
        let removed = remover.run(&drop).await;
        remover.close().await;
        Ok(removed?)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let (keeper, remover) = (self.keeper.take(), self.remover.take());
        let removed = self.wait(async {
            if let Some(keeper) = keeper {
                keeper.close().await;
            }
            self.remove(remover).await
        });
        if let Err(error) = removed {
            crate::command::say(&format!(
                "cannot remove the database {}: {error:#}",
                self.name
            ));
        }
    }
}

fn cannot_connect(name: &str) -> String {
    format!("cannot connect to {name}")
}

/// Those of runs that were killed: they have been there for a while, and nobody is connected to them.
async fn remove_leftovers(outside: &mut Client, kind: Kind, now: i64) {
    let list = match kind {
        Kind::Postgresql => format!(
            "select datname::text from pg_database where datname like '{PREFIX}%' and not exists (select from \
             pg_stat_activity where pg_stat_activity.datname = pg_database.datname)"
        ),
        Kind::Mysql => format!(
            "select concat(schema_name) from information_schema.schemata where schema_name like '{PREFIX}%' and \
             schema_name not in (select db from information_schema.processlist where db is not null)"
        ),
    };
    let names = outside.texts(&list).await.unwrap_or_default();
    for name in names.iter().filter(|name| is_grown(name, now)) {
        let _ = outside.run(&format!("drop database {name}")).await;
    }
}

/// Whether that is a database of ours that was made a while before.
fn is_grown(name: &str, now: i64) -> bool {
    let parts = name
        .strip_prefix(PREFIX)
        .and_then(|parts| parts.split_once('_'));
    parts.is_some_and(|(pid, made)| {
        let made = made.parse::<i64>();
        pid.parse::<u32>().is_ok() && made.is_ok_and(|made| now - made >= GROWN_SECONDS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_or_called_otherwise_is_not_left_over() {
        let made = |made: i64| format!("{PREFIX}12_{made}");
        assert!(is_grown(&made(1_000), 1_000 + GROWN_SECONDS));
        for other in [
            &made(1_001),
            &format!("{PREFIX}12"),
            &format!("{PREFIX}x_1"),
            &format!("{PREFIX}12_1; drop"),
            "accounts",
        ] {
            assert!(!is_grown(other, 1_000 + GROWN_SECONDS), "{other}");
        }
    }
}
