//! What the programs that follow calls which create tasks keep: those that returned, by group, and
//! those under way.

use crate::{
    Error, abi,
    calls::{CallKind, Calls, Instrument},
    loader::Loaded,
    sample::GroupSample,
};
use libbpf_rs::{MapCore, MapFlags};
use std::collections::HashSet;

/// The calls of a group, one entry for each kind.
pub(super) fn read_group(
    loaded: &Loaded,
    number: u32,
    instrument: Instrument,
) -> Result<Vec<Calls>, Error> {
    let group: abi::group_calls = loaded.value("group_calls", number)?;
    let calls =
        |kind: CallKind| Calls::new(kind, &group.kinds[kind.in_kernel().0 as usize], instrument);
    Ok(CallKind::ALL.into_iter().map(calls).collect())
}

/// Forgets the calls of threads that have ended: by the snapshot that was just taken, no living
/// task was created when theirs was, although they called before it began. Returns how many.
pub(super) fn forget_ended(loaded: &Loaded, groups: &[GroupSample]) -> Result<u64, Error> {
    let map = loaded.map("calls");
    let keys: Vec<Vec<u8>> = map.keys().collect();
    if keys.is_empty() {
        return Ok(0);
    }
    let failed = |source| loaded.unreadable("calls", source);
    let living = || groups.iter().flat_map(|group| &group.tasks);
    let alive: HashSet<u64> = living().map(|task| task.started_ns).collect();
    let begun = living().map(|task| task.at_ns).min();
    let mut ended = 0;
    for key in keys {
        let value = map.lookup(&key, MapFlags::ANY).map_err(failed)?;
        let call: Option<abi::call> = value.and_then(|bytes| abi::from_bytes(&bytes));
        let Some(call) = call else { continue };
        let before = begun.is_none_or(|begun| call.start < begun);
        if before && !alive.contains(&call.task_started) && map.delete(&key).is_ok() {
            ended += 1;
        }
    }
    Ok(ended)
}
