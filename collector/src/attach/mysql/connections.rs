//! Which thread of MySQL or MariaDB serves which connection: that which waits at its socket.

use super::waits::descriptor;
use crate::attach::memory::Memory;
use crate::attach::sockets::{socket_of, sockets};
use crate::errors::in_words;
use crate::snapshot::connections::{Connection, Connections};
use anyhow::{Context as _, Result, anyhow};
use std::collections::HashMap;
use std::fs;

const METHOD: &str = "sockets accepted where the server listens (/proc/PID/net); a thread serves the one it \
                      waits at (/proc/PID/task/TID/syscall), so those at work or in a pool are not named";
/// What a thread waits for that waits at its client's socket.
pub(super) const WAIT: &str = "Client";

/// The connections of a server, those named whose thread waits for its client. Threads are not counted: a
/// server keeps some for later connections, and may serve many by one.
///
/// # Errors
/// If the server has ended, or we may not look into it.
pub fn connections(pid: u32) -> Result<Connections> {
    let clients = sockets(&[pid])?.clients;
    let memory = Memory::of(pid);
    let memory =
        memory.map_err(|error| anyhow!("cannot read /proc/{pid}/mem: {}", in_words(&error)))?;
    let by_descriptor: HashMap<_, _> = clients
        .iter()
        .flat_map(|(inode, client)| client.holders.iter().map(move |(_, it)| (*it, *inode)))
        .collect();
    let mut waiting: HashMap<u64, Vec<u32>> = HashMap::new();
    for tid in threads(pid)? {
        let Some(descriptor) = descriptor(pid, tid, &memory) else {
            continue;
        };
        // The same socket before the thread was seen to wait at that descriptor and after it.
        if let Some(inode) = by_descriptor.get(&descriptor)
            && socket_of(pid, descriptor) == Some(*inode)
        {
            waiting.entry(*inode).or_default().push(tid);
        }
    }
    let named = clients.iter().filter_map(|(inode, client)| {
        // Two cannot both serve it.
        let [tid] = waiting.get(inode)?[..] else {
            return None;
        };
        Some(Connection {
            pid,
            tid,
            peer: Some(client.peer.to_string()),
            wait: Some(WAIT.to_owned()),
            ..Connection::default()
        })
    });
    let named: Vec<_> = named.collect();
    let open = clients.len() as u64;
    Ok(Connections {
        open,
        unnamed: open - named.len() as u64,
        named,
        method: METHOD.to_owned(),
    })
}

pub(super) fn threads(pid: u32) -> Result<Vec<u32>> {
    let folder = format!("/proc/{pid}/task");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {folder}"))?;
    let tids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(tids.collect())
}
