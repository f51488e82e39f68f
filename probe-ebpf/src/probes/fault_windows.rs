//! Windows on page faults: the programs, attached while one is open, and what each has shown.

use super::{Context, faults::PROBE};
use crate::{
    Error,
    abi::{self, fault_counts, fault_mode, fault_window},
    fault_sample::{CLASSES, FaultSample, by_class},
    kernel_types::KernelTypes,
    loader::{How, Loaded},
    perf,
    sample::Loss,
    tracing::{self, Tier},
    windows::Windowed,
};
use libbpf_rs::{Link, MapCore, MapFlags};
use std::sync::{Arc, Mutex, PoisonError};

/// Where the end of a minor fault is seen: what costs faults of others less comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Returned,
    MemcgEvent,
    PerfEvent,
}

impl End {
    const ALL: [Self; 3] = [Self::Returned, Self::MemcgEvent, Self::PerfEvent];

    fn hook(self) -> &'static str {
        match self {
            Self::Returned => "fexit/handle_mm_fault",
            Self::MemcgEvent => "tp_btf/count_memcg_events",
            Self::PerfEvent => "perf page-faults-min",
        }
    }

    /// The programs of other ends.
    fn without(self) -> &'static [&'static str] {
        match self {
            Self::Returned => &["on_memcg_event", "on_minor_fault", "on_major_fault"],
            Self::MemcgEvent => &["on_handled", "on_minor_fault"],
            Self::PerfEvent => &["on_handled", "on_memcg_event"],
        }
    }

    /// Without it there is no need to try.
    fn is_likely(self) -> bool {
        self != Self::Returned || tracing::tier() == Tier::Fentry
    }
}

const BEGINNINGS: [&str; 2] = ["on_page_fault_user", "on_page_fault_kernel"];
/// What a trial touches, and how often it is repeated if the CPU changes under it.
const TRIAL_PAGES: usize = 16;
const TRIALS: u32 = 50;

/// Where per-CPU variables of the kernel lie, from the run queue of their CPU, in bytes.
struct Places {
    vm_events: i64,
    /// 0 if BTF does not say.
    current: i64,
}

impl Places {
    fn read() -> Result<Self, Error> {
        // Current tasks were in `pcpu_hot` from 6.2 to 6.14.
        let types =
            KernelTypes::of_this_kernel().map_err(|error| unsupported(&error.to_string()))?;
        let [vm_events, current, hot] =
            types.distances_per_cpu("runqueues", ["vm_event_states", "current_task", "pcpu_hot"]);
        let vm_events = vm_events.ok_or_else(|| {
            unsupported("the kernel's BTF does not say where vm_event_states lies")
        })?;
        Ok(Self {
            vm_events,
            current: current.or(hot).unwrap_or_default(),
        })
    }
}

/// The map that a window is in.
const WINDOW: &str = ".data.fault_window";

/// What runs in windows. Programs are attached while one is open; their counts stay.
pub(super) struct FaultWindows {
    /// Detached when dropped: before the object.
    links: Vec<Link>,
    /// Of major faults, attached all the time where it is not on the path of others.
    _majors: Vec<Link>,
    pub(super) loaded: Loaded,
    pub(super) end: End,
    window: fault_window,
    seen: Vec<([u64; CLASSES], u64)>,
    pub(super) closed: Arc<Mutex<Closed>>,
}

/// What the windows that are closed have shown.
pub(super) struct Closed {
    /// By group.
    pub(super) samples: Vec<FaultSample>,
    pub(super) skipped: Loss,
}

