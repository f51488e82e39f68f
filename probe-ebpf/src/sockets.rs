//! What the sockets of processes hold in the kernel's buffers.

use crate::{Error, loader::Loaded, probes::Probe};
use libbpf_rs::{Iter, MapCore, MapFlags};
use std::{collections::HashMap, io::Read};

/// Not one of a watch's probes: it is loaded when own memory is sampled, and runs once.
static PROBE: Probe = Probe {
    name: "sockets",
    object: aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sockets.bpf.o")),
    hooks: &["iter/task"],
    essential: false,
    measures: &[],
    start: None,
};

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
    /// not acknowledged, and reserved for more. A socket that processes share counts in each.
    ///
    /// # Errors
    /// If the kernel refuses to be read.
    pub fn bytes(&self, pids: &[u32]) -> Result<HashMap<u32, u64>, Error> {
        let map = self.0.map("chosen");
        for pid in pids {
            map.update(&pid.to_ne_bytes(), &1u32.to_ne_bytes(), MapFlags::ANY)
                .map_err(|source| self.0.unreadable("chosen", source))?;
        }
        let failed = |source| self.0.unreadable("iter/task", source);
        let mut read = Vec::new();
        Iter::new(self.0.link("on_process"))
            .map_err(failed)?
            .read_to_end(&mut read)
            .map_err(|error| failed(error.into()))?;
        for pid in pids {
            map.delete(&pid.to_ne_bytes())
                .map_err(|source| self.0.unreadable("chosen", source))?;
        }
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
        let records = read.chunks_exact(2 * size_of::<u64>());
        Ok(records
            .map(|record| record.split_at(size_of::<u64>()))
            .map(|(pid, bytes)| (number(pid) as u32, number(bytes)))
            .collect())
    }
}
