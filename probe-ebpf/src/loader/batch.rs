//! Reads entries of a hash map and takes them out, many with each call of the kernel.

use crate::abi::{self, Plain};
use libbpf_rs::{
    Error, ErrorKind, Map, MapCore, MapFlags,
    libbpf_sys::{bpf_map_batch_opts, bpf_map_lookup_batch},
};
use std::{
    io,
    os::fd::{AsFd, AsRawFd},
    ptr::null_mut,
};

/// Entries with each call. A bucket of the map never has so many, and the call fails if it has.
const AT_ONCE: u32 = 512;

/// Takes the entries of these keys. Programs may add others meanwhile, but are to leave these alone.
pub(super) fn take_all<K: Plain, V: Plain>(
    map: &Map<'_>,
    which: impl Fn(&K) -> bool,
) -> Result<Vec<(K, V)>, Error> {
    let taken = read_all(map, which)?;
    for chunk in taken.chunks(AT_ONCE as usize) {
        let keys = chunk.iter().flat_map(|(key, _)| abi::to_bytes(key));
        let keys: Vec<u8> = keys.copied().collect();
        let none = MapFlags::empty();
        match map.delete_batch(&keys, chunk.len() as u32, none, none) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(taken)
}

/// The entries of these keys, which stay.
pub(super) fn read_all<K: Plain, V: Plain>(
    map: &Map<'_>,
    which: impl Fn(&K) -> bool,
) -> Result<Vec<(K, V)>, Error> {
    let mut all = Vec::new();
    let mut place = None;
    let mut more = true;
    while more {
        let batch;
        (batch, more) = read_batch::<K, V>(map, &mut place)?;
        all.extend(batch.into_iter().filter(|(key, _)| which(key)));
    }
    Ok(all)
}

/// The next entries from that place on, and whether there may be more.
fn read_batch<K: Plain, V: Plain>(
    map: &Map<'_>,
    place: &mut Option<u32>,
) -> Result<(Vec<(K, V)>, bool), Error> {
    let mut keys = vec![0u8; AT_ONCE as usize * size_of::<K>()];
    let mut values = vec![0u8; AT_ONCE as usize * size_of::<V>()];
    let (mut count, mut next) = (AT_ONCE, 0u32);
    let from = place.as_mut().map_or(null_mut(), std::ptr::from_mut);
    let options = bpf_map_batch_opts {
        sz: size_of::<bpf_map_batch_opts>() as _,
        ..bpf_map_batch_opts::default()
    };
    // SAFETY: a place in a hash map is the number of a bucket, 4 bytes; the buffers have room for as many keys and
    // values as `count` says, and all live through the call.
    let failed = unsafe {
        bpf_map_lookup_batch(
            map.as_fd().as_raw_fd(),
            from.cast(),
            std::ptr::from_mut(&mut next).cast(),
            keys.as_mut_ptr().cast(),
            values.as_mut_ptr().cast(),
            &mut count,
            &options,
        )
    };
    // The last entries come with this error.
    let is_last = failed == -libc::ENOENT;
    if failed < 0 && !is_last {
        return Err(io::Error::from_raw_os_error(-failed).into());
    }
    *place = Some(next);
    let keys = keys.chunks_exact(size_of::<K>());
    let entries = keys.zip(values.chunks_exact(size_of::<V>()));
    let entries = entries.take(count as usize);
    let read = entries.filter_map(|(key, value)| abi::from_bytes(key).zip(abi::from_bytes(value)));
    Ok((read.collect(), !is_last))
}
