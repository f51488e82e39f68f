//! The connections of any server: which of its sockets are those of clients.
//!
//! A socket that a server holds is a client's if it is connected and its own end is where a socket listens
//! that the server holds too. The kernel's tables, of `sock_diag` and in `/proc/PID/net`, are those of the process's
//! own network namespace.

mod diag;
mod tables;

use super::running::network_of;
use crate::snapshot::connections::Connections;
use anyhow::{Context as _, Result, bail};
use procfs::net::TcpState;
use procfs::process::Process;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};
use tables::Tables;

const METHOD: &str = "connected sockets of the server whose own end is where it listens (sock_diag, else /proc/PID/net)";

/// The connected sockets of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sockets {
    /// Those of clients, by inode.
    pub clients: BTreeMap<u64, Client>,
    /// Connections over TCP that are not clients': those that it opened itself, as a pooler does.
    pub outgoing: u64,
    /// Whether it listens anywhere.
    pub listens: bool,
}

/// A client's socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The processes that hold it, and as which descriptors.
    pub holders: Vec<(u32, i32)>,
    /// The other end.
    pub peer: Peer,
}

/// The other end of a client's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Over TCP.
    Address(SocketAddr),
    /// On this host, through a socket with a path or an abstract name.
    Local,
}

impl fmt::Display for Peer {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(to),
            Self::Local => to.write_str("[local]"),
        }
    }
}

/// The connections of the server with these processes: those of an event loop are counted, and not told apart further.
///
/// # Errors
/// As [`sockets`].
pub fn connections(pids: &[u32]) -> Result<Connections> {
    open(pids).map(counted)
}

/// How many connections clients hold open to the server with these processes.
///
/// # Errors
/// As [`sockets`].
pub fn open(pids: &[u32]) -> Result<u64> {
    Ok(sockets(pids)?.clients.len() as u64)
}

/// So many connections, of which none is named.
pub(super) fn counted(open: u64) -> Connections {
    Connections {
        open,
        named: Vec::new(),
        unnamed: open,
        method: METHOD.to_owned(),
    }
}

/// The same as [`open`] of processes of any kind, in any network namespaces; `None` if none of them listens anywhere.
///
/// # Errors
/// As [`sockets`].
pub fn open_of_any(pids: &[u32]) -> Result<Option<u64>> {
    let mut by_network: BTreeMap<Option<PathBuf>, Vec<u32>> = BTreeMap::new();
    for &pid in pids {
        by_network.entry(network_of(pid)).or_default().push(pid);
    }
    let mut open = None;
    for (network, pids) in by_network {
        match sockets(&pids) {
            Ok(found) if found.listens => {
                open = Some(open.unwrap_or(0) + found.clients.len() as u64);
            }
            Ok(_) => (),
            // They have ended meanwhile.
            Err(_) if network.is_none() && !pids.iter().any(|pid| is_there(*pid)) => (),
            Err(error) => return Err(error),
        }
    }
    Ok(open)
}

/// The connections of a server with these processes, all in one network namespace: all that listen, and all
/// that hold clients' sockets.
///
/// One that the server has not yet accepted does not count; one whose client has hung up does, as long
/// as the server holds it.
///
/// # Errors
/// If none of the processes is there any more, or we may not know what they hold.
pub fn sockets(pids: &[u32]) -> Result<Sockets> {
    let mut held: BTreeMap<u64, Vec<(u32, i32)>> = BTreeMap::new();
    let mut tables = None;
    for &pid in pids {
        match held_by(pid) {
            Ok(sockets) => sockets
                .into_iter()
                .for_each(|(inode, it)| held.entry(inode).or_default().push((pid, it))),
            Err(error) if is_gone(&error) => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot list /proc/{pid}/fd"));
            }
        }
        if tables.is_none() {
            tables = Tables::of(pid)?;
        }
    }
    match tables {
        Some(tables) => Ok(sort_out(held, &tables)),
        None => bail!("cannot count connections: the server has ended"),
    }
}

