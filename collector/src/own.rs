//! Samples what processes hold of their own: anonymous pages by their share of each, page tables,
//! kernel stacks, and the buffers of their sockets.
//!
//! Every page of a process is looked at to tell its share. So: after a window, and in it only as connections come and go, on
//! a budget, in random order. Of single-threaded processes: what others hold is of no single connection. Not at low priority, since the
//! kernel holds the lock of the address space for moments, and who is kept off the CPU with it keeps it longer.

mod anonymous;
mod whole;

use crate::{
    errors::in_words,
    interrupt::Interrupt,
    snapshot::{Method, OwnMemory, OwnProcess, OwnRole, Role, Snapshot, Task, Unavailable},
};
use anonymous::Frames;
use probe_ebpf::Sockets;
use std::{
    collections::{HashMap, hash_map::RandomState},
    fs,
    hash::BuildHasher,
    io,
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};

/// Name of the measure.
pub const MEASURE: &str = "own_bytes";

/// What a look at a process is expected to take: to begin with, and by its anonymous memory.
const LOOK: Duration = Duration::from_micros(250);
const LOOK_PER_GIGABYTE: Duration = Duration::from_micros(14_400);

/// Who has asked for the end does not wait longer than this for what is sampled then.
const AT_THE_END: Duration = Duration::from_secs(1);

/// A process that could be walked.
struct Candidate<'a> {
    role: usize,
    leader: &'a Task,
    threads: usize,
}

/// What sampling needs, loaded before there is anything to measure.
pub struct OwnSampler {
    sockets: Result<Sockets, probe_ebpf::Error>,
}

impl OwnSampler {
    /// Loads it. What the kernel refuses is left out, and the samples say so.
    #[must_use]
    pub fn load() -> Self {
        Self {
            sockets: Sockets::load(),
        }
    }

    /// Samples the processes of a snapshot that was just taken, for at most `budget`. A signal ends
    /// it; one that came before, as that which ends a watch, leaves it a moment.
    ///
    /// # Errors
    /// What is missing for it, as the report is to say.
    pub fn sample(
        &self,
        snapshot: &Snapshot,
        budget: Duration,
        interrupt: &Interrupt,
    ) -> Result<OwnMemory, Unavailable> {
        if budget.is_zero() {
            return Err(unavailable("its budget is 0 (--own-memory-budget)"));
        }
        let mut own = OwnMemory {
            roles: snapshot.roles.iter().map(named).collect(),
            ..OwnMemory::default()
        };
        let mut candidates = candidates(&snapshot.roles);
        let random = RandomState::new();
        candidates.sort_by_cached_key(|candidate| random.hash_one(candidate.leader.pid));
        let begun = Instant::now();
        let asked_to_end = interrupt.signal().is_some();
        let budget = match asked_to_end {
            true => budget.min(AT_THE_END),
            false => budget,
        };
        let mut spent = false;
        let mut frames = Frames::open();
        for candidate in candidates {
            spent |= !asked_to_end && interrupt.signal().is_some();
            let role = &mut own.roles[candidate.role];
            role.processes += 1;
            // To go on with those that still fit would sample the small ones rather than any.
            let left = match spent {
                true => Duration::ZERO,
                false => budget.saturating_sub(begun.elapsed()),
            };
            match look(&mut frames, &candidate, left) {
                Ok(process) => role.sampled.push(process),
                Err(Skip::Threaded) => role.threaded += 1,
                Err(Skip::OutOfBudget) => {
                    spent = true;
                    role.out_of_budget += 1;
                }
                Err(Skip::Gone) => role.gone += 1,
                Err(Skip::Refused(reason)) => return Err(unavailable(&reason)),
            }
        }
        own.without_sockets = self.add_sockets(&mut own.roles).err();
        own.seconds = begun.elapsed().as_secs_f64();
        Ok(own)
    }

