//! The tasks of a server that serve our sessions, watched, where they run on this host and we may.

use super::client::{Client, Kind};
use crate::{claims::round::Round, report::totals_of, roles, sample::Sampler};
use anyhow::{Context, Result};
use std::fs;

/// A watch over them.
pub(super) struct Watched(Sampler);

impl Watched {
    /// None where they cannot be found, or not be watched.
    pub(super) async fn of(kind: Kind, sessions: &mut [Client], round: &Round<'_>) -> Option<Self> {
        round.setting.needs_probes().ok()?;
        let pids = match kind {
            Kind::Postgresql => backends(sessions).await?,
            Kind::Mysql => vec![server(sessions.first_mut()?).await?],
        };
        let mut sampler = Sampler::load(&[&roles::OF_ANY], &probe_ebpf::Options::BOOKS).ok()?;
        for pid in pids {
            sampler.add(0, pid).ok()?;
        }
        Some(Self(sampler))
    }

    /// Context switches so far.
    pub(super) fn switches(&mut self) -> Result<u64> {
        let snapshot = self.0.read()?.pop().context("nothing is watched")?;
        let totals = snapshot.roles.iter().map(totals_of);
        Ok(totals.map(|it| it.voluntary + it.involuntary).sum())
    }
}

/// PostgreSQL's processes that serve these sessions.
pub(super) async fn backends(sessions: &mut [Client]) -> Option<Vec<u32>> {
    let mut pids = Vec::new();
    for session in sessions {
        let pid = session.number("pg_backend_pid()", "").await.ok()?;
        pids.push(u32::try_from(pid).ok()?);
    }
    pids.iter()
        .all(|pid| is_called(*pid, "postgres"))
        .then_some(pids)
}

/// The one process of MySQL or MariaDB, by the file that it keeps its pid in.
async fn server(session: &mut Client) -> Option<u32> {
    let path = session
        .texts("select concat(@@pid_file)")
        .await
        .ok()?
        .pop()?;
    let folder = session
        .texts("select concat(@@datadir)")
        .await
        .ok()?
        .pop()?;
    let text = fs::read_to_string(std::path::Path::new(&folder).join(path)).ok()?;
    let pid = text.trim().parse().ok()?;
    (is_called(pid, "mariadbd") || is_called(pid, "mysqld")).then_some(pid)
}

/// The server may live in another PID namespace, or on another host.
fn is_called(pid: u32, name: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
}
