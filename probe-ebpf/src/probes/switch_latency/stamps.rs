//! Times switches by stamps of programs at both ends, where the kernel has hooks there.

use super::{PROBE, books::Books, recorder::PART};
use crate::{
    Error,
    abi::{self, stamp_counts, switch_record},
    kernel_types::KernelTypes,
    loader::{How, Loaded},
    probes::{Context, MapSize, Probe},
    tracing::{self, Tier},
    windows::{Windowed, Windows},
};
use libbpf_rs::{Link, MapCore, MapFlags, RingBuffer, RingBufferBuilder};
use std::{
    fs,
    sync::{Arc, Mutex, PoisonError},
};

/// The programs, in an object of their own.
static OBJECT: Probe = Probe {
    object: object!("switch_stamps"),
    map_sizes: &[MapSize {
        map: "switch_records",
        entries: |_| records_bytes(),
    }],
    start: None,
    ..PROBE
};

/// Bytes for records of switches: of 8,192 on each CPU, each with a header of 8, up to some hundred
/// CPUs. A power of two, as the kernel wants it.
fn records_bytes() -> u32 {
    const EACH: u32 = 8_192 * (size_of::<switch_record>() as u32 + 8);
    let cpus = libbpf_rs::num_possible_cpus().map_or(1, |cpus| cpus.clamp(1, 64) as u32);
    (cpus * EACH).next_power_of_two()
}

/// Where a switch is seen to end. What is surer comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// A tracepoint as the one at the beginning is, so that the share of both is known.
    SchedExit,
    /// Of a kprobe only the time on an empty function is known.
    FinishTaskSwitch,
}

impl End {
    const ALL: [Self; 2] = [Self::SchedExit, Self::FinishTaskSwitch];

    fn hook(self) -> &'static str {
        match self {
            Self::SchedExit => "tp_btf/sched_exit_tp",
            Self::FinishTaskSwitch => "kprobe/finish_task_switch",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::SchedExit => "on_returned",
            Self::FinishTaskSwitch => "on_finished",
        }
    }

    /// The programs of other ends.
    fn without(self) -> &'static [&'static str] {
        match self {
            Self::SchedExit => &["on_finished", ON_NOTHING[0], ON_NOTHING[1], CALL_NOTHING],
            Self::FinishTaskSwitch => &["on_returned"],
        }
    }

    /// Without it there is no need to try. Fentry lets us call empty functions.
    fn is_likely(self) -> bool {
        match self {
            Self::SchedExit => KernelTypes::of_this_kernel()
                .is_ok_and(|types| types.has_tracepoint("sched_exit_tp")),
            Self::FinishTaskSwitch => tracing::tier() == Tier::Fentry,
        }
    }

    fn method(self) -> &'static str {
        match self {
            Self::SchedExit => {
                "time from tp_btf/sched_switch to tp_btf/sched_exit_tp on the same CPU, in windows; \
                 less that between two programs at sched_switch, taken at each switch"
            }
            Self::FinishTaskSwitch => {
                "time from tp_btf/sched_switch to kprobe/finish_task_switch on the same CPU, in windows; \
                 less half of that between two programs at sched_switch, taken at each switch, and \
                 half of that between kprobes on two empty functions, taken at the start"
            }
        }
    }
}

const ON_NOTHING: [&str; 2] = ["on_nothing", "on_nothing_again"];
const CALL_NOTHING: &str = "call_nothing";
/// How often the time on nothing is taken, for a median.
const TAKEN: usize = 101;

/// What runs in the windows.
pub(super) struct Stamps {
    /// In the order in which they are detached; before the object.
    links: Vec<Link>,
    records: RingBuffer<'static>,
    loaded: Loaded,
    end: End,
    /// What the compiler calls `finish_task_switch`, if that is the end.
    finish: Option<String>,
    books: Arc<Mutex<Books>>,
    parts: u32,
}

