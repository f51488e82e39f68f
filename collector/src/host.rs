//! The machine that a recording was made on.

use crate::snapshot::Host;
use procfs::Current;
use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

/// What can be told of this machine; what cannot is left empty.
pub fn describe(memory_cgroup: Option<&str>) -> Host {
    let uname = rustix::system::uname();
    let cpus = procfs::CpuInfo::current().ok();
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Host {
        kernel: uname.release().to_string_lossy().into_owned(),
        architecture: uname.machine().to_string_lossy().into_owned(),
        cpu_model: cpus
            .as_ref()
            .and_then(|cpus| cpus.model_name(0))
            .unwrap_or_default()
            .into(),
        cpus: cpus.map_or(0, |cpus| cpus.num_cores() as u32),
        virtualization: virtualization(),
        memory_bytes: procfs::Meminfo::current().map_or(0, |memory| memory.mem_total),
        memory_cgroup: memory_cgroup.map(Into::into),
        started_unix_seconds: since_epoch.as_secs(),
        connscope_version: env!("CARGO_PKG_VERSION").into(),
    }
}

/// The host's name.
pub fn name() -> String {
    let uname = rustix::system::uname();
    uname.nodename().to_string_lossy().into_owned()
}

/// The distribution, in its own words (os-release(5)).
pub fn operating_system() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let mut lines = text.lines();
    let name = lines.find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches(['"', '\'']).to_owned())
}

/// The hypervisor, by the signature it gives at CPUID leaf 0x4000_0000 (the convention that KVM,
/// Hyper-V, VMware and Xen share).
#[cfg(target_arch = "x86_64")]
fn virtualization() -> Option<String> {
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
fn virtualization() -> Option<String> {
    None
}
