//! What the probes themselves add to a call, measured once, on an empty function of our own.

use super::{COOKIE_OWN_SHIFT, PROBE, sites::Sites};
use crate::{
    Error, abi,
    calls::{CallKind, Instrument},
    loader::{How, Loaded},
    probes::Context,
};
use libbpf_rs::Link;
use procfs::process::{MMPermissions, Process};
use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Instant,
};

/// Calls of which the median is taken.
const CALLS: usize = 301;

// It begins as most functions do, with an instruction that the kernel need not single-step.
#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".pushsection .text.connscope_empty_call,\"ax\",@progbits",
    ".type connscope_empty_call, @function",
    "connscope_empty_call:",
    "push rbp",
    "xor eax, eax",
    "pop rbp",
    "ret",
    ".size connscope_empty_call, . - connscope_empty_call",
    ".popsection",
);

unsafe extern "C" {
    fn connscope_empty_call();
}

/// Medians, and whether one link can lead to many functions here.
static MEASURED: Mutex<Option<(Instrument, bool)>> = Mutex::new(None);

/// The probe, loaded in the better of two ways that works here.
pub(super) struct Tried {
    pub(super) loaded: Loaded,
    /// What it adds to a call.
    pub(super) instrument: Instrument,
    /// One link leads to many functions.
    pub(super) at_once: bool,
    /// Leaves our own function.
    pub(super) leaving: Option<JoinHandle<()>>,
}

/// Loads the probe; what it adds to a call is found out when first asked for, which takes some
/// milliseconds.
pub(super) fn load(context: &Context<'_>) -> Result<Tried, Error> {
    let mut measured = MEASURED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((instrument, at_once)) = *measured {
        return Ok(Tried {
            loaded: load_only(context, at_once)?,
            instrument,
            at_once,
            leaving: None,
        });
    }
    let tried = load_and_measure(context, true).or_else(|_| load_and_measure(context, false))?;
    *measured = Some((tried.instrument, tried.at_once));
    Ok(tried)
}

fn load_and_measure(context: &Context<'_>, at_once: bool) -> Result<Tried, Error> {
    let loaded = load_only(context, at_once)?;
    let (instrument, links) = measure(&loaded, at_once, context.groups)?;
    Ok(Tried {
        loaded,
        instrument,
        at_once,
        // That waits for all CPUs, twice; the start need not.
        leaving: thread::Builder::new().spawn(move || drop(links)).ok(),
    })
}

fn load_only(context: &Context<'_>, at_once: bool) -> Result<Loaded, Error> {
    let how = How {
        uprobe_multi: at_once,
        ..How::default()
    };
    Loaded::load_only(&PROBE, Some(context.owner), context.groups, &how)
}

/// What the probe adds to a call of our own function, and the links to that.
fn measure(
    loaded: &Loaded,
    at_once: bool,
    own_group: u32,
) -> Result<(Instrument, Vec<Link>), Error> {
    let offset = own_offset().map_err(|reason| Error::Unsupported {
        probe: PROBE.name,
        reason,
    })?;
    let plain = (0..CALLS).map(|_| timed_call()).collect();
    let kind = CallKind::Thread.in_kernel().0;
    let sites = Sites {
        file: Path::new("/proc/self/exe"),
        offsets: vec![offset],
        cookies: vec![u64::from(kind) | u64::from(own_group + 1) << COOKIE_OWN_SHIFT],
    };
    let links = sites.attach(loaded, at_once)?;
    let (mut within, mut whole) = (Vec::new(), Vec::new());
    let mut before = sum(loaded, own_group)?;
    for _ in 0..CALLS {
        whole.push(timed_call());
        let after = sum(loaded, own_group)?;
        within.push(after - before);
        before = after;
    }
    // If there is none, the caller tries the other way to attach.
    let instrument =
        Instrument::measured(plain, whole, within).ok_or_else(|| Error::Unsupported {
            probe: PROBE.name,
            reason: "calls of our own were not seen".into(),
        })?;
    Ok((instrument, links))
}

/// Latencies measured so far.
fn sum(loaded: &Loaded, own_group: u32) -> Result<u64, Error> {
    let group: abi::group_calls = loaded.value("group_calls", own_group)?;
    let kind = CallKind::Thread.in_kernel().0;
    Ok(group.kinds[kind as usize].latency.sum)
}

fn timed_call() -> u64 {
    let begun = Instant::now();
    // SAFETY: takes no argument and does nothing.
    unsafe { connscope_empty_call() };
    begun.elapsed().as_nanos() as u64
}

/// Where the empty function lies in the file of this program.
fn own_offset() -> Result<usize, String> {
    let address = connscope_empty_call as *const () as usize as u64;
    let maps = Process::myself().and_then(|process| process.maps());
    let maps = maps.map_err(|error| format!("cannot read /proc/self/maps: {error}"))?;
    let code = maps.iter().find(|map| {
        let (start, end) = map.address;
        map.perms.contains(MMPermissions::EXECUTE) && (start..end).contains(&address)
    });
    let code = code.ok_or("cannot find our own code in /proc/self/maps")?;
    Ok((address - code.address.0 + code.offset) as usize)
}
