//! The machine that a recording was made on.

use crate::snapshot::Host;
use probe_ebpf::platform;
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
        virtualization: platform::hypervisor(),
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
