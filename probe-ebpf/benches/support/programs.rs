//! The BPF programs that the kernel holds: whose they are, where they run, what they have cost.
#![allow(dead_code, unreachable_pub)]

use aya::programs::{ProgramInfo, loaded_programs};
use libbpf_rs::libbpf_sys;
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::CStr,
    fs,
};

/// What a program has cost since it was loaded, as far as statistics were on.
#[derive(Clone, Debug)]
pub struct Cost {
    pub name: String,
    pub runs: u64,
    pub run_ns: u64,
}

/// The programs that are loaded now.
pub fn ids() -> BTreeSet<u32> {
    programs().map(|program| program.id()).collect()
}

/// The programs that were not there before and that `pids` hold, or nobody: a tracer may leave its
/// programs to their links. What others load meanwhile is held by them.
pub fn new_of(before: &BTreeSet<u32>, pids: &[u32]) -> BTreeSet<u32> {
    let new: Vec<u32> = ids().difference(before).copied().collect();
    if new.is_empty() {
        return BTreeSet::new();
    }
    let mut others = BTreeSet::new();
    let mut own = BTreeSet::new();
    for pid in all_pids() {
        let held = match pids.contains(&pid) {
            true => &mut own,
            false => &mut others,
        };
        held.extend(held_by(pid));
    }
    new.into_iter()
        .filter(|id| own.contains(id) || !others.contains(id))
        .collect()
}

/// By id, of those that are still there.
pub fn costs(ids: &BTreeSet<u32>) -> BTreeMap<u32, Cost> {
    let ours = programs().filter(|program| ids.contains(&program.id()));
    ours.map(|program| {
        let kind = words(&format!("{:?}", program.program_type()));
        let name = program.name_as_str().unwrap_or("?");
        let cost = Cost {
            name: format!("{name} ({kind})"),
            runs: program.run_count(),
            run_ns: u64::try_from(program.run_time().as_nanos()).unwrap_or(u64::MAX),
        };
        (program.id(), cost)
    })
    .collect()
}

/// The hooks of programs that hang on the perf events of these processes, by id.
pub fn hooks(pids: &[u32]) -> BTreeMap<u32, String> {
    let mut hooks = BTreeMap::new();
    for &pid in pids {
        for entry in fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let fd = entry.file_name().to_string_lossy().parse();
            if let Some((id, hook)) = fd.ok().and_then(|fd| hook(pid, fd)) {
                hooks.insert(id, hook);
            }
        }
    }
    hooks
}

fn hook(pid: u32, fd: i32) -> Option<(u32, String)> {
    const KINDS: [&str; 6] = [
        "raw tracepoint",
        "tracepoint",
        "kprobe",
        "kretprobe",
        "uprobe",
        "uretprobe",
    ];
    let mut name = [0_u8; 256];
    let mut length = name.len() as u32;
    let (mut id, mut kind, mut offset, mut address) = (0, 0, 0, 0);
    // SAFETY: the name has room for `length` bytes, and all else is a plain number to write to.
    let status = unsafe {
        libbpf_sys::bpf_task_fd_query(
            pid as i32,
            fd,
            0,
            name.as_mut_ptr().cast(),
            &mut length,
            &mut id,
            &mut kind,
            &mut offset,
            &mut address,
        )
    };
    let text = CStr::from_bytes_until_nul(&name)
        .ok()?
        .to_string_lossy()
        .into_owned();
    let kind = KINDS.get(kind as usize)?;
    (status == 0).then(|| (id, format!("{kind} {text}")))
}

/// `raw tracepoint` for BPF_PROG_TYPE_RAW_TRACEPOINT.
fn words(kind: &str) -> String {
    let kind = kind.trim_start_matches("BPF_PROG_TYPE_");
    kind.to_lowercase().replace('_', " ")
}

fn programs() -> impl Iterator<Item = ProgramInfo> {
    // One that ends between being listed and being read is not of interest.
    loaded_programs().filter_map(Result::ok)
}

fn held_by(pid: u32) -> BTreeSet<u32> {
    let files = fs::read_dir(format!("/proc/{pid}/fdinfo"));
    let mut held = BTreeSet::new();
    for file in files.into_iter().flatten().flatten() {
        let info = fs::read_to_string(file.path()).unwrap_or_default();
        let ids = info
            .lines()
            .filter_map(|line| line.strip_prefix("prog_id:\t"));
        held.extend(ids.filter_map(|id| id.trim().parse::<u32>().ok()));
    }
    held
}

fn all_pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("proc").flatten();
    entries.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
}
