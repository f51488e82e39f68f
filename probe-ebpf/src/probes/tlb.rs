//! Changes of address space with TLB entries kept or flushed, flushes by reason, shootdowns.

use super::{Context, Measure, Part, Probe};
use crate::{
    Error,
    loader::Loaded,
    platform,
    sample::{GroupSample, Loss, Unavailable},
    watch::Assignment,
};
use std::collections::HashSet;

const NAME: &str = "tlb";
const SWITCHES: &str = "address_space_switches";
const FLUSHES: &str = "tlb_flushes";

/// The program at flushes of the TLB. What it counts lies in the groups of the watch list.
pub static PROBE: Probe = Probe {
    name: NAME,
    object: object!("tlb"),
    hooks: &["tp_btf/tlb_flush"],
    map_sizes: &[],
    essential: false,
    measures: &[
        Measure {
            name: SWITCHES,
            method: "changes of task_struct.mm against active_mm at tp_btf/sched_switch, flushed where tp_btf/tlb_flush of reason 0 names pages, else kept, by the task switched to; time between the two for one change in 61, the way from program to program included",
        },
        Measure {
            name: FLUSHES,
            method: "tp_btf/tlb_flush of reasons 1 to 4 in watched tasks",
        },
    ],
    start: Some(|context| Ok(Box::new(Tlb::start(context)?))),
};

struct Tlb {
    loaded: Loaded,
    /// Yet to be said.
    unseen: Option<Unavailable>,
}

impl Tlb {
    fn start(context: &Context<'_>) -> Result<Self, Error> {
        let loaded = Loaded::load(&PROBE, Some(context.owner), context.groups)?;
        let unseen = platform::unseen_shootdowns().map(|why| Unavailable {
            measure: "shootdowns",
            reason: why.to_owned(),
        });
        Ok(Self { loaded, unseen })
    }
}

impl Part for Tlb {
    fn read(&mut self, _groups: &mut [GroupSample]) -> Result<Vec<Loss>, Error> {
        Ok(vec![self.loaded.skipped()?])
    }

    fn added(&mut self, _: &Assignment, _: &HashSet<u32>) -> Vec<Unavailable> {
        self.unseen.take().into_iter().collect()
    }

    fn program_ids(&self) -> Vec<u32> {
        self.loaded.program_ids()
    }

    fn measures(&self) -> Vec<Measure> {
        PROBE.measures.to_vec()
    }
}
