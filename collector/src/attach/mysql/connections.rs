//! Which thread of MySQL or MariaDB serves which connection: that which waits at its socket, or has waited there.

use super::threads::may_serve;
use super::waits::descriptor;
use crate::attach::memory::Memory;
use crate::attach::sockets::{Client, polled_together, socket_of, sockets};
use crate::errors::in_words;
use crate::snapshot::{
    TargetKind,
    connections::{Connection, Connections},
};
use anyhow::{Context as _, Result, anyhow};
use probe_ebpf::probes::socket_waiters::WaitersBySocket;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;

const METHOD: &str = "sockets accepted where the server listens (sock_diag, else /proc/PID/net); a thread serves the one it \
                      waits at (/proc/PID/task/TID/syscall), so those at work or in a pool are not named";
/// The same of a watch that has noted who waits at sockets.
const BUSY_METHOD: &str = "sockets accepted where the server listens (sock_diag, else /proc/PID/net); a thread serves the one it \
                           waits at (/proc/PID/task/TID/syscall) or has waited at (tp_btf/sched_switch), so those \
                           in a pool, and those at work since before the watch, are not named";
/// What a thread waits for that waits at its client's socket.
pub(super) const WAIT: &str = "Client";

/// Clients' sockets, by inode.
type Clients = BTreeMap<u64, Client>;
/// A socket and a thread that may serve it.
type Pair = (u64, u32);

/// The connections of a server, those named whose thread waits for its client, or is known to have waited for it
/// and for no other. Threads are not counted: a server keeps some for later connections, and may serve many by one.
///
/// # Errors
/// If the server has ended, or we may not look into it.
pub fn connections(
    kind: TargetKind,
    pid: u32,
    waiters: Option<&WaitersBySocket>,
) -> Result<Connections> {
    let clients = sockets(&[pid])?.clients;
    let mut threads = threads(pid)?;
    threads.retain(|tid| {
        let comm = fs::read_to_string(format!("/proc/{pid}/task/{tid}/comm"));
        comm.is_ok_and(|comm| may_serve(kind, comm.trim_end()))
    });
    let waiting = waiting(pid, &threads, &clients)?;
    let have_waited = match waiters {
        Some(waiters) => have_waited(pid, &threads, &clients, waiters)?,
        None => BTreeSet::new(),
    };
    let named = serving(&waiting, &have_waited).into_iter();
    let named = named.filter_map(|(inode, tid)| {
        Some(Connection {
            pid,
            tid,
            peer: Some(clients.get(&inode)?.peer.to_string()),
            wait: waiting.contains(&(inode, tid)).then(|| WAIT.to_owned()),
            ..Connection::default()
        })
    });
    let named: Vec<_> = named.collect();
    let open = clients.len() as u64;
    let method = if waiters.is_some() {
        BUSY_METHOD
    } else {
        METHOD
    };
    Ok(Connections {
        open,
        unnamed: open - named.len() as u64,
        named,
        method: method.to_owned(),
    })
}

/// The threads that wait at clients' sockets now.
fn waiting(pid: u32, threads: &[u32], clients: &Clients) -> Result<BTreeSet<Pair>> {
    let memory = Memory::of(pid);
    let memory =
        memory.map_err(|error| anyhow!("cannot read /proc/{pid}/mem: {}", in_words(&error)))?;
    let by_descriptor: HashMap<_, _> = clients
        .iter()
        .flat_map(|(inode, client)| client.holders.iter().map(move |(_, it)| (*it, *inode)))
        .collect();
    let pairs = threads.iter().filter_map(|&tid| {
        let descriptor = descriptor(pid, tid, &memory)?;
        let inode = *by_descriptor.get(&descriptor)?;
        // The same socket before the thread was seen to wait at that descriptor and after it.
        (socket_of(pid, descriptor) == Some(inode)).then_some((inode, tid))
    });
    Ok(pairs.collect())
}

/// The threads that were seen to wait at clients' sockets earlier. Those of a pool wait there too, such as for a login,
/// but a pool polls its idle clients' sockets together: who serves one of these is not known.
fn have_waited(
    pid: u32,
    threads: &[u32],
    clients: &Clients,
    waiters: &WaitersBySocket,
) -> Result<BTreeSet<Pair>> {
    let pooled = polled_together(pid)?;
    let living: HashSet<u32> = threads.iter().copied().collect();
    let apart = clients.keys().filter(|inode| !pooled.contains(inode));
    let pairs = apart.filter_map(|inode| Some((*inode, *waiters.get(inode)?)));
    Ok(pairs.filter(|(_, tid)| living.contains(tid)).collect())
}

/// Who serves what for certain: the only thread that waits at a socket, or has waited there, if it waits there now or
/// has waited at no other client's.
fn serving(waiting: &BTreeSet<Pair>, have_waited: &BTreeSet<Pair>) -> Vec<Pair> {
    let all: Vec<Pair> = waiting.union(have_waited).copied().collect();
    let (mut of_socket, mut of_thread) = (HashMap::new(), HashMap::new());
    for (inode, tid) in &all {
        *of_socket.entry(*inode).or_insert(0) += 1;
        *of_thread.entry(*tid).or_insert(0) += 1;
    }
    let is_certain = |pair: &Pair| {
        let (inode, tid) = pair;
        of_socket[inode] == 1 && (waiting.contains(pair) || of_thread[tid] == 1)
    };
    all.into_iter().filter(is_certain).collect()
}

pub(super) fn threads(pid: u32) -> Result<Vec<u32>> {
    let folder = format!("/proc/{pid}/task");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {folder}"))?;
    let tids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(tids.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(waiting: &[Pair], have_waited: &[Pair]) -> Vec<Pair> {
        let set = |pairs: &[Pair]| pairs.iter().copied().collect();
        serving(&set(waiting), &set(have_waited))
    }

    #[test]
    fn the_thread_that_waits_or_has_waited_at_a_socket_serves_it() {
        assert_eq!(served(&[(1, 10)], &[(2, 20)]), [(1, 10), (2, 20)]);
        assert_eq!(served(&[(1, 10)], &[(1, 10)]), [(1, 10)]);
    }

    #[test]
    fn of_two_at_one_socket_neither_is_known_to_serve_it() {
        assert_eq!(served(&[(1, 10), (1, 11)], &[]), []);
        assert_eq!(served(&[(1, 10)], &[(1, 11)]), []);
    }

    #[test]
    fn of_two_sockets_a_thread_serves_the_one_that_it_waits_at() {
        assert_eq!(served(&[(1, 10)], &[(1, 10), (2, 10)]), [(1, 10)]);
        assert_eq!(served(&[], &[(1, 10), (2, 10)]), []);
    }
}
