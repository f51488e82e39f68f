//! Why a probe could not be loaded or read.

use std::path::PathBuf;

/// What went wrong between us and the kernel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller may not use BPF.
    #[error(
        "cannot load probe {probe}: operation not permitted; needs root, or CAP_BPF and CAP_PERFMON"
    )]
    NotPermitted {
        /// The probe that was refused.
        probe: &'static str,
    },
    /// The kernel does not describe its types.
    #[error(
        "cannot load probe {probe}: this kernel has no BTF ({path} is missing); needs a kernel with CONFIG_DEBUG_INFO_BTF=y",
        path = crate::platform::BTF_PATH
    )]
    NoBtf {
        /// The probe that was refused.
        probe: &'static str,
    },
    /// The kernel is locked down against root, too far for BPF.
    #[error(
        "cannot load probe {probe}: the kernel's lockdown is at confidentiality, and lets no BPF program read the kernel's memory; boot with lockdown=integrity, or without"
    )]
    LockedDown {
        /// The probe that was refused.
        probe: &'static str,
    },
    /// The verifier refused a program.
    #[error("cannot load probe {probe}: the kernel's verifier refused it; its log is in {}", log.display())]
    Verifier {
        /// The probe that was refused.
        probe: &'static str,
        /// What the verifier said.
        log: PathBuf,
    },
    /// Loading failed in another way.
    #[error("cannot load probe {probe}: {reason}")]
    Load {
        /// The probe that was refused.
        probe: &'static str,
        /// What libbpf or the kernel said.
        reason: String,
    },
    /// The kernel refused to run a program on its hook.
    #[error("cannot attach probe {probe}, program {program}: {source}")]
    Attach {
        /// The probe.
        probe: &'static str,
        /// The program of it.
        program: String,
        /// What the kernel said.
        source: libbpf_rs::Error,
    },
    /// What the probe needs is not there, or was switched off.
    #[error("cannot run probe {probe}: {reason}")]
    Unsupported {
        /// The probe.
        probe: &'static str,
        /// Why, and what can be done.
        reason: String,
    },
    /// Neither of the ways into functions of the kernel works here.
    #[error("{reason}")]
    NoWayIn {
        /// What was tried, and what the kernel said.
        reason: String,
    },
    /// A map or an iterator of a loaded probe could not be read or written.
    #[error("cannot read probe {probe}, {object}: {source}")]
    Read {
        /// The probe.
        probe: &'static str,
        /// The map or program.
        object: &'static str,
        /// What the kernel said.
        source: libbpf_rs::Error,
    },
    /// The kernel has no memory for the entries of tasks to watch.
    #[error(
        "cannot watch pid {pid}: the kernel could not make task storage for it; free memory, or raise the limit of its memory cgroup"
    )]
    NoMemory {
        /// The pid, in the caller's PID namespace.
        pid: u32,
    },
    /// A process to watch is not there.
    #[error("cannot watch pid {pid}: no such process")]
    NoSuchProcess {
        /// The pid, in the caller's PID namespace.
        pid: u32,
    },
}
