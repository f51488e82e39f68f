//! Memory as the kernel accounts it to tasks: resident, and reserved.

use serde::{Deserialize, Serialize};

use super::marginal::Marginal;
use super::own::Own;
use crate::snapshot::{Memory as AddressSpace, Task};

/// Memory, by the figures that can be had of it. They are not to be mixed up: see each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// What the kernel accounts to the tasks.
    pub accounted: Option<Accounted>,
    /// What a process holds of its own, mean over those sampled.
    pub own_bytes: Option<Own>,
    /// What one more connection adds to the whole target; of whole targets only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marginal_bytes_per_connection: Option<Marginal>,
    /// What one more connection adds to the private writable mappings of the whole target, touched or
    /// not; of whole targets only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_bytes_per_connection: Option<Marginal>,
}

/// Resident memory of living tasks at the end of the window; over several repeats their mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accounted {
    /// Anonymous pages, summed over address spaces. A page still shared after `fork(2)` is in the
    /// account of each process. This and the next four: bytes; none where the account of no
    /// address space is at hand (that of a process is listed with one of its threads).
    pub anonymous_bytes: Option<u64>,
    /// Pages of file mappings in the address space that has most of them; not summed, since that
    /// would count a page once for each process.
    pub file_bytes: Option<u64>,
    /// Pages of shared memory in the address space that has most of them; not summed either.
    pub shared_bytes: Option<u64>,
    /// Page tables, summed over address spaces.
    pub page_table_bytes: Option<u64>,
    /// Private writable mappings, summed over address spaces: not resident, but what may come to be.
    pub reserved_bytes: Option<u64>,
    /// Kernel stacks, summed over tasks.
    pub kernel_stack_bytes: u64,
    /// Address spaces accounted.
    pub address_spaces: u64,
    /// (anonymous + page tables + kernel stacks) / connections. The memory of the server itself is
    /// in it; none where the number of connections is not known.
    pub per_connection_bytes: Option<f64>,
    /// How it was measured.
    pub method: String,
}

/// The sums behind [`Accounted`], of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    address_spaces: u64,
    spaces: AddressSpace,
    kernel_stack_bytes: u64,
}

impl Held {
    /// What these tasks hold.
    pub(super) fn of<'a>(tasks: impl IntoIterator<Item = &'a Task>) -> Self {
        let mut held = Self::default();
        for task in tasks {
            held.kernel_stack_bytes += task.kernel_stack_bytes;
            let Some(space) = &task.memory else { continue };
            held.address_spaces += 1;
            held.spaces.anonymous_bytes += space.anonymous_bytes;
            held.spaces.page_table_bytes += space.page_table_bytes;
            held.spaces.reserved_bytes += space.reserved_bytes;
            held.spaces.file_bytes = held.spaces.file_bytes.max(space.file_bytes);
            held.spaces.shared_bytes = held.spaces.shared_bytes.max(space.shared_bytes);
        }
        held
    }
}

impl Accounted {
    /// The mean over the repeats.
    pub(super) fn of(repeats: &[Held], connections: Option<u32>, method: String) -> Self {
        let mean = |figure: fn(&Held) -> u64| {
            let sum: u64 = repeats.iter().map(figure).sum();
            sum / (repeats.len() as u64).max(1)
        };
        let known = repeats.iter().any(|held| held.address_spaces > 0);
        let space = |figure: fn(&Held) -> u64| known.then(|| mean(figure));
        let private: u64 = repeats
            .iter()
            .map(|held| {
                held.spaces.anonymous_bytes + held.spaces.page_table_bytes + held.kernel_stack_bytes
            })
            .sum();
        let connections = connections.filter(|&connections| known && connections > 0);
        Self {
            anonymous_bytes: space(|held| held.spaces.anonymous_bytes),
            file_bytes: space(|held| held.spaces.file_bytes),
            shared_bytes: space(|held| held.spaces.shared_bytes),
            page_table_bytes: space(|held| held.spaces.page_table_bytes),
            reserved_bytes: space(|held| held.spaces.reserved_bytes),
            kernel_stack_bytes: mean(|held| held.kernel_stack_bytes),
            address_spaces: mean(|held| held.address_spaces),
            per_connection_bytes: connections
                .map(|connections| private as f64 / repeats.len() as f64 / f64::from(connections)),
            method,
        }
    }
}