/// The files of the sockets that a process listens at, as it has named them; none where we may not look.
#[must_use]
pub fn listening_paths(pid: u32) -> Vec<PathBuf> {
    let held = held_by(pid).unwrap_or_default();
    let Ok(Some(tables)) = Tables::of(pid) else {
        return Vec::new();
    };
    let listeners = tables.listeners(|inode| held.iter().any(|(it, _)| *it == inode));
    listeners.paths()
}

/// The TCP sockets that listen in a process's network namespace, and their ports; none where we may not know.
pub(super) fn listening_ports(process: &Process) -> HashMap<u64, u16> {
    let all = tables::tcp(process).unwrap_or_default().into_iter();
    let listening = all.filter(|(_, socket)| socket.state == TcpState::Listen);
    let ports = listening.map(|(inode, socket)| (inode, socket.own.port()));
    ports.collect()
}

/// The inodes of what a process waits at by `epoll`, many at once, whichever of its threads does.
///
/// # Errors
/// If it has ended, or we may not know what it holds.
pub fn polled_together(pid: u32) -> Result<HashSet<u64>> {
    let folder = format!("/proc/{pid}/fd");
    let held = fs::read_dir(&folder).with_context(|| format!("cannot list {folder}"))?;
    let mut polled = HashSet::new();
    for entry in held.flatten() {
        let is_epoll = |link: PathBuf| link == Path::new("anon_inode:[eventpoll]");
        if !fs::read_link(entry.path()).is_ok_and(is_epoll) {
            continue;
        }
        let number = entry.file_name().display().to_string();
        // It may be closed by now.
        let text = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap_or_default();
        polled.extend(text.lines().filter_map(inode_polled));
    }
    Ok(polled)
}

/// Of a line like `tfd: 8 events: 19 data: ffffffff00000008  pos:0 ino:61af sdev:7` (`man 5 proc_pid_fdinfo`).
fn inode_polled(line: &str) -> Option<u64> {
    let words = line.strip_prefix("tfd:")?;
    let inode = words
        .split_whitespace()
        .find_map(|it| it.strip_prefix("ino:"));
    u64::from_str_radix(inode?, 16).ok()
}

/// Which of the sockets that are held are clients'.
fn sort_out(held: BTreeMap<u64, Vec<(u32, i32)>>, tables: &Tables) -> Sockets {
    let listeners = tables.listeners(|inode| held.contains_key(&inode));
    let mut found = Sockets {
        listens: listeners.are_any(),
        ..Sockets::default()
    };
    for (inode, holders) in held {
        match tables.peer(inode, &listeners) {
            Some(Some(peer)) => {
                found.clients.insert(inode, Client { holders, peer });
            }
            Some(None) => found.outgoing += 1,
            None => (),
        }
    }
    found
}

/// The inodes of the sockets that a process holds, and their descriptors.
fn held_by(pid: u32) -> io::Result<Vec<(u64, i32)>> {
    let mut sockets = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let name = entry?.file_name();
        let descriptor = name.to_str().and_then(|name| name.parse().ok());
        let held = descriptor.and_then(|it| Some((socket_of(pid, it)?, it)));
        sockets.extend(held);
    }
    Ok(sockets)
}

/// The inode of the socket behind a descriptor of a process, if it is one.
pub(super) fn socket_of(pid: u32, descriptor: i32) -> Option<u64> {
    let link = fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).ok()?;
    let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
    inode.parse().ok()
}

fn is_there(pid: u32) -> bool {
    fs::metadata(format!("/proc/{pid}")).is_ok()
}

/// Whether a process was there no more when it was read.
fn is_gone(error: &io::Error) -> bool {
    [Some(libc::ENOENT), Some(libc::ESRCH)].contains(&error.raw_os_error())
}

#[cfg(test)]
#[path = "sockets/tests.rs"]
mod tests;
