//! The kernel's tables of sockets in one network namespace.

use super::{Peer, diag, is_gone};
use anyhow::{Context as _, Result};
use procfs::net::{TcpNetEntry, TcpState, UnixNetEntry, UnixState};
use procfs::process::Process;
use procfs::{ProcError, ProcResult};
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// The states of connections that their process may hold.
pub(super) const CONNECTED: [TcpState; 2] = [TcpState::Established, TcpState::CloseWait];

/// All sockets of stream kind, by inode.
pub(super) struct Tables {
    tcp: HashMap<u64, TcpSocket>,
    unix: HashMap<u64, UnixNetEntry>,
}

/// A socket of TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TcpSocket {
    pub(super) state: TcpState,
    pub(super) own: SocketAddr,
    pub(super) peer: SocketAddr,
}

impl From<&TcpNetEntry> for TcpSocket {
    fn from(entry: &TcpNetEntry) -> Self {
        Self {
            state: entry.state.clone(),
            own: entry.local_address,
            peer: entry.remote_address,
        }
    }
}

/// Where a server listens.
#[derive(Default)]
pub(super) struct Listeners<'a> {
    ports: BTreeSet<(u16, IpAddr)>,
    paths: BTreeSet<&'a Path>,
}

impl Tables {
    /// Those of a process's network namespace; none if it has ended.
    pub(super) fn of(pid: u32) -> Result<Option<Self>> {
        let read = || -> ProcResult<Self> {
            let process = Process::new(pid as i32)?;
            let unix = missing_is_empty(process.unix())?;
            Ok(Self {
                tcp: tcp(&process)?,
                unix: unix.into_iter().map(|it| (it.inode, it)).collect(),
            })
        };
        match read() {
            Ok(tables) => Ok(Some(tables)),
            Err(ProcError::NotFound(_)) => Ok(None),
            Err(ProcError::Io(error, _)) if is_gone(&error) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read /proc/{pid}/net")),
        }
    }

    /// Where those of them listen that are held.
    pub(super) fn listeners(&self, is_held: impl Fn(u64) -> bool) -> Listeners<'_> {
        let tcp = self.tcp.iter();
        let tcp = tcp.filter(|(inode, it)| it.state == TcpState::Listen && is_held(**inode));
        let unix = self.unix.values().filter(|it| {
            // One that listens is connected to nothing.
            it.state == UnixState::UNCONNECTED && is_stream(it)
        });
        Listeners {
            ports: tcp
                .map(|(_, it)| (it.own.port(), it.own.ip().to_canonical()))
                .collect(),
            paths: unix
                .filter(|it| is_held(it.inode))
                .filter_map(|it| it.path.as_deref())
                .collect(),
        }
    }

    /// Of a connected socket its other end, if that is a client; and nothing of those that are not.
    pub(super) fn peer(&self, inode: u64, listeners: &Listeners<'_>) -> Option<Option<Peer>> {
        if let Some(entry) = self.tcp.get(&inode) {
            let is_connected = CONNECTED.contains(&entry.state);
            let peer = Peer::Address((entry.peer.ip().to_canonical(), entry.peer.port()).into());
            let is_client = listeners.accept_at(entry.own.port(), entry.own.ip().to_canonical());
            return is_connected.then(|| is_client.then_some(peer));
        }
        let entry = self.unix.get(&inode)?;
        let path: Option<&PathBuf> = entry.path.as_ref();
        let is_client = path.is_some_and(|path| listeners.paths.contains(path.as_path()));
        let is_connected = entry.state == UnixState::CONNECTED && is_stream(entry);
        (is_connected && is_client).then_some(Some(Peer::Local))
    }
}

impl Listeners<'_> {
    pub(super) fn are_any(&self) -> bool {
        !(self.ports.is_empty() && self.paths.is_empty())
    }

    /// Those that are files.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let files = self.paths.iter().filter(|path| path.is_absolute());
        files.map(|path| path.to_path_buf()).collect()
    }

    fn accept_at(&self, port: u16, address: IpAddr) -> bool {
        let mut at_port = self.ports.iter().filter(|(it, _)| *it == port);
        at_port.any(|(_, own)| own.is_unspecified() || *own == address)
    }
}

/// Those of TCP in a process's network namespace, as quickly as they can be had.
pub(super) fn tcp(process: &Process) -> ProcResult<HashMap<u64, TcpSocket>> {
    if let Ok(found) = diag::tcp(process.pid.unsigned_abs()) {
        return Ok(found.into_iter().collect());
    }
    // Without IPv6 there is none.
    let tcp6 = missing_is_empty(process.tcp6())?;
    let all = process.tcp()?.into_iter().chain(tcp6);
    Ok(all.map(|it| (it.inode, TcpSocket::from(&it))).collect())
}

fn is_stream(entry: &UnixNetEntry) -> bool {
    i32::from(entry.socket_type) == libc::SOCK_STREAM
}

fn missing_is_empty<T>(table: ProcResult<Vec<T>>) -> ProcResult<Vec<T>> {
    match table {
        Err(ProcError::NotFound(_)) => Ok(Vec::new()),
        table => table,
    }
}
