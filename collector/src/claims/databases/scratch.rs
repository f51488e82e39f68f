//! A database for the claims alone.

use super::client::{Client, Kind, Login};
use crate::claims::round::NotHere;
use anyhow::{Context, Result};
use std::{future::Future, mem::ManuallyDrop};
use tokio::runtime::{Builder, Runtime};

/// What our databases are called, with the pid of who made it behind it.
const PREFIX: &str = "connscope_claims_";
/// Rows of the table `accounts`.
pub(super) const ROWS: u32 = 20;

/// A database with a table `accounts (id, v)`, removed when this is dropped.
pub(super) struct Scratch {
    pub(super) kind: Kind,
    runtime: Runtime,
    /// To the scratch database.
    login: Login,
    /// In the database that was given.
    outside: ManuallyDrop<Client>,
    pub(super) name: String,
}

impl Scratch {
    pub(super) fn create(login: &Login, kind: Kind) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("cannot start the executor")?;
        let outside = runtime.block_on(login.connect());
        let mut outside = outside
            .map_err(|error| NotHere(format!("cannot log in by {}: {error}", kind.option())))?;
        let name = format!("{PREFIX}{}", std::process::id());
        runtime.block_on(remove_leftovers(&mut outside, kind));
        let created = runtime.block_on(outside.run(&format!("create database {name}")));
        created.map_err(|error| NotHere(format!("no scratch database may be made: {error}")))?;
        let scratch = Self {
            kind,
            login: login.to_database(&name),
            outside: ManuallyDrop::new(outside),
            runtime,
            name,
        };
        scratch.wait(async {
            let mut session = scratch.connect().await?;
            let engine = if kind == Kind::Mysql {
                " engine = innodb"
            } else {
                ""
            };
            session
                .run(&format!(
                    "create table accounts (id integer primary key, v integer){engine}"
                ))
                .await?;
            let rows = (1..=ROWS)
                .map(|id| format!("({id}, 100)"))
                .collect::<Vec<_>>();
            session
                .run(&format!("insert into accounts values {}", rows.join(", ")))
                .await?;
            session.close().await;
            Ok(())
        })?;
        Ok(scratch)
    }

    /// A session in it.
    pub(super) async fn connect(&self) -> Result<Client> {
        let connected = self.login.connect().await;
        connected.with_context(|| format!("cannot connect to {}", self.name))
    }

    /// Waits for what needs sessions.
    pub(super) fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(work)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: taken once, here; nobody uses it afterwards.
        let mut outside = unsafe { ManuallyDrop::take(&mut self.outside) };
        let force = if self.kind == Kind::Postgresql {
            " with (force)"
        } else {
            ""
        };
        self.runtime.block_on(async {
            let removed = outside
                .run(&format!("drop database {}{force}", self.name))
                .await;
            if let Err(error) = removed {
                crate::command::say(&format!(
                    "cannot remove the database {}: {error}",
                    self.name
                ));
            }
            outside.close().await;
        });
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