    fn add_sockets(&self, roles: &mut [OwnRole]) -> Result<(), String> {
        let mut sampled: Vec<_> = roles
            .iter_mut()
            .flat_map(|role| &mut role.sampled)
            .collect();
        if sampled.is_empty() {
            return Ok(());
        }
        let pids: Vec<u32> = sampled.iter().map(|process| process.pid).collect();
        let sockets = self.sockets.as_ref().map_err(ToString::to_string)?;
        let bytes = sockets.bytes(&pids).map_err(|error| error.to_string())?;
        for process in &mut sampled {
            let of_process = bytes.get(&process.pid).copied().unwrap_or_default();
            process.socket_bytes = of_process.bytes;
            process.unread_files = of_process.unread_files;
        }
        Ok(())
    }
}

/// How own memory is measured.
#[must_use]
pub fn method() -> Method {
    let method = "anonymous pages of /proc/PID/pagemap, each by how often it is mapped (/proc/kpagecount), pgtables_bytes, \
                  kernel stack and the buffers of sockets (sk_backlog.rmem_alloc, the larger of sk_wmem_queued and \
                  sk_wmem_alloc, sk_forward_alloc, by iter/task), after the window, of single-threaded processes, in \
                  random order until the budget is spent";
    Method {
        measure: MEASURE.into(),
        method: method.into(),
    }
}

/// Whether processes may be walked here, those of other users too.
///
/// # Errors
/// Why not.
pub fn check() -> Result<(), String> {
    const CAP_SYS_PTRACE: u64 = 1 << 19;
    if let Err(Skip::Refused(reason)) = anonymous_share(&mut Frames::open(), std::process::id()) {
        return Err(reason);
    }
    let status = procfs::process::Process::myself().and_then(|process| process.status());
    match status.map(|status| status.capeff & CAP_SYS_PTRACE) {
        Ok(0) => Err("needs CAP_SYS_PTRACE".into()),
        _ => Ok(()),
    }
}

fn unavailable(reason: &str) -> Unavailable {
    Unavailable {
        measure: MEASURE.into(),
        reason: reason.into(),
    }
}

fn named(role: &Role) -> OwnRole {
    OwnRole {
        name: role.name.clone(),
        ..OwnRole::default()
    }
}

/// The processes whose main thread is in the snapshot.
fn candidates(roles: &[Role]) -> Vec<Candidate<'_>> {
    let mut threads = HashMap::<u32, usize>::new();
    for task in roles.iter().flat_map(|role| &role.tasks) {
        *threads.entry(task.pid).or_default() += 1;
    }
    let mut candidates = Vec::new();
    for (role, of_role) in roles.iter().enumerate() {
        candidates.extend(of_role.leaders().map(|leader| Candidate {
            role,
            leader,
            threads: threads[&leader.pid],
        }));
    }
    candidates
}

/// Why a process is not sampled.
enum Skip {
    Threaded,
    OutOfBudget,
    Gone,
    Refused(String),
}

fn look(
    frames: &mut Frames,
    candidate: &Candidate<'_>,
    left: Duration,
) -> Result<OwnProcess, Skip> {
    let task = candidate.leader;
    // An address space that is in the account of another task: until it runs a program of its own.
    let Some(memory) = task.memory.filter(|_| candidate.threads == 1) else {
        return Err(Skip::Threaded);
    };
    if LOOK + LOOK_PER_GIGABYTE.mul_f64(memory.anonymous_bytes as f64 / 1e9) > left {
        return Err(Skip::OutOfBudget);
    }
    // It may have started a thread since the snapshot.
    let threads = fs::metadata(format!("/proc/{}/task", task.pid)).map_err(|_| Skip::Gone)?;
    if threads.nlink() > 3 {
        return Err(Skip::Threaded);
    }
    Ok(OwnProcess {
        pid: task.pid,
        anonymous_bytes: anonymous_share(frames, task.pid)?,
        page_table_bytes: memory.page_table_bytes,
        kernel_stack_bytes: task.kernel_stack_bytes,
        socket_bytes: 0,
        unread_files: 0,
    })
}

fn anonymous_share(frames: &mut Frames, pid: u32) -> Result<u64, Skip> {
    frames.share_of(pid).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Skip::Refused(format!(
            "cannot read /proc/{pid}/pagemap: {}; needs CAP_SYS_PTRACE",
            in_words(&error)
        )),
        _ => Skip::Gone,
    })
}
