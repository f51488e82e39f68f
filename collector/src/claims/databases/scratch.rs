//! A database for the claims alone.

use super::client::{Client, Kind, Login};
use crate::claims::round::NotHere;
use anyhow::{Context, Result};
use std::future::Future;
use tokio::runtime::{Builder, Runtime};

/// What our databases are called, with the pid of who made it behind it.
const PREFIX: &str = "connscope_claims_";
/// Rows of the table `accounts`.
pub(super) const ROWS: u32 = 20;

/// A database with a table `accounts (id, v)`, removed when this is dropped.
pub(super) struct Scratch {
    pub(super) kind: Kind,
    runtime: Runtime,
    /// To the database that was given.
    outside: Login,
    /// To the scratch database.
    inside: Login,
    pub(super) name: String,
}

impl Scratch {
    pub(super) fn create(login: &Login, kind: Kind) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("cannot start the executor")?;
        let name = format!("{PREFIX}{}", std::process::id());
        runtime.block_on(async {
            let outside = login.connect().await;
            let mut outside = outside
                .map_err(|error| NotHere(format!("cannot log in by {}: {error}", kind.option())))?;
            remove_leftovers(&mut outside, kind).await;
            let created = outside.run(&format!("create database {name}")).await;
            outside.close().await;
            created.map_err(|error| NotHere(format!("no scratch database may be made: {error}")))
        })?;
        Ok(Self {
            kind,
            inside: login.to_database(&name),
            outside: login.clone(),
            runtime,
            name,
        })
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
        connected.with_context(|| format!("cannot connect to {}", self.name))
    }

    /// Waits for what needs sessions.
    pub(super) fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(work)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let removed = self.wait(async {
            let mut outside = self.outside.connect().await?;
            let force = match self.kind {
                Kind::Postgresql => " with (force)",
                Kind::Mysql => "",
            };
            outside
                .run(&format!("drop database {}{force}", self.name))
                .await?;
            outside.close().await;
            Ok(())
        });
        if let Err(error) = removed {
            crate::command::say(&format!(
                "cannot remove the database {}: {error:#}",
                self.name
            ));
        }
    }
}

/// Those of runs that were killed: nobody is connected to them.
async fn remove_leftovers(outside: &mut Client, kind: Kind) {
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
    for name in outside.texts(&list).await.unwrap_or_default() {
        if name.trim_start_matches(PREFIX).parse::<u32>().is_ok() {
            let _ = outside.run(&format!("drop database {name}")).await;
        }
    }
}
