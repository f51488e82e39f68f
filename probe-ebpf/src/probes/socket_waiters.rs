//! Which thread waits at which socket: of a server with a thread for each connection, whom it serves.

use super::{Measure, Probe};
use crate::{
    Error,
    abi::socket_waiter,
    cost::ProgramId,
    loader::{How, Loaded},
};
use libbpf_rs::Link;
use std::collections::HashMap;

/// The program that notes it. Not among those that are always there.
pub static PROBE: Probe = Probe {
    name: "socket_waiters",
    object: object!("socket_waiters"),
    hooks: &["tp_btf/sched_switch"],
    map_sizes: &[],
    essential: false,
    measures: &[Measure {
        name: "busy_connections",
        method: "the socket of the call that a thread sleeps in, at tp_btf/sched_switch",
    }],
    start: None,
};

/// By the inode of each socket, the thread id, in our own PID namespace, of the one thread that has waited there.
/// The kernel keeps the 16,384 sockets that were waited at last.
pub type WaitersBySocket = HashMap<u64, u32>;

/// The program, at work until it is dropped.
pub(crate) struct SocketWaiters {
    /// Before the object: dropped first.
    _link: Link,
    loaded: Loaded,
}

impl SocketWaiters {
    /// Loads it and sets it to work. `owner` has the maps of the watch list.
    pub(crate) fn begin(owner: &Loaded, groups: u32) -> Result<Self, Error> {
        let loaded = Loaded::load_only(&PROBE, Some(owner), groups, &How::default())?;
        loaded.run(0)?;
        Ok(Self {
            _link: loaded.attach_program("on_socket_wait")?,
            loaded,
        })
    }

    /// What was seen so far, without the sockets at which several have waited.
    pub(crate) fn read(&self) -> Result<WaitersBySocket, Error> {
        let all = self
            .loaded
            .entries::<u64, socket_waiter>("socket_waiters")?;
        let alone = all.into_iter().filter(|(_, waiter)| waiter.shared == 0);
        Ok(alone.map(|(inode, waiter)| (inode, waiter.tid)).collect())
    }

    pub(crate) fn programs(&self) -> Vec<ProgramId> {
        self.loaded.programs()
    }
}
