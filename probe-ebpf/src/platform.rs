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

/// Why the kernel's event for flushes of the TLB does not show here what CPUs are asked for by others, if it does not.
pub fn unseen_shootdowns() -> Option<&'static str> {
    if has_flag("invlpgb") {
        // AMD Zen 5; Linux uses it since 6.15.
        return Some(
            "this CPU can flush the TLB of others without an interrupt (INVLPGB), which no event shows",
        );
    }
    let is_xen_guest = || std::fs::read_to_string("/sys/hypervisor/guest_type");
    match hypervisor().as_deref() {
        // arch/x86/hyperv/mmu.c, arch/x86/xen/mmu_pv.c: each has an event of its own.
        Some("hyper-v") => Some(
            "on Hyper-V the TLB of other CPUs is flushed by the hypervisor, which tlb_flush does not show",
        ),
        Some("xen") if is_xen_guest().is_ok_and(|kind| kind.trim() == "PV") => Some(
            "in a PV guest of Xen the TLB of other CPUs is flushed by the hypervisor, which tlb_flush does not show",
        ),
        _ => None,
    }
}

fn has_flag(flag: &str) -> bool {
    use procfs::Current;
    let cpus = procfs::CpuInfo::current();
    cpus.is_ok_and(|cpus| cpus.flags(0).is_some_and(|flags| flags.contains(&flag)))
}

/// The hypervisor: by the signature it gives at CPUID leaf 0x4000_0000 (the convention that KVM,
/// Hyper-V, VMware and Xen share).
#[cfg(target_arch = "x86_64")]
pub fn hypervisor() -> Option<String> {
    const HYPERVISOR_PRESENT: u32 = 1 << 31;
    use std::arch::x86_64::__cpuid;
    if __cpuid(1).ecx & HYPERVISOR_PRESENT == 0 {
        return Some("none".into());
    }
    let leaf = __cpuid(0x4000_0000);
    let signature = [leaf.ebx, leaf.ecx, leaf.edx]
        .map(u32::to_le_bytes)
        .concat();
    let known: [(&[u8], &str); 8] = [
        (b"KVMKVMKVM\0\0\0", "kvm"),
        (b"Linux KVM Hv", "kvm"),
        (b"Microsoft Hv", "hyper-v"),
        (b"VMwareVMware", "vmware"),
        (b"XenVMMXenVMM", "xen"),
        (b"TCGTCGTCGTCG", "qemu"),
        (b"VBoxVBoxVBox", "virtualbox"),
        (b"bhyve bhyve ", "bhyve"),
    ];
    let named = known
        .iter()
        .find(|(mark, _)| *mark == signature)
        .map(|(_, name)| *name);
    Some(named.unwrap_or("unknown").into())
}

/// Other architectures have no such convention.
#[cfg(not(target_arch = "x86_64"))]
pub fn hypervisor() -> Option<String> {
    None
}

/// Whether the kernel has task storage (since 5.11), which the watch list lies in, found by trying.
///
/// # Errors
/// If the kernel did not let us try.
pub fn has_task_storage() -> Result<bool, String> {
    sys::is_map_supported(MapType::TaskStorage).map_err(|error| error.to_string())
}
