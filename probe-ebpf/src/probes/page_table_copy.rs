//! The part of a fork that copies the caller's address space.

use super::{Context, MapSize, Measure, Part, Probe, kept_calls::losses};
use crate::{
    Error,
    loader::Loaded,
    sample::{GroupSample, Histogram, Loss},
    tracing::{self, Tier},
};

/// The programs at entry and return of the function of the kernel that does it.
pub static PROBE: Probe = Probe {
    name: "page_table_copy",
    object: object!("page_table_copy"),
    hooks: &[
        "fentry/dup_mmap and fexit/dup_mmap",
        "or kprobe/dup_mmap and kretprobe/dup_mmap",
    ],
    map_sizes: &[MapSize {
        map: "page_table_copies",
        entries: |groups| groups,
    }],
    essential: false,
    measures: &[Measure {
        name: "page_table_copy",
        method: FENTRY,
    }],
    start: Some(start),
};

const FENTRY: &str = "from fentry/dup_mmap to fexit/dup_mmap in the caller, the way between the two programs included";
const KPROBE: &str = "from kprobe/dup_mmap to kretprobe/dup_mmap in the caller, the way between the two programs included";

struct PageTableCopy {
    loaded: Loaded,
    tier: Tier,
}

fn start(context: &Context<'_>) -> Result<Box<dyn Part>, Error> {
    let (loaded, tier) = tracing::load(&PROBE, context, &[])?;
    Ok(Box::new(PageTableCopy { loaded, tier }))
}

impl Part for PageTableCopy {
    fn read(&mut self, groups: &mut [GroupSample]) -> Result<Vec<Loss>, Error> {
        for (number, group) in (0u32..).zip(groups) {
            let mut copies = Histogram::default();
            copies.add(&self.loaded.value("page_table_copies", number)?);
            group.page_table_copy = Some(copies);
        }
        let words = [
            "copies of page tables without a time (more than 4,096 at once)",
            "copies of page tables without a time (their end was not seen)",
        ];
        losses(&self.loaded, words, 0)
    }

    fn program_ids(&self) -> Vec<u32> {
        self.loaded.program_ids()
    }

    fn measures(&self) -> Vec<Measure> {
        self.tier.measures(&PROBE, FENTRY, KPROBE)
    }
}
