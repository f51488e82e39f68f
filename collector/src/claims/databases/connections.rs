//! What a connection costs the server: memory of its own, of what it shares, and threads created.

use super::{client::Kind, scratch::Scratch, watching::backends};
use crate::claims::round::Round;
use anyhow::{Context, Result, bail};
use std::fs;

const PAGE_KB: u64 = 4;
/// `THREAD_SIZE` on x86-64.
const KERNEL_STACK_KB: u64 = 16;
const BACKENDS: usize = 10;
/// Connections that come and go.
const VISITS: u32 = 40;

pub(super) fn take(scratch: &Scratch, round: &mut Round<'_>) -> Result<()> {
    match scratch.kind {
        Kind::Postgresql => of_postgresql(scratch, round),
        Kind::Mysql => of_mysql(scratch, round),
    }
}

fn of_postgresql(scratch: &Scratch, round: &mut Round<'_>) -> Result<()> {
    let name = scratch.kind.name();
    round.lacks(
        "threads_created",
        Some(name),
        format!("{name} makes processes"),
    );
    let (pids, sessions) = scratch.wait(async {
        let mut sessions = Vec::new();
        for _ in 0..BACKENDS {
            let mut session = scratch.connect().await?;
            session.number("sum(v)", "from accounts").await?;
            sessions.push(session);
        }
        // Through the shared buffers.
        sessions[0]
            .run("drop table if exists filled; create table filled with (autovacuum_enabled = false) as \
                  select g as id, repeat('x', 500) as t from generate_series(1, 20000) g; \
                  update filled set t = repeat('y', 500)")
            .await?;
        Ok((backends(&mut sessions).await, sessions))
    })?;
    let Some(pids) = pids else {
        let why = "its processes are not among those of this host";
        round.lacks("database_connection", Some(name), why.into());
        round.lacks("shared_buffer_copies", Some(name), why.into());
        return Ok(());
    };
    let own = pids[1..]
        .iter()
        .map(|pid| own_bytes(*pid))
        .collect::<Result<Vec<_>>>();
    let shared = shared_mappings(pids[0]);
    scratch.wait(async {
        for session in sessions {
            session.close().await;
        }
        Ok(())
    })?;
    round.tell_at("database_connection", name, None, own?);
    let (copied, resident) = shared?;
    // Each row was written twice.
    if resident < 10_000 {
        bail!("only {resident} kB of shared buffers are resident where 20 MB were written");
    }
    round.tell_at(
        "shared_buffer_copies",
        name,
        None,
        vec![(copied / PAGE_KB) as f64],
    );
    Ok(())
}

/// What a process holds of its own.
fn own_bytes(pid: u32) -> Result<f64> {
    let rollup = read(pid, "smaps_rollup")?;
    let status = read(pid, "status")?;
    let kilobytes =
        kilobytes(&rollup, "Pss_Anon:")? + kilobytes(&status, "VmPTE:")? + KERNEL_STACK_KB;
    Ok(kilobytes as f64 * 1024.0)
}

fn read(pid: u32, file: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).with_context(|| format!("cannot read {path}; run with sudo"))
}

fn kilobytes(text: &str, key: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok());
    number.with_context(|| format!("the kernel does not say {key}"))
}

/// Kilobytes of shared mappings that are private copies, and that are resident.
fn shared_mappings(pid: u32) -> Result<(u64, u64)> {
    Ok(copied_and_resident(&read(pid, "smaps")?))
}

fn copied_and_resident(smaps: &str) -> (u64, u64) {
    let (mut shared, mut copied, mut resident) = (false, 0, 0);
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some(range), Some(rights)) if rights.len() == 4 && range.contains('-') => {
                shared = rights == "rw-s";
            }
            (Some("Anonymous:"), Some(number)) if shared => copied += number.parse().unwrap_or(0),
            (Some("Rss:"), Some(number)) if shared => resident += number.parse().unwrap_or(0),
            _ => {}
        }
    }
    (copied, resident)
}

fn of_mysql(scratch: &Scratch, round: &mut Round<'_>) -> Result<()> {
    let name = scratch.kind.name();
    for figure in ["database_connection", "shared_buffer_copies"] {
        round.lacks(
            figure,
            Some(name),
            format!("{name} makes threads, which share all memory"),
        );
    }
    let (each, cache) = scratch.wait(async {
        let mut looking = scratch.connect().await?;
        let before = looking.status("Threads_created").await?;
        for _ in 0..VISITS {
            scratch.connect().await?.close().await;
        }
        let after = looking.status("Threads_created").await?;
        let cache = looking.number("@@thread_cache_size", "").await?;
        looking.close().await;
        Ok(((after - before) as f64 / f64::from(VISITS), cache))
    })?;
    round.tell_at("threads_created", name, None, vec![each]);
    round.note(
        "threads_created",
        name,
        format!("thread_cache_size is {cache}"),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::copied_and_resident;

    #[test]
    fn only_shared_mappings_count() {
        let smaps = "1000-3000 rw-s 0 0:1 9 /dev/zero (deleted)\nRss: 80 kB\nAnonymous: 8 kB\n\
                     3000-5000 rw-p 0 0:0 0 [heap]\nRss: 40 kB\nAnonymous: 40 kB\n\
                     5000-6000 rw-s 0 0:1 9 /dev/shm/x\nRss: 4 kB\nAnonymous: 0 kB\n";
        assert_eq!(copied_and_resident(smaps), (8, 84));
    }
}
