//! The layouts shared with the kernel half, generated from the BTF of `bpf/abi.h` and `bpf/abi_*.h`.

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
    assignment, call, call_kind, call_losses, call_stats, control, creation_key, ended,
    ended_totals, fault_class, fault_counts, fault_mode, fault_window, flush_reason, flushes,
    group_calls, group_number, group_rule, group_stats, histogram, histogram_shape,
    kernel_type_ids, loss, losses, own_call, process_sockets, reason, settlement, socket_waiter,
    space, stack_control, stack_count, stack_frames, stack_id, stack_key, stack_losses, stack_of,
    stamp_counts, switch_flag, switch_kind, switch_record, task_identity, task_key, task_record,
    task_state, timeline_counts, timeline_creation, timeline_kind, timeline_left,
    timeline_shootdown, timeline_switch, tlb_stats, totals, wide,
};

impl totals {
    /// Time that it slept, whatever on, in nanoseconds.
    pub fn all_blocked(&self) -> u64 {
        self.blocked.iter().sum()
    }
}

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
    call,
    call_losses,
    control,
    creation_key,
    fault_counts,
    fault_window,
    group_calls,
    group_rule,
    group_stats,
    histogram,
    kernel_type_ids,
    losses,
    own_call,
    process_sockets,
    settlement,
    socket_waiter,
    stack_control,
    stack_count,
    stack_frames,
    stack_key,
    stack_losses,
    stamp_counts,
    switch_record,
    task_identity,
    task_key,
    task_record,
    timeline_counts,
    timeline_creation,
    timeline_shootdown,
    timeline_switch,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::{ASKED_FOR, PROBES};
    use libbpf_rs::{
        HasSize,
        btf::{Btf, types::Struct},
    };
    use std::mem::offset_of;

    /// Size, and offset of each member in bytes, as the programs were compiled with them.
    fn in_kernel(name: &str) -> Vec<(usize, Vec<(String, usize)>)> {
        let layout = |object: &[u8]| {
            let btf = Btf::from_raw("object", object)
                .expect("valid BTF")
                .expect("BTF");
            let layout: Struct<'_> = btf.type_by_name(name)?;
            let member = |at: usize| {
                let member = layout.get(at).expect("a member");
                let name = member.name.expect("a name").to_string_lossy().into_owned();
                let libbpf_rs::btf::types::MemberAttr::Normal { offset } = member.attr else {
                    panic!("{name} is a bit field");
                };
                (name, offset as usize / 8)
            };
            Some((layout.size(), (0..layout.len()).map(member).collect()))
        };
        // A type that a program has on its stack alone is not in its BTF, but in this object's.
        let header = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/abi.bpf.o"));
        let probes = PROBES.iter().chain(ASKED_FOR);
        let objects = probes.map(|probe| probe.object).chain([header]);
        objects.filter_map(layout).collect()
    }

    macro_rules! assert_layout {
        ($name:ident { $($field:ident),* }) => {
            let expected = vec![$((stringify!($field).to_owned(), offset_of!($name, $field))),*];
            let seen = in_kernel(stringify!($name));
            assert!(!seen.is_empty(), "{} is in no object", stringify!($name));
            for (size, members) in seen {
                assert_eq!(size, size_of::<$name>(), "size of {}", stringify!($name));
                assert_eq!(members, expected, "members of {}", stringify!($name));
            }
        };
    }

    #[test]
    fn layouts_are_those_of_the_programs() {
        assert_layout!(histogram { sum, max, counts });
        assert_layout!(totals {
            voluntary,
            involuntary,
            cpu,
            running,
            runnable,
            blocked,
            arrivals,
            unseen,
            minor_faults,
            major_faults
        });
        assert_layout!(ended_totals { tasks, totals });
        assert_layout!(group_stats {
            run_queue_wait,
            on_cpu_slice,
            first_run,
            run_queue_depth,
            tlb,
            ended
        });
        assert_layout!(flushes {
            count,
            pages,
            whole
        });
        assert_layout!(tlb_stats {
            kept,
            flushed,
            flushes,
            kept_time,
            flushed_time
        });
        assert_layout!(group_rule {
            thread_group,
            process_group,
            unsettled
        });
        assert_layout!(assignment {
            main_group,
            thread_group,
            process_group,
            unsettled
        });
        assert_layout!(control {
            epoch,
            visiting,
            assigned,
            base_clock,
            base_time,
            scratch,
            registers
        });
        assert_layout!(creation_key {
            clone_flags,
            group,
            io_worker
        });
        assert_layout!(losses { count });
        assert_layout!(task_identity { space, tid, group });
        assert_layout!(process_sockets {
            bytes,
            pid,
            unread_files
        });
        assert_layout!(socket_waiter {
            task,
            started,
            tid,
            shared
        });
        assert_layout!(switch_record {
            ns,
            own_ns,
            group,
            kind,
            flags
        });
        assert_layout!(timeline_switch {
            kind,
            cpu,
            left,
            reason,
            task,
            started,
            clock,
            at,
            running,
            runnable,
            blocked,
            arrivals,
            gap_ns,
            own_ns,
            pid,
            tid,
            group,
            unused,
            comm
        });
        assert_layout!(timeline_creation {
            kind,
            cpu,
            creator,
            flags,
            at,
            task,
            started,
            pid,
            tid,
            group,
            io_worker,
            comm
        });
        assert_layout!(timeline_shootdown {
            kind,
            cpu,
            task,
            pages,
            at,
            sent,
            unused
        });
        assert_layout!(timeline_counts {
            no_room,
            not_booked
        });
        assert_layout!(stamp_counts {
            no_room,
            unmatched,
            on_nothing_began,
            on_nothing_ns
        });
        assert_layout!(stack_frames {
            kernel,
            user,
            kernel_frames,
            user_frames
        });
        assert_layout!(stack_key {
            stack,
            image,
            tgid,
            group,
            of,
            turn
        });
        assert_layout!(stack_count {
            times,
            asleep,
            waiting
        });
        assert_layout!(stack_control { interval, turn });
        assert_layout!(stack_losses {
            stacks,
            samples,
            sleeps,
            time,
            tasks,
            order
        });
        assert_layout!(fault_window {
            mode,
            number,
            vm_events_from_queue,
            current_from_queue,
            tried_ends,
            tried_count,
            tried_cpu
        });
        assert_layout!(fault_counts {
            user,
            kernel,
            huge_splits,
            begun,
            not_begun,
            no_storage,
            no_mapping
        });
        assert_layout!(wide { low, high });
        assert_layout!(task_key { task, started });
        assert_layout!(settlement {
            group,
            taken,
            voluntary,
            involuntary,
            arrivals,
            unseen
        });
        assert_layout!(call_stats {
            latency,
            failed,
            resident_pages,
            page_table_bytes,
            pages_squared,
            pages_times_ns
        });
        assert_layout!(group_calls { kinds });
        assert_layout!(call {
            start,
            stack,
            task_started,
            resident_pages,
            page_table_bytes,
            group,
            function
        });
        assert_layout!(call_losses { no_room, no_return });
        assert_layout!(own_call { caller, latency });
        assert_layout!(task_record {
            pid,
            tid,
            group,
            state,
            started,
            at,
            mm,
            unsettled,
            totals,
            anonymous_bytes,
            file_bytes,
            shared_bytes,
            page_table_bytes,
            reserved_bytes,
            pending_anonymous_bytes,
            pending_file_bytes,
            pending_shared_bytes,
            kernel_stack_bytes,
            comm
        });
    }

    #[test]
    fn values_survive_the_way_through_bytes() {
        let key = creation_key {
            clone_flags: 0x1200011,
            group: 7,
            io_worker: 1,
        };
        let read: creation_key = from_bytes(to_bytes(&key)).expect("enough bytes");
        assert_eq!(
            (read.clone_flags, read.group, read.io_worker),
            (0x1200011, 7, 1)
        );
        assert!(from_bytes::<creation_key>(&to_bytes(&key)[1..]).is_none());
    }
}
