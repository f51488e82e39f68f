//! What this kernel and these privileges allow.

use aya::{maps::MapType, sys};
use std::path::Path;

/// Where the kernel describes its types.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// Whether the running kernel describes its types (CONFIG_DEBUG_INFO_BTF).
pub fn has_btf() -> bool {
    Path::new(BTF_PATH).exists()
}

/// The capabilities that loading the probes takes and this process lacks. CAP_SYS_ADMIN stands for
/// both (capabilities(7)).
pub fn missing_capabilities() -> Vec<&'static str> {
    const CAP_SYS_ADMIN: u32 = 21;
    let effective = procfs::process::Process::myself()
        .and_then(|process| process.status())
        .map_or(0, |status| status.capeff);
    let has = |bit: u32| effective & (1 << bit) != 0;
    let needed = [("CAP_PERFMON", 38), ("CAP_BPF", 39)];
    let lacks = |&(_, bit): &(&str, u32)| !has(bit) && !has(CAP_SYS_ADMIN);
    needed
        .into_iter()
        .filter(lacks)
        .map(|(name, _)| name)
        .collect()
}

/// How far the kernel is locked down against root (kernel_lockdown(7)): `none`, `integrity`,
/// `confidentiality`; `None` where it cannot be, or securityfs is not mounted.
pub fn lockdown() -> Option<String> {
    let text = std::fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    let chosen = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    chosen.map(str::to_owned)
}

/// Whether the kernel compiles BPF to machine code; interpreted programs cost several times more.
/// `None` where it has no switch for it, which means always.
pub fn jit_enabled() -> Option<bool> {
    let text = std::fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").ok()?;
    Some(text.trim() != "0")
}

/// Whether the CPU can flush the TLB entries of other CPUs without an interrupt (INVLPGB of recent AMD
/// CPUs, which Linux uses since 6.15).
pub fn broadcasts_flushes() -> bool {
    use procfs::Current;
    let cpus = procfs::CpuInfo::current();
    cpus.is_ok_and(|cpus| {
        cpus.flags(0)
            .is_some_and(|flags| flags.contains(&"invlpgb"))
    })
}

/// Whether the kernel has task storage (since 5.11), which the watch list lies in, found by trying.
///
/// # Errors
/// If the kernel did not let us try.
pub fn has_task_storage() -> Result<bool, String> {
    sys::is_map_supported(MapType::TaskStorage).map_err(|error| error.to_string())
}