impl FaultWindows {
    /// Loads the programs, with the end that is found to work here.
    pub(super) fn load(context: &Context<'_>) -> Result<Self, Error> {
        let mut refused = unsupported("no end of a fault was left to be tried");
        for end in End::ALL {
            if context.options.without.contains(&end.hook()) || !end.is_likely() {
                continue;
            }
            match Self::load_with(context, end) {
                Ok(windows) => return Ok(windows),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// The same with that end, tried out.
    fn load_with(context: &Context<'_>, end: End) -> Result<Self, Error> {
        let loaded = Loaded::load_only(
            &PROBE,
            Some(context.owner),
            context.groups,
            &How {
                without: end.without(),
                ..How::default()
            },
        )?;
        let places = Places::read()?;
        let mut windows = Self {
            links: Vec::new(),
            end,
            _majors: Vec::new(),
            window: fault_window {
                vm_events_from_queue: places.vm_events,
                current_from_queue: places.current,
                ..fault_window::default()
            },
            seen: vec![([0; CLASSES], 0); context.groups as usize],
            closed: Arc::new(Mutex::new(Closed {
                samples: vec![FaultSample::default(); context.groups as usize],
                skipped: loaded.skipped()?,
            })),
            loaded,
        };
        windows.attach_end()?;
        let tried = windows.try_out();
        windows.detach();
        tried?;
        windows.attach_majors()?;
        Ok(windows)
    }

    /// Faults of our own must be seen to end, and the CPU's own count of faults must go up.
    fn try_out(&mut self) -> Result<(), Error> {
        let all = procfs_pgfaults();
        let grows = |before: &fault_window, after: &fault_window| {
            let count = before.tried_count < after.tried_count && after.tried_count <= all();
            after.tried_ends - before.tried_ends >= TRIAL_PAGES as u64
                && before.tried_cpu == after.tried_cpu
                && count
        };
        self.set_mode(fault_mode::FAULTS_TRIED)?;
        for _ in 0..TRIALS {
            touch(1);
            let before: fault_window = self.loaded.value(WINDOW, 0)?;
            touch(TRIAL_PAGES);
            let after: fault_window = self.loaded.value(WINDOW, 0)?;
            if grows(&before, &after) {
                return self.set_mode(fault_mode::FAULTS_CLOSED);
            }
        }
        Err(unsupported(
            "the end of a fault was not seen, or the kernel's event counters were not found",
        ))
    }

    /// Where the event of the memory cgroup is the end, this is on the path of major faults alone, for
    /// which it is nothing.
    fn attach_majors(&mut self) -> Result<(), Error> {
        if self.end == End::MemcgEvent {
            self._majors = self.attach_perf("on_major_fault", perf::PAGE_FAULTS_MAJ)?;
        }
        Ok(())
    }

    fn attach_end(&mut self) -> Result<(), Error> {
        let program = match self.end {
            End::Returned => Some("on_handled"),
            End::MemcgEvent => Some("on_memcg_event"),
            End::PerfEvent => None,
        };
        if let Some(program) = program {
            let link = self.loaded.attach_program(program)?;
            self.links.push(link);
            return Ok(());
        }
        for (program, event) in [
            ("on_minor_fault", perf::PAGE_FAULTS_MIN),
            ("on_major_fault", perf::PAGE_FAULTS_MAJ),
        ] {
            let links = self.attach_perf(program, event)?;
            self.links.extend(links);
        }
        Ok(())
    }

    fn attach_perf(&self, program: &'static str, event: u64) -> Result<Vec<Link>, Error> {
        let events = perf::on_each_cpu(event)
            .map_err(|error| unsupported(&format!("cannot open perf events: {error}")))?;
        let attach = |event| self.loaded.attach_to_event(program, event);
        events.into_iter().map(attach).collect()
    }

    fn detach(&mut self) {
        self.links.clear();
    }

    fn set_mode(&mut self, mode: fault_mode) -> Result<(), Error> {
        self.window.mode = mode.0;
        let map = self.loaded.map(WINDOW);
        map.update(
            &0u32.to_ne_bytes(),
            abi::to_bytes(&self.window),
            MapFlags::ANY,
        )
        .map_err(|source| self.loaded.unreadable(WINDOW, source))
    }

    /// Keeps what the window that closes has shown.
    fn keep(&mut self) -> Result<(), Error> {
        self.turn(0)?;
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let samples = closed.samples.iter_mut();
        for ((number, seen), sample) in (0u32..).zip(&mut self.seen).zip(samples) {
            let now = by_class(&self.loaded.values::<fault_counts>("fault_counts", number)?);
            let mut grown = [0; CLASSES];
            for (class, grown) in grown.iter_mut().enumerate() {
                *grown = now.0[class].saturating_sub(seen.0[class]);
            }
            sample.add_window(&grown, now.1 - seen.1);
            *seen = now;
        }
        Ok(())
    }
}

impl Windowed for FaultWindows {
    fn open(&mut self) -> Result<(), Error> {
        if self.window.mode == fault_mode::FAULTS_OPEN.0 {
            return Ok(());
        }
        for program in BEGINNINGS {
            let link = self.loaded.attach_program(program)?;
            self.links.push(link);
        }
        self.attach_end()?;
        self.window.number = self.window.number.wrapping_add(1);
        self.set_mode(fault_mode::FAULTS_OPEN)
    }

    /// Called now and then in a window without end, too.
    fn turn(&mut self, _part: u32) -> Result<(), Error> {
        let skipped = self.loaded.skipped()?;
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        closed.skipped = skipped;
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        self.set_mode(fault_mode::FAULTS_CLOSED)?;
        self.detach();
        self.keep()
    }
}

fn unsupported(reason: &str) -> Error {
    Error::Unsupported {
        probe: PROBE.name,
        reason: reason.to_owned(),
    }
}

/// The faults of all CPUs since boot, as the kernel tells everybody; no bound if it does not.
fn procfs_pgfaults() -> impl Fn() -> u64 {
    || {
        let vmstat = procfs::vmstat().unwrap_or_default();
        vmstat
            .get("pgfault")
            .map_or(u64::MAX, |&count| count.max(0) as u64)
    }
}

/// Faults: a new mapping of so many small pages, each written, and gone again.
fn touch(pages: usize) {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
    let bytes = pages * 4096;
    // SAFETY: a new anonymous mapping, written within its bounds, and no pointer to it is kept.
    unsafe {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let Ok(start) = mmap_anonymous(std::ptr::null_mut(), bytes, protection, MapFlags::PRIVATE)
        else {
            return;
        };
        let _ = madvise(start, bytes, Advice::LinuxNoHugepage);
        for page in 0..pages {
            start.cast::<u8>().add(page * 4096).write_volatile(1);
        }
        let _ = munmap(start, bytes);
    }
}
