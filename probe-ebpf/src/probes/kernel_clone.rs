//! How long fork, vfork, clone and clone3 take in the kernel, whoever calls them: the C library, a
//! runtime that does without one, a static program.

use super::{
    Context, MapSize, Measure, Part, Probe,
    kept_calls::{NO_ROOM, forget_ended, losses, read_group},
};
use crate::{
    Error, abi,
    calls::Instrument,
    loader::Loaded,
    sample::{GroupSample, Loss},
    tracing::{self, Tier},
};
use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// The programs at entry and return of the function of the kernel that all such calls come to.
pub static PROBE: Probe = Probe {
    name: "kernel_clone",
    object: object!("kernel_clone"),
    hooks: &[
        "fentry/kernel_clone and fexit/kernel_clone",
        "or kprobe/kernel_clone and kretprobe/kernel_clone",
    ],
    map_sizes: &[MapSize {
        map: "group_calls",
        entries: |groups| groups,
    }],
    essential: false,
    measures: &[Measure {
        name: "creation_latency_in_kernel",
        method: FENTRY,
    }],
    start: Some(start),
};

const FENTRY: &str =
    "from fentry/kernel_clone to fexit/kernel_clone in the caller, kind by clone flags";
const KPROBE: &str =
    "from kprobe/kernel_clone to kretprobe/kernel_clone in the caller, kind by clone flags";

/// Calls of which the median is taken.
const CALLS: usize = 301;

struct KernelClone {
    loaded: Loaded,
    tier: Tier,
    instrument: Instrument,
    /// Calls that had not returned when their thread ended.
    ended: u64,
}

fn start(context: &Context<'_>) -> Result<Box<dyn Part>, Error> {
    let load = || tracing::load(&PROBE, context, &[]);
    static MEASURED: Mutex<Vec<(Tier, Instrument)>> = Mutex::new(Vec::new());
    let mut measured = MEASURED.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = tracing::tier();
    let known = measured.iter().find(|(tier, _)| *tier == wanted);
    let (loaded, tier, instrument) = match known {
        Some(&(_, instrument)) => {
            let (loaded, tier) = load()?;
            (loaded, tier, instrument)
        }
        None => {
            let (loaded, tier, instrument) = load_and_measure(load)?;
            measured.push((wanted, instrument));
            (loaded, tier, instrument)
        }
    };
    Ok(Box::new(KernelClone {
        loaded,
        tier,
        instrument,
        ended: 0,
    }))
}

impl Part for KernelClone {
    fn read(&mut self, groups: &mut [GroupSample]) -> Result<Vec<Loss>, Error> {
        self.ended += forget_ended(&self.loaded, groups)?;
        for (number, group) in (0u32..).zip(groups.iter_mut()) {
            group.kernel_calls = Some(read_group(&self.loaded, number, self.instrument)?);
        }
        let no_return = "calls that create tasks without a latency (their return was not seen)";
        losses(&self.loaded, [NO_ROOM, no_return], self.ended)
    }

    fn program_ids(&self) -> Vec<u32> {
        self.loaded.program_ids()
    }

    fn measures(&self) -> Vec<Measure> {
        self.tier.measures(&PROBE, FENTRY, KPROBE)
    }
}

/// What the programs themselves add to a call, on one that the kernel refuses as it begins.
fn load_and_measure(
    load: impl FnOnce() -> Result<(Loaded, Tier), Error>,
) -> Result<(Loaded, Tier, Instrument), Error> {
    let plain = (0..CALLS).map(|_| timed_call()).collect();
    let (loaded, tier) = load()?;
    loaded.run(1)?;
    let (mut within, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..CALLS {
        whole.push(timed_call());
        within.push(loaded.value::<abi::own_call>("own_call", 0)?.latency);
    }
    loaded.run(0)?;
    let instrument =
        Instrument::measured(plain, whole, within).ok_or_else(|| Error::Unsupported {
            probe: PROBE.name,
            reason: "calls of our own were not seen".into(),
        })?;
    Ok((loaded, tier, instrument))
}

/// A call of `clone` that contradicts itself: the descriptor and the number of the child would be
/// written to the same place. The function that is measured refuses it before anything else.
fn timed_call() -> u64 {
    let flags = libc::CLONE_PIDFD | libc::CLONE_PARENT_SETTID | libc::SIGCHLD;
    let begun = Instant::now();
    // SAFETY: without a stack of its own a child would go on as after `fork`; it ends below.
    let child = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    let time = begun.elapsed().as_nanos() as u64;
    match child {
        // SAFETY: ends a child that no kernel makes, and nothing of this program with it.
        0 => unsafe { libc::_exit(0) },
        1.. => {
            // SAFETY: waits for one, and wants nothing written.
            let _ = unsafe { libc::waitpid(child as i32, std::ptr::null_mut(), 0) };
        }
        _ => {}
    }
    time
}
