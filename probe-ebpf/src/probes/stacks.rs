//! Stacks of watched tasks: where they run, and where they leave their CPU.

use super::{Measure, Probe};
use crate::{
    Error,
    abi::{self, stack_control, stack_count, stack_frames, stack_key},
    cost::ProgramId,
    loader::{How, Loaded},
    perf,
    stack_sample::{Frames, StackCount, StackLosses, StackOptions, TakenStacks},
};
use libbpf_rs::{Iter, Link, MapCore, MapFlags};
use std::{io, io::Read, thread, time::Duration};

/// The clock of each CPU (`include/uapi/linux/perf_event.h`).
const CPU_CLOCK: u64 = 0;
/// Longer than any program runs that was at work when it was detached.
const GRACE: Duration = Duration::from_millis(2);

/// The programs that take them. Not among those that are always there.
pub static PROBE: Probe = Probe {
    name: "stacks",
    object: object!("stacks"),
    hooks: &["tp_btf/sched_switch", "perf_event cpu-clock"],
    map_sizes: &[],
    essential: false,
    measures: &[
        Measure {
            name: "on_cpu_stacks",
            method: "perf software event cpu-clock on each CPU, bpf_get_stack by frame pointers",
        },
        Measure {
            name: "off_cpu_stacks",
            method: "bpf_get_stack by frame pointers at tp_btf/sched_switch, with the growth of the task's books until it is back",
        },
    ],
    start: None,
};

/// The programs, loaded; at work between [`begin`](Self::begin) and [`end`](Self::end).
pub(crate) struct Stacks {
    /// Before the object: dropped first.
    links: Vec<Link>,
    loaded: Loaded,
    options: StackOptions,
    turn: u64,
}

impl Stacks {
    /// Loads them; nothing is attached yet. `owner` has the maps of the watch list.
    pub(crate) fn load(owner: &Loaded, groups: u32, options: &StackOptions) -> Result<Self, Error> {
        let how = How {
            sizes: &[("stacks", options.room)],
            ..How::default()
        };
        Ok(Self {
            links: Vec::new(),
            loaded: Loaded::load_only(&PROBE, Some(owner), groups, &how)?,
            options: *options,
            turn: 0,
        })
    }

    /// Takes stacks from now on.
    pub(crate) fn begin(&mut self) -> Result<(), Error> {
        self.loaded.run(0)?;
        self.set_turn(1)?;
        for event in self.clocks()? {
            let link = self.loaded.attach_to_event("on_stack_tick", event)?;
            self.links.push(link);
        }
        self.links
            .push(self.loaded.attach_program("on_stack_switch")?);
        // Last: from then on all time is counted.
        self.pass("on_stacks_begin")
    }

    /// Tasks have come to the watch that may be asleep already: their time counts from now on too.
    pub(crate) fn added(&self) -> Result<(), Error> {
        match self.links.is_empty() {
            true => Ok(()),
            false => self.pass("on_stacks_added"),
        }
    }

    /// A clock of each CPU that ticks at the rate asked for, and not while the CPU is idle.
    fn clocks(&self) -> Result<Vec<std::os::fd::OwnedFd>, Error> {
        let mut attributes = perf::software(CPU_CLOCK);
        attributes.__bindgen_anon_1.sample_period = self.options.period_ns();
        attributes.set_exclude_idle(1);
        perf::of_each_cpu(&attributes).map_err(|error| Error::Unsupported {
            probe: PROBE.name,
            reason: format!("the kernel gives no cpu-clock: {error}; needs CAP_PERFMON"),
        })
    }

    /// What was seen until a reading before; what is being counted stays for the next.
    pub(crate) fn take(&mut self) -> Result<TakenStacks, Error> {
        // Programs that have begun to count in the turn before are done by the next reading.
        let closed = self.turn;
        self.set_turn(closed + 1)?;
        self.taken(|turn| turn < closed)
    }

    /// Takes no more stacks; returns what was seen and not read yet, the states in progress included.
    pub(crate) fn end(&mut self) -> Result<TakenStacks, Error> {
        self.links.clear();
        thread::sleep(GRACE);
        self.pass("on_stacks_end")?;
        self.taken(|_| true)
    }

    fn taken(&self, turns: impl Fn(u64) -> bool) -> Result<TakenStacks, Error> {
        let of_turn = |key: &stack_key| turns(key.turn.into());
        // Counts first: every stack that they name has been kept by then.
        let counts = self
            .loaded
            .take_all::<_, stack_count>("stack_counts", of_turn)?;
        let stacks = self
            .loaded
            .take_all::<u64, stack_frames>("stacks", |_| true)?;
        Ok(TakenStacks {
            counts: counts
                .iter()
                .map(|(key, count)| StackCount::read(key, count))
                .collect(),
            stacks: stacks
                .iter()
                .map(|(number, frames)| (*number, Frames::read(frames)))
                .collect(),
            losses: StackLosses::sum(&self.loaded.values("stack_losses", 0)?),
        })
    }

    fn set_turn(&mut self, turn: u64) -> Result<(), Error> {
        let budget = u64::from(self.options.budget_hz);
        let control = stack_control {
            interval: 1_000_000_000u64.checked_div(budget).unwrap_or(0),
            turn,
        };
        self.turn = turn;
        self.loaded
            .map("stack_control")
            .update(&0u32.to_ne_bytes(), abi::to_bytes(&control), MapFlags::ANY)
            .map_err(|source| self.loaded.unreadable("stack_control", source))
    }

    /// One pass over all tasks, by the iterator of that name.
    fn pass(&self, program: &'static str) -> Result<(), Error> {
        // Brings the run-queue clock up to date, which the first step of the pass reads.
        rustix::thread::sched_yield();
        let link = self.loaded.attach_program(program)?;
        let failed = |error: libbpf_rs::Error| self.loaded.unreadable(program, error);
        let mut iterator = Iter::new(&link).map_err(failed)?;
        loop {
            // It writes nothing, and ends with its first reading.
            match iterator.read(&mut [0; 64]) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {}
                Err(error) => return Err(failed(io::Error::into(error))),
            }
        }
    }

    /// The kernel's ids of its programs.
    pub(crate) fn programs(&self) -> Vec<ProgramId> {
        self.loaded.programs()
    }
}
