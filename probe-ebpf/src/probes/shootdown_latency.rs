//! How long a task that shoots down TLB entries of other CPUs is held up.

use super::{Context, MapSize, Measure, Part, Probe};
use crate::{
    Error,
    abi::histogram,
    loader::Loaded,
    sample::{GroupSample, Histogram, Loss},
    tracing::{self, Tier},
};

/// The programs at entry and return of the function of the kernel that asks the others and waits.
pub static PROBE: Probe = Probe {
    name: "shootdown_latency",
    object: object!("shootdown_latency"),
    hooks: &[
        "fentry/native_flush_tlb_multi and fexit/native_flush_tlb_multi",
        "or kprobe/native_flush_tlb_multi and kretprobe/native_flush_tlb_multi",
    ],
    map_sizes: &[MapSize {
        map: "shootdowns",
        entries: |groups| groups,
    }],
    essential: false,
    measures: &[Measure {
        name: "shootdown_latency",
        method: FENTRY,
    }],
    start: Some(start),
};

const FENTRY: &str = "from fentry/native_flush_tlb_multi to fexit/native_flush_tlb_multi";
const KPROBE: &str = "from kprobe/native_flush_tlb_multi to kretprobe/native_flush_tlb_multi";

struct ShootdownLatency {
    loaded: Loaded,
    tier: Tier,
}

fn start(context: &Context<'_>) -> Result<Box<dyn Part>, Error> {
    let (loaded, tier) = tracing::load(&PROBE, context, &[])?;
    Ok(Box::new(ShootdownLatency { loaded, tier }))
}

impl Part for ShootdownLatency {
    fn read(&mut self, groups: &mut [GroupSample]) -> Result<Vec<Loss>, Error> {
        for (number, group) in (0u32..).zip(groups) {
            let mut latency = Histogram::default();
            for cpu in self.loaded.values::<histogram>("shootdowns", number)? {
                latency.add(&cpu);
            }
            group.shootdown_latency = Some(latency);
        }
        Ok(vec![self.loaded.skipped()?])
    }

    fn program_ids(&self) -> Vec<u32> {
        self.loaded.program_ids()
    }

    fn measures(&self) -> Vec<Measure> {
        self.tier.measures(&PROBE, FENTRY, KPROBE)
    }
}
