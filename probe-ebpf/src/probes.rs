//! The one list of probes.

/// An object file compiled by the build script, aligned as ELF wants it.
macro_rules! object {
    ($name:literal) => {
        aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/", $name, ".bpf.o"))
    };
}

pub mod creation_latency;
pub mod creations;
mod fault_windows;
pub mod faults;
mod kept_calls;
pub mod kernel_clone;
pub mod page_table_copy;
pub mod sched;
pub mod shootdown_latency;
pub mod socket_waiters;
pub mod stacks;
pub mod switch_latency;
pub mod tasks;
pub mod timeline;
pub mod tlb;

use crate::{
    Error, Options, abi,
    loader::{How, Loaded},
    sample::{GroupSample, Loss, Unavailable, WindowTime},
    watch::Assignment,
};
use std::collections::HashSet;

/// A probe: one object of BPF programs, and the measures it yields.
#[derive(Debug)]
pub struct Probe {
    /// Its name: that of its file in `bpf/`.
    pub name: &'static str,
    /// The compiled object.
    pub(crate) object: &'static [u8],
    /// The hooks its programs run on.
    pub hooks: &'static [&'static str],
    /// Of its own maps, those whose size depends on the number of groups or on the host.
    pub(crate) map_sizes: &'static [MapSize],
    /// The main job cannot run without it.
    pub essential: bool,
    /// What it measures.
    pub measures: &'static [Measure],
    /// Starts it; none for the three that every watch has, and for those that are [`ASKED_FOR`].
    pub(crate) start: Option<Start>,
}

/// How many entries a map has.
#[derive(Debug)]
pub(crate) struct MapSize {
    pub(crate) map: &'static str,
    /// By the number of groups.
    pub(crate) entries: fn(u32) -> u32,
}

/// Loads and attaches a probe.
pub(crate) type Start = fn(&Context<'_>) -> Result<Box<dyn Part>, Error>;

/// What a probe is started with.
pub(crate) struct Context<'a> {
    /// Has the maps that are shared: the watch list.
    pub(crate) owner: &'a Loaded,
    /// How many groups of tasks there are.
    pub(crate) groups: u32,
    /// What the user chose.
    pub(crate) options: &'a Options,
}

/// A probe at work, beside the three that every watch has. Dropped, it leaves the kernel.
pub(crate) trait Part: Send {
    /// Adds what it has seen since it was started to the groups; says what it missed.
    fn read(&mut self, groups: &mut [GroupSample]) -> Result<Vec<Loss>, Error>;

    /// A process is watched from now on, it and its descendants; returns what cannot be measured of it,
    /// and why.
    fn added(
        &mut self,
        _process: &Assignment,
        _with_descendants: &HashSet<u32>,
    ) -> Vec<Unavailable> {
        Vec::new()
    }

    /// The kernel's ids of its programs.
    fn program_ids(&self) -> Vec<u32>;

    /// What it measures, each by the method that was found to work here.
    fn measures(&self) -> Vec<Measure>;

    /// How long its windows have been open, if it looks through windows only.
    fn window(&self) -> Option<WindowTime> {
        None
    }

    /// Itself, if it hands over what tasks do one by one.
    fn timeline(&mut self) -> Option<&mut timeline::Timeline> {
        None
    }
}

/// A measure, and how a probe takes it.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Its name in reports, such as `run_queue_wait`.
    pub name: &'static str,
    /// The method, as a report names it.
    pub method: &'static str,
}

impl Probe {
    /// Loads and attaches the probe for a moment; returns what it measures, by the methods that
    /// work here.
    ///
    /// # Errors
    /// Why the kernel refuses it, with the remedy.
    pub fn check(&'static self) -> Result<Vec<Measure>, Error> {
        let Some(start) = self.start else {
            let loaded = match ASKED_FOR.iter().any(|probe| probe.name == self.name) {
                // Attached in ways of its own.
                true => Loaded::load_only(self, None, 1, &How::default()),
                false => Loaded::load(self, None, 1),
            };
            return loaded.map(|_| self.measures.to_vec());
        };
        let context = Context {
            owner: &Loaded::load(&LISTS, None, 1)?,
            groups: 1,
            options: &Options {
                timeline_bytes: Some(timeline::ring_bytes()),
                ..Options::default()
            },
        };
        Ok(start(&context)?.measures())
    }
}

/// All probes that a watch has.
pub static PROBES: &[&Probe] = &[
    &tasks::PROBE,
    &creations::PROBE,
    &sched::PROBE,
    &tlb::PROBE,
    &switch_latency::PROBE,
    &faults::PROBE,
    &creation_latency::PROBE,
    &kernel_clone::PROBE,
    &page_table_copy::PROBE,
    &shootdown_latency::PROBE,
    &timeline::PROBE,
];

/// Those that a watch has where they are asked for.
pub static ASKED_FOR: &[&Probe] = &[&stacks::PROBE, &socket_waiters::PROBE];

/// Not a probe: the maps that all of them share.
pub(crate) static LISTS: Probe = Probe {
    name: "lists",
    object: object!("lists"),
    hooks: &[],
    map_sizes: &[
        MapSize {
            map: "groups",
            entries: |groups| groups,
        },
        MapSize {
            map: "sleeps",
            entries: |groups| groups * abi::reason::REASONS.0,
        },
    ],
    essential: true,
    measures: &[],
    start: None,
};

/// Not a probe: what the kernel's verifier refuses, to see what users are then told.
#[doc(hidden)]
pub static REFUSED: Probe = Probe {
    name: "refused",
    object: object!("refused"),
    hooks: &[],
    map_sizes: &[],
    essential: false,
    measures: &[],
    start: None,
};

/// Not a probe: nothing, on the same hooks. It is what the others are measured against.
pub(crate) static EMPTY: Probe = Probe {
    name: "empty",
    object: object!("empty"),
    hooks: &[],
    map_sizes: &[],
    essential: false,
    measures: &[],
    start: None,
};
