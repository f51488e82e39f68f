//! Whatever may be loaded beside a workload: our probes, empty programs, or another tracer that is
//! known by its command alone.
#![allow(dead_code, unreachable_pub)]

use super::{peer::Peer, programs};
use probe_ebpf::{Assignment, Baseline, GroupRule, Options, Watch};
use std::collections::BTreeSet;

/// What to load.
#[derive(Clone, Debug)]
pub enum Contender {
    /// Programs that do nothing, on our hooks.
    Empty,
    /// The default probes, watching the workload.
    Probes,
    /// A command, `{pid}` in it being the workload.
    Peer(String),
}

impl Contender {
    pub fn name(&self) -> &str {
        match self {
            Self::Empty => "empty programs",
            Self::Probes => "default probes",
            Self::Peer(command) => command,
        }
    }

    /// Loads it; it runs until dropped.
    pub fn start(&self, pid: u32) -> Result<Tracer, String> {
        Ok(match self {
            Self::Empty => Tracer::Empty(Baseline::load().map_err(|error| error.to_string())?),
            Self::Probes => {
                let before = programs::ids();
                let watch = watch(pid).map_err(|error| error.to_string())?;
                Tracer::Probes(
                    Box::new(watch),
                    programs::new_of(&before, &[std::process::id()]),
                )
            }
            Self::Peer(command) => Tracer::Peer(Peer::start(command, pid)?),
        })
    }
}

/// What is loaded now.
pub enum Tracer {
    Empty(Baseline),
    Probes(Box<Watch>, BTreeSet<u32>),
    Peer(Peer),
}

impl Tracer {
    /// The kernel's ids of its programs.
    pub fn programs(&self) -> BTreeSet<u32> {
        match self {
            Self::Empty(_) => BTreeSet::new(),
            Self::Probes(_, ids) => ids.clone(),
            Self::Peer(peer) => peer.programs.clone(),
        }
    }

    /// The processes it consists of.
    pub fn pids(&self) -> Vec<u32> {
        match self {
            Self::Empty(_) | Self::Probes(..) => vec![std::process::id()],
            Self::Peer(peer) => peer.pids(),
        }
    }
}

/// A watch over a process and all that descends from it, in one group.
fn watch(pid: u32) -> Result<Watch, probe_ebpf::Error> {
    let mut watch = Watch::load(&[GroupRule::default()], &Options::default())?;
    watch.add(Assignment {
        pid,
        main_group: 0,
        thread_group: 0,
        process_group: 0,
        unsettled: false,
    })?;
    Ok(watch)
}
