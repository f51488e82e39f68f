//! What our own programs cost, by the kernel's own account.

use aya::{
    maps::MapInfo,
    programs::loaded_programs,
    sys::{Stats, enable_stats},
};
use libbpf_rs::libbpf_sys::{bpf_obj_get_info_by_fd, bpf_prog_info};
use std::{
    collections::BTreeSet,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

/// A program, and what it has cost since it was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramCost {
    /// Its name in the kernel.
    pub name: String,
    /// The probe it belongs to.
    pub probe: &'static str,
    /// Times it ran while statistics were on.
    pub runs: u64,
    /// What those took.
    pub run_ns: u64,
}

/// A loaded program of ours: its id in the kernel, and its probe.
pub(crate) type ProgramId = (u32, &'static str);

/// The costs of these programs, in their order.
///
/// # Errors
/// If the kernel does not list its programs (needs CAP_SYS_ADMIN).
pub(crate) fn of_programs(ids: &[ProgramId]) -> io::Result<Vec<ProgramCost>> {
    let mut costs = Vec::new();
    for program in loaded_programs() {
        let program = program.map_err(io::Error::other)?;
        if let Some(place) = ids.iter().position(|&(id, _)| id == program.id()) {
            let name = program.name_as_str().unwrap_or_default().to_owned();
            let run_ns = u64::try_from(program.run_time().as_nanos()).unwrap_or(u64::MAX);
            costs.push((
                place,
                ProgramCost {
                    name,
                    probe: ids[place].1,
                    runs: program.run_count(),
                    run_ns,
                },
            ));
        }
    }
    costs.sort_by_key(|(place, _)| *place);
    Ok(costs.into_iter().map(|(_, cost)| cost).collect())
}

/// What the kernel tells of a program.
pub(crate) fn program_info(program: BorrowedFd<'_>) -> io::Result<bpf_prog_info> {
    // SAFETY: all zeros is a value of this plain C struct, and the kernel wants them so.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    let mut size = size_of_val(&info) as u32;
    let into: *mut bpf_prog_info = &mut info;
    // SAFETY: the descriptor is open, and the kernel writes no more than `size` bytes.
    match unsafe { bpf_obj_get_info_by_fd(program.as_raw_fd(), into.cast(), &mut size) } {
        0 => Ok(info),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A map, and the memory the kernel says it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapCost {
    /// Its name in the kernel.
    pub name: String,
    /// Its memory, by the `memlock` of its file descriptor; none where that says 0, as Linux 6.1 does
    /// of task storage and of ring buffers: no map takes nothing.
    pub bytes: Option<u64>,
}

/// The maps that these programs use, in the order they were made.
///
/// # Errors
/// If the kernel does not list its programs or open its maps (needs CAP_SYS_ADMIN).
pub(crate) fn of_maps(programs: &[ProgramId]) -> io::Result<Vec<MapCost>> {
    let mut ids = BTreeSet::new();
    for program in loaded_programs() {
        let program = program.map_err(io::Error::other)?;
        if programs.iter().any(|&(id, _)| id == program.id()) {
            let used = program.map_ids().map_err(io::Error::other)?;
            ids.extend(used.unwrap_or_default());
        }
    }
    ids.into_iter().map(of_map).collect()
}

fn of_map(id: u32) -> io::Result<MapCost> {
    let map = MapInfo::from_id(id).map_err(io::Error::other)?;
    let descriptor = map.fd().map_err(io::Error::other)?;
    let number = descriptor.as_fd().as_raw_fd();
    let said = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?;
    let bytes = said.lines().find_map(|line| line.strip_prefix("memlock:"));
    let bytes: Option<u64> = bytes.and_then(|bytes| bytes.trim().parse().ok());
    let bytes = bytes.ok_or_else(|| io::Error::other("no memlock in the map's fdinfo"))?;
    Ok(MapCost {
        name: map.name_as_str().unwrap_or_default().to_owned(),
        bytes: (bytes > 0).then_some(bytes),
    })
}

/// Whether the kernel keeps run-time statistics of programs for the whole host
/// (kernel.bpf_stats_enabled).
pub fn statistics_on() -> bool {
    std::fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled")
        .is_ok_and(|text| text.trim() == "1")
}

/// Whether what programs cost can be found out here: `None`, or why not.
pub fn refused() -> Option<String> {
    (!statistics_on())
        .then(|| Statistics::enable().err())
        .flatten()
        .map(|error| error.to_string())
}

/// Keeps run-time statistics on while it lives. They cost every program two readings of the clock.
#[derive(Debug)]
pub struct Statistics {
    _while_open: OwnedFd,
}

impl Statistics {
    /// Switches them on.
    ///
    /// # Errors
    /// If the kernel refuses (needs CAP_SYS_ADMIN, Linux 5.8).
    pub fn enable() -> io::Result<Self> {
        Ok(Self {
            _while_open: enable_stats(Stats::RunTime).map_err(io::Error::other)?,
        })
    }
}
