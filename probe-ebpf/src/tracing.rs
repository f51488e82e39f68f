//! Which way into functions of the kernel there is here, for probes that measure a function itself:
//! fentry and fexit, else kprobes, else none. Found by trying, once, in less than a millisecond.

use crate::{
    Error,
    loader::{How, Loaded},
    probes::{Context, Measure, Probe},
};
use libbpf_rs::libbpf_sys;
use std::{
    ffi::OsStr,
    io,
    os::fd::{FromRawFd, OwnedFd},
    path::Path,
    ptr,
    sync::OnceLock,
};

/// Without it no program can be bound to a kprobe, however it was made.
const KPROBES: &str = "/sys/bus/event_source/devices/kprobe";

/// A way in. The programs for each are in the same object, by the names of their sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    /// Programs at `fentry/FUNCTION` and `fexit/FUNCTION`.
    Fentry,
    /// Programs at `kprobe/FUNCTION` and `kretprobe/FUNCTION`.
    Kprobe,
    /// Neither works here, and why.
    None(String),
}

impl Tier {
    /// Whether a program is for another way in.
    pub(crate) fn leaves_out(&self, section: &OsStr) -> bool {
        let section = section.to_string_lossy();
        let hook = section.split('/').next().unwrap_or_default();
        match hook {
            "fentry" | "fexit" => *self != Self::Fentry,
            "kprobe" | "kretprobe" => *self != Self::Kprobe,
            _ => false,
        }
    }

    /// The measures of a probe, by the method of this way in.
    pub(crate) fn measures(
        &self,
        probe: &Probe,
        fentry: &'static str,
        kprobe: &'static str,
    ) -> Vec<Measure> {
        let method = match self {
            Self::Kprobe => kprobe,
            _ => fentry,
        };
        let by_method = |measure: &Measure| Measure { method, ..*measure };
        probe.measures.iter().map(by_method).collect()
    }
}

/// The best way in that the kernel did not refuse. It may lead to a function and not to another: see
/// [`load`].
pub(crate) fn tier() -> Tier {
    static TIER: OnceLock<Tier> = OnceLock::new();
    let found = TIER.get_or_init(|| match (try_fentry(), kprobes()) {
        (Ok(()), _) => Tier::Fentry,
        (_, Ok(())) => Tier::Kprobe,
        (Err(fentry), Err(kprobe)) => {
            Tier::None(format!("needs fentry or kprobes: {fentry}; {kprobe}"))
        }
    });
    found.clone()
}

/// Loads and attaches the programs of the best way in that leads to all their functions, `without`
/// those left out, by name.
///
/// # Errors
/// Why none does; at once where there is none.
pub(crate) fn load(
    probe: &'static Probe,
    context: &Context<'_>,
    without: &[&str],
) -> Result<(Loaded, Tier), Error> {
    let best = tier();
    if let Tier::None(reason) = best {
        return Err(Error::Unsupported {
            probe: probe.name,
            reason,
        });
    }
    let by = |tier: Tier| {
        let how = How {
            without,
            tier: Some(tier.clone()),
            ..How::default()
        };
        let loaded = Loaded::load_with(probe, Some(context.owner), context.groups, &how)?;
        Ok((loaded, tier))
    };
    match by(best.clone()) {
        Err(_) if best == Tier::Fentry && kprobes().is_ok() => by(Tier::Kprobe),
        tried => tried,
    }
}

/// The kernel looks whether fentry is allowed before it looks for the function, which need not be
/// named then: to find its number takes some 10 ms.
fn try_fentry() -> Result<(), String> {
    let options = libbpf_sys::bpf_prog_load_opts {
        expected_attach_type: libbpf_sys::BPF_TRACE_FENTRY,
        ..Default::default()
    };
    match load_nothing(libbpf_sys::BPF_PROG_TYPE_TRACING, options) {
        // What it says of a function without a number.
        Err(error) if error.raw_os_error() != Some(libc::EINVAL) => {
            Err(format!("the kernel refuses fentry programs ({error})"))
        }
        _ => Ok(()),
    }
}

fn kprobes() -> &'static Result<(), String> {
    static KPROBE: OnceLock<Result<(), String>> = OnceLock::new();
    KPROBE.get_or_init(|| {
        if !Path::new(KPROBES).exists() {
            return Err(format!("it has no kprobes ({KPROBES} is missing)"));
        }
        load_nothing(libbpf_sys::BPF_PROG_TYPE_KPROBE, Default::default())
            .map(drop)
            .map_err(|error| format!("it refuses programs at kprobes ({error})"))
    })
}

/// Loads a program that returns 0.
fn load_nothing(
    kind: libbpf_sys::bpf_prog_type,
    mut options: libbpf_sys::bpf_prog_load_opts,
) -> io::Result<OwnedFd> {
    const RETURN_0: [u8; 2] = [0xb7, 0x95]; // r0 = 0; exit
    let instructions = RETURN_0.map(|code| libbpf_sys::bpf_insn {
        code,
        ..Default::default()
    });
    options.sz = size_of_val(&options) as libbpf_sys::size_t;
    options.attempts = 1;
    // SAFETY: instructions, licence and options live through the call, and are as long as they say.
    let fd = unsafe {
        libbpf_sys::bpf_prog_load(
            kind,
            ptr::null(),
            c"Dual MIT/GPL".as_ptr(),
            instructions.as_ptr(),
            instructions.len() as libbpf_sys::size_t,
            &raw mut options,
        )
    };
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: a new file descriptor, which nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_belong_to_one_way_in() {
        let leaves_out = |tier: &Tier, section: &str| tier.leaves_out(OsStr::new(section));
        for section in ["fentry/kernel_clone", "fexit/kernel_clone"] {
            assert!(!leaves_out(&Tier::Fentry, section));
            assert!(leaves_out(&Tier::Kprobe, section));
        }
        for section in ["kprobe/kernel_clone", "kretprobe/kernel_clone"] {
            assert!(leaves_out(&Tier::Fentry, section));
            assert!(!leaves_out(&Tier::Kprobe, section));
        }
        assert!(!leaves_out(&Tier::Fentry, "tp_btf/sched_switch"));
    }
}
