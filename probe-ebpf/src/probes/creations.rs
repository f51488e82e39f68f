//! Processes and threads created by watched tasks; their children inherit the watch.

use super::{MapSize, Measure, Probe};
use crate::{Error, abi, loader::Loaded, sample::Creation};
use libbpf_rs::{MapCore, MapFlags};

/// The program at the creation of a task.
pub static PROBE: Probe = Probe {
    name: "creations",
    object: object!("creations"),
    hooks: &["tp_btf/task_newtask"],
    map_sizes: &[MapSize {
        map: "rules",
        entries: |groups| groups,
    }],
    essential: true,
    measures: &[
        Measure {
            name: "creations",
            method: "calls by clone flags, tp_btf/task_newtask",
        },
        Measure {
            name: "first_run",
            method: "from tp_btf/task_newtask to the arrival that the task's first switch-out reports",
        },
    ],
    start: None,
};

/// The creations counted so far, with the group of the creator.
pub(crate) fn read(loaded: &Loaded) -> Result<Vec<(u32, Creation)>, Error> {
    let failed = |source| Error::Read {
        probe: PROBE.name,
        object: "creations",
        source,
    };
    let map = loaded.map("creations");
    let mut creations = Vec::new();
    for bytes in map.keys() {
        let Some(key) = abi::from_bytes::<abi::creation_key>(&bytes) else {
            continue;
        };
        let value = map.lookup(&bytes, MapFlags::ANY).map_err(failed)?;
        let count = value.and_then(|bytes| abi::from_bytes(&bytes)).unwrap_or(0);
        let creation = Creation {
            clone_flags: key.clone_flags,
            io_worker: key.io_worker != 0,
            count,
        };
        creations.push((key.group, creation));
    }
    creations.sort_by_key(|(group, creation)| (*group, creation.clone_flags, creation.io_worker));
    Ok(creations)
}
