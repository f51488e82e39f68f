//! What the sockets of processes hold in the kernel's buffers.

use crate::{Error, abi::process_sockets, iterate::iterate, loader::Loaded, probes::Probe};
use libbpf_rs::{MapCore, MapFlags};
use std::collections::HashMap;

/// Not one of a watch's probes: it is loaded when own memory is sampled, and runs once.
static PROBE: Probe = Probe {
    name: "sockets",
    object: aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sockets.bpf.o")),
    hooks: &["iter/task"],
    map_sizes: &[],
    essential: false,
    measures: &[],
    start: None,
};

/// Descriptors of a process that are looked at: what that takes is bounded, some 2 ms.
const FILES: u32 = 65_536;

/// What the sockets of one process hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketBytes {
    /// In their buffers.
    pub bytes: u64,
    /// Open files that were not looked at, whether they are sockets or not: the first 65,536
    /// descriptors of a process are.
    pub unread_files: u32,
}

/// The program that reads them.
pub struct Sockets(Loaded);

impl Sockets {
    /// Loads it.
    ///
    /// # Errors
    /// If the kernel refuses, with the remedy.
    pub fn load() -> Result<Self, Error> {
        Loaded::load(&PROBE, None, 1).map(Self)
    }

    /// Bytes of the buffers of each of these processes' sockets: received and not read, written and
    /// not acknowledged, and reserved for more. What a Unix socket has sent is its own until the
    /// other end has read it. A socket that processes share counts in each.
    ///
    /// # Errors
    /// If the kernel refuses to be read.
    pub fn bytes(&self, pids: &[u32]) -> Result<HashMap<u32, SocketBytes>, Error> {
        self.bytes_of_first(FILES, pids)
    }

    /// The same, of so many descriptors of each process; a multiple of 64.
    ///
    /// # Errors
    /// If the kernel refuses to be read.
    pub fn bytes_of_first(
        &self,
        files: u32,
        pids: &[u32],
    ) -> Result<HashMap<u32, SocketBytes>, Error> {
        let map = self.0.map("chosen");
        for pid in pids {
            map.update(&pid.to_ne_bytes(), &files.to_ne_bytes(), MapFlags::ANY)
                .map_err(|source| self.0.unreadable("chosen", source))?;
        }
        let mut held = HashMap::new();
        iterate(&self.0, "on_process", |sockets: &process_sockets| {
            let of_process = SocketBytes {
                bytes: sockets.bytes,
                unread_files: sockets.unread_files,
            };
            held.insert(sockets.pid, of_process);
        })?;
        for pid in pids {
            map.delete(&pid.to_ne_bytes())
                .map_err(|source| self.0.unreadable("chosen", source))?;
        }
        Ok(held)
    }
}
