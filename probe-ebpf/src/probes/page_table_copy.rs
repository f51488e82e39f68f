//! The part of a fork that copies the caller's address space.

use super::{Context, MapSize, Measure, Part, Probe, kept_calls::losses};
use crate::{
    Error,
    loader::Loaded,
    sample::{GroupSample, Histogram, Loss},
    tracing::{self, Tier},
};

/// The programs at entry and return of the function of the kernel that does it, or around it.
pub static PROBE: Probe = Probe {
    name: "page_table_copy",
    object: object!("page_table_copy"),
    hooks: &[
        "fentry/dup_mmap and fexit/dup_mmap",
        "or kprobe/dup_mmap and kretprobe/dup_mmap",
        "or uprobe_start_dup_mmap, uprobe_end_dup_mmap and copy_process likewise",
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

/// Where the compiler has made the function a part of its caller.
const AROUND_FENTRY: &str = "from fexit/uprobe_start_dup_mmap to fentry/uprobe_end_dup_mmap in the caller, the way between the two programs included, if fexit/copy_process sees it succeed";
const AROUND_KPROBE: &str = "from kretprobe/uprobe_start_dup_mmap to kprobe/uprobe_end_dup_mmap in the caller, the way between the two programs included, if kretprobe/copy_process sees it succeed";

/// The programs at the function itself.
const AT_IT: &[&str] = &["on_copy", "on_copied", "on_copy_probed", "on_copied_probed"];

/// The programs around it.
const AROUND_IT: &[&str] = &[
    "on_copy_space",
    "on_copied_space",
    "on_copied_process",
    "on_copy_space_probed",
    "on_copied_space_probed",
    "on_copied_process_probed",
];

struct PageTableCopy {
    loaded: Loaded,
    tier: Tier,
    /// By fentry and by kprobes.
    methods: [&'static str; 2],
}

fn start(context: &Context<'_>) -> Result<Box<dyn Part>, Error> {
    let load = |left_out, methods| {
        tracing::load(&PROBE, context, left_out).map(|(loaded, tier)| PageTableCopy {
            loaded,
            tier,
            methods,
        })
    };
    let at_it = load(AROUND_IT, [FENTRY, KPROBE]);
    let part = at_it.or_else(|error| match error {
        Error::NoWayIn { .. } => Err(error),
        // That of the function itself says more, if both fail.
        _ => load(AT_IT, [AROUND_FENTRY, AROUND_KPROBE]).map_err(|_| error),
    })?;
    Ok(Box::new(part))
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
        let [fentry, kprobe] = self.methods;
        self.tier.measures(&PROBE, fentry, kprobe)
    }
}
