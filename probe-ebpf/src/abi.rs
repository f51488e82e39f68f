//! The layouts shared with the kernel half, generated from the BTF of `bpf/abi.h`.

#[allow(
    missing_docs,
    unreachable_pub,
    unused,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/abi.skel.rs"));
}

pub use generated::types::{
    assignment, control, creation_key, ended, ended_totals, group_rule, group_stats, histogram,
    histogram_shape, loss, losses, mode, task_record, task_state, totals,
};

/// A type of which every pattern of bits is a value, as it lies in a map.
///
/// # Safety
/// Implementors are `repr(C)` and made of integers and arrays of integers alone.
pub unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($name:ty),*) => {
        // SAFETY: generated from C structs of integers and arrays of integers.
        $(unsafe impl Plain for $name {})*
    };
}
plain!(
    assignment,
    control,
    creation_key,
    group_rule,
    group_stats,
    losses,
    task_record,
    u32,
    u64
);

/// The value at the start of `bytes`; `None` if there are too few.
pub fn from_bytes<T: Plain>(bytes: &[u8]) -> Option<T> {
    // SAFETY: the length is checked, the read needs no alignment, and any bits are a `T`.
    (bytes.len() >= size_of::<T>()).then(|| unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// The bytes of a value, as a map wants them. Padding is zeroed by the caller's `Default`.
pub fn to_bytes<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: the slice covers the value and lives as long; the layouts have no padding (tested).
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}
