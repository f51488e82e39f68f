//! What the programs that follow calls which create tasks keep: those that returned, by group, and
//! those under way.

use crate::{
    Error, abi,
    calls::{CallKind, Calls, Instrument},
    loader::Loaded,
    sample::{GroupSample, Loss},
};
use libbpf_rs::{MapCore, MapFlags};
use std::collections::HashSet;

/// The first reason why a call has no latency; the second is each probe's own.
pub(super) const NO_ROOM: &str =
    "calls that create tasks without a latency (more than 4,096 at once)";

/// What was lost of what has a beginning and an end: for want of room, and since its end was not seen, with `ended` of those that user space found.
pub(super) fn losses(
    loaded: &Loaded,
    [no_room, no_return]: [&'static str; 2],
    ended: u64,
) -> Result<Vec<Loss>, Error> {
    let lost: abi::call_losses = loaded.value("call_losses", 0)?;
    Ok(vec![
        loaded.loss(no_room, lost.no_room),
        loaded.loss(no_return, lost.no_return + ended),
        loaded.skipped()?,
    ])
}

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