impl Stamps {
    /// Loads the programs, with the best end that works here.
    pub(super) fn load(context: &Context<'_>, books: &Arc<Mutex<Books>>) -> Result<Self, Error> {
        let mut refused = Error::Unsupported {
            probe: PROBE.name,
            reason: "the kernel has no hook at the end of a switch".into(),
        };
        for end in End::ALL {
            if context.options.without.contains(&end.hook()) || !end.is_likely() {
                continue;
            }
            match Self::load_with(context, books, end) {
                Ok(stamps) => return Ok(stamps),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn load_with(
        context: &Context<'_>,
        books: &Arc<Mutex<Books>>,
        end: End,
    ) -> Result<Self, Error> {
        let finish = match end {
            End::SchedExit => None,
            End::FinishTaskSwitch => Some(finish_task_switch()?),
        };
        let how = How {
            without: end.without(),
            ..How::default()
        };
        let loaded = Loaded::load_only(&OBJECT, Some(context.owner), context.groups, &how)?;
        let share = Share::of(end, &loaded)?;
        let window = Windows::length(context.options.switch_share);
        let parts = window.as_micros().div_ceil(PART.as_micros());
        let mut stamps = Self {
            links: Vec::new(),
            records: fetch(&loaded, books.clone(), share)?,
            loaded,
            end,
            finish,
            books: books.clone(),
            parts: u32::try_from(parts).unwrap_or(1).max(1),
        };
        // What cannot be attached is said at once.
        stamps.open()?;
        stamps.close()?;
        Ok(stamps)
    }

    pub(super) fn program_ids(&self) -> Vec<u32> {
        self.loaded.program_ids()
    }

    pub(super) fn method(&self) -> &'static str {
        self.end.method()
    }

    /// The end is attached first and detached last: no switch is left without one.
    fn attach(&mut self) -> Result<(), Error> {
        self.forget()?;
        let end = self.attach_end()?;
        for program in ["on_decided", "on_stamped"] {
            let link = self.loaded.attach_program(program)?;
            self.links.push(link);
        }
        self.links.push(end);
        Ok(())
    }

    fn attach_end(&self) -> Result<Link, Error> {
        let program = self.end.program();
        match &self.finish {
            None => self.loaded.attach_program(program),
            Some(function) => self
                .loaded
                .attach_by(program, |program| program.attach_kprobe(false, function)),
        }
    }

    /// What was under way when the last window closed is no more.
    fn forget(&self) -> Result<(), Error> {
        let map = self.loaded.map("under_way");
        let cpus = libbpf_rs::num_possible_cpus();
        let nothing = cpus.map(|cpus| vec![vec![0; map.value_size() as usize]; cpus]);
        nothing
            .and_then(|nothing| map.update_percpu(&0u32.to_ne_bytes(), &nothing, MapFlags::ANY))
            .map_err(|source| self.loaded.unreadable("under_way", source))
    }

    /// Takes in what was recorded so far, and what was not.
    fn enter(&self) -> Result<(), Error> {
        self.records
            .consume()
            .map_err(|source| self.loaded.unreadable("switch_records", source))?;
        let counts = self.loaded.values::<stamp_counts>("stamp_counts", 0)?;
        let skipped = self.loaded.skipped()?.count;
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        books.lost = skipped + counts.iter().map(|cpu| cpu.no_room).sum::<u64>();
        books.unmatched = counts.iter().map(|cpu| cpu.unmatched).sum();
        Ok(())
    }
}

impl Windowed for Stamps {
    fn open(&mut self) -> Result<(), Error> {
        if self.links.is_empty() {
            self.attach()?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        self.links.clear();
        self.enter()
    }

    fn parts(&self) -> u32 {
        self.parts
    }

    fn turn(&mut self, _part: u32) -> Result<(), Error> {
        self.enter()
    }
}

/// The share of the stamps in the time of a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    /// All that lies between two programs at the beginning.
    OfStamps,
    /// Half of it, and this for the end.
    HalfAnd(u64),
}

impl Share {
    fn of(end: End, loaded: &Loaded) -> Result<Self, Error> {
        match end {
            End::SchedExit => Ok(Self::OfStamps),
            End::FinishTaskSwitch => Ok(Self::HalfAnd(on_nothing_ns(loaded)? / 2)),
        }
    }

    fn ns(self, record: &switch_record) -> u64 {
        let own_ns = u64::from(record.own_ns);
        match self {
            Self::OfStamps => own_ns,
            Self::HalfAnd(end_ns) => own_ns / 2 + end_ns,
        }
    }
}

/// From a kprobe on one empty function to that on the next: the median.
fn on_nothing_ns(loaded: &Loaded) -> Result<u64, Error> {
    let attached = ON_NOTHING.map(|program| loaded.attach_program(program));
    let attached: Vec<Link> = attached.into_iter().collect::<Result<_, _>>()?;
    let mut taken = Vec::new();
    while taken.len() < TAKEN {
        loaded.run_on_nothing(CALL_NOTHING)?;
        // Of the CPU it ran on; the others have what was taken there before, or nothing yet.
        let counts = loaded.values::<stamp_counts>("stamp_counts", 0)?;
        let last = counts.iter().max_by_key(|cpu| cpu.on_nothing_began);
        taken.extend(last.map(|cpu| cpu.on_nothing_ns));
    }
    drop(attached);
    taken.sort_unstable();
    match taken[TAKEN / 2] {
        0 => Err(Error::Unsupported {
            probe: PROBE.name,
            reason: "kprobes on empty functions of the kernel were not entered".into(),
        }),
        ns => Ok(ns),
    }
}

/// The kernel's name of it: compilers append to that of a function whose arguments they change.
fn finish_task_switch() -> Result<String, Error> {
    const NAME: &str = "finish_task_switch";
    let symbols = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let names = symbols.lines().filter_map(|line| line.split(' ').nth(2));
    // Code that is seldom run is split off under such a name too.
    let whole = |name: &&str| {
        name.strip_prefix(NAME).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with(".isra") && !rest.contains("cold")
        })
    };
    let mut found = names.filter(whole);
    found.next().map(str::to_owned).ok_or(Error::Unsupported {
        probe: PROBE.name,
        reason: format!("the kernel has no function {NAME}"),
    })
}

fn fetch(
    loaded: &Loaded,
    books: Arc<Mutex<Books>>,
    share: Share,
) -> Result<RingBuffer<'static>, Error> {
    let map = loaded.handle("switch_records")?;
    let each = move |bytes: &[u8]| {
        if let Some(record) = abi::from_bytes::<switch_record>(bytes) {
            let mut books = books.lock().unwrap_or_else(PoisonError::into_inner);
            books.add_stamped(&record, share.ns(&record));
        }
        0
    };
    let mut builder = RingBufferBuilder::new();
    let added = builder.add(&map, each).map(drop);
    added
        .and_then(|()| builder.build())
        .map_err(|source| loaded.unreadable("switch_records", source))
}
