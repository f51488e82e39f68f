//! What watched tasks do, one by one: switches, creations, shootdowns. Loaded if it is asked for, and attached from
//! [`Timeline::begin`] to [`Timeline::end`] only.

mod reading;

use super::{Context, MapSize, Measure, Part, Probe};
use crate::{
    Error,
    abi::{control, timeline_counts},
    iterate::iterate_by,
    kernel_types::KernelTypes,
    loader::{How, Loaded},
    sample::{GroupSample, Loss, timeline::Events},
    watch::Assignment,
};
use libbpf_rs::{Link, RingBuffer, RingBufferBuilder};
use reading::Reading;
use std::{
    collections::HashSet,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

const NAME: &str = "timeline";

/// The programs that hand over single events.
pub static PROBE: Probe = Probe {
    name: NAME,
    object: object!("timeline"),
    hooks: &[
        "tp_btf/sched_switch",
        "tp_btf/sched_exit_tp (where the kernel has it)",
        "tp_btf/task_newtask",
        "tp_btf/tlb_flush",
        "iter/task",
    ],
    // What is given as the number of groups is the room, see below.
    map_sizes: &[MapSize {
        map: "timeline_records",
        entries: |bytes| bytes,
    }],
    essential: false,
    measures: &[Measure {
        name: NAME,
        method: WITHOUT_GAPS,
    }],
    start: Some(|context| match context.options.timeline_bytes {
        Some(bytes) => Ok(Box::new(Timeline::load(context, bytes)?)),
        None => Ok(Box::new(NotAskedFor)),
    }),
};

const WITH_GAPS: &str = "a record of each switch-out with the task's books as of then, tp_btf/sched_switch; \
                         gaps of switches to tp_btf/sched_exit_tp, less those between two programs at sched_switch; \
                         tp_btf/task_newtask; tp_btf/tlb_flush of reasons 1 and 4";
const WITHOUT_GAPS: &str = "a record of each switch-out with the task's books as of then, tp_btf/sched_switch; no gaps \
                            of switches, since the kernel has no tp_btf/sched_exit_tp; tp_btf/task_newtask; \
                            tp_btf/tlb_flush of reasons 1 and 4";

/// For lack of room.
pub const NO_ROOM: &str = "events of the timeline for which there was no room";
/// Behind the books.
pub const NOT_BOOKED: &str = "switches left out of the timeline, since their books were not kept";

const GAP_HOOK: &str = "sched_exit_tp";
const GAP_PROGRAMS: &[&str] = &["on_switch_stamped", "on_switch_over"];
const STANDING: &str = "on_standing";

/// Room for 16,384 switches on each CPU, up to 32 of them. It is emptied some twenty times in a second.
#[must_use]
pub fn ring_bytes() -> u32 {
    const EACH: u32 = 16_384 * 128;
    let cpus = libbpf_rs::num_possible_cpus().map_or(1, |cpus| cpus.clamp(2, 32) as u32);
    (cpus * EACH).next_power_of_two()
}

/// In place of it, where nobody wants it.
struct NotAskedFor;

impl Part for NotAskedFor {
    fn read(&mut self, _groups: &mut [GroupSample]) -> Result<Vec<Loss>, Error> {
        Ok(Vec::new())
    }

    fn program_ids(&self) -> Vec<u32> {
        Vec::new()
    }

    fn measures(&self) -> Vec<Measure> {
        Vec::new()
    }
}

/// The programs, and what they have handed over.
pub struct Timeline {
    /// Those attached; before the object. None outside of a timeline.
    links: Vec<Link>,
    standing: Link,
    ring: RingBuffer<'static>,
    loaded: Loaded,
    reading: Arc<Mutex<Reading>>,
    with_gaps: bool,
    /// Tasks are watched of which nothing is known yet.
    newcomers: bool,
}

impl Timeline {
    fn load(context: &Context<'_>, bytes: u32) -> Result<Self, Error> {
        let with_gaps = !context.options.without.contains(&GAP_HOOK)
            && KernelTypes::of_this_kernel().is_ok_and(|types| types.has_tracepoint(GAP_HOOK));
        let how = How {
            without: if with_gaps { &[] } else { GAP_PROGRAMS },
            ..How::default()
        };
        let loaded = Loaded::load_only(&PROBE, Some(context.owner), bytes, &how)?;
        let reading = Arc::new(Mutex::new(Reading::default()));
        Ok(Self {
            links: Vec::new(),
            standing: loaded.attach_program(STANDING)?,
            ring: into_reading(&loaded, reading.clone())?,
            loaded,
            reading,
            with_gaps,
            newcomers: true,
        })
    }

    /// Begins: from now on events are handed over, and are to be [taken](Self::take) before there is no more room for
    /// them.
    ///
    /// # Errors
    /// If the kernel refuses to attach a program.
    pub fn begin(&mut self) -> Result<(), Error> {
        let pass = self.loaded.value::<control>("control", 0)?;
        self.with(|reading| reading.begin(pass.base_clock, pass.base_time));
        let mut programs = vec!["on_creation", "on_shootdown", "on_switch"];
        if self.with_gaps {
            programs.extend(GAP_PROGRAMS);
        }
        for program in programs {
            let link = self.loaded.attach_program(program)?;
            self.links.push(link);
        }
        Ok(())
    }

    /// What is known of tasks between two switches will be among the events that are taken next.
    pub fn look(&mut self) {
        self.newcomers = true;
    }

    /// What has been handed over since the last time, at most as much as there is room for.
    ///
    /// # Errors
    /// If the kernel refuses to be read.
    pub fn take(&mut self) -> Result<Events, Error> {
        let consumed = self.ring.consume();
        consumed.map_err(|source| self.loaded.unreadable("timeline_records", source))?;
        if mem::take(&mut self.newcomers) {
            iterate_by(&self.standing, &self.loaded, STANDING, |record| {
                self.with(|reading| reading.standing(record));
            })?;
        }
        Ok(self.with(Reading::take))
    }

    /// Ends: nothing is handed over any more; what was is to be taken.
    pub fn end(&mut self) {
        self.links.clear();
    }

    fn with<T>(&self, job: impl FnOnce(&mut Reading) -> T) -> T {
        job(&mut self.reading.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Part for Timeline {
    fn read(&mut self, _groups: &mut [GroupSample]) -> Result<Vec<Loss>, Error> {
        let counts = self
            .loaded
            .values::<timeline_counts>("timeline_counts", 0)?;
        let sum = |of: fn(&timeline_counts) -> u64| counts.iter().map(of).sum();
        Ok(vec![
            self.loaded.loss(NO_ROOM, sum(|cpu| cpu.no_room)),
            self.loaded.loss(NOT_BOOKED, sum(|cpu| cpu.not_booked)),
            self.loaded.skipped()?,
        ])
    }

    fn added(
        &mut self,
        _process: &Assignment,
        _with_descendants: &HashSet<u32>,
    ) -> Vec<crate::sample::Unavailable> {
        self.look();
        Vec::new()
    }

    fn program_ids(&self) -> Vec<u32> {
        self.loaded.program_ids()
    }

    fn measures(&self) -> Vec<Measure> {
        let method = match self.with_gaps {
            true => WITH_GAPS,
            false => WITHOUT_GAPS,
        };
        vec![Measure { name: NAME, method }]
    }

    fn timeline(&mut self) -> Option<&mut Timeline> {
        Some(self)
    }
}

/// The ring, read by [`Reading`].
fn into_reading(
    loaded: &Loaded,
    reading: Arc<Mutex<Reading>>,
) -> Result<RingBuffer<'static>, Error> {
    let map = loaded.handle("timeline_records")?;
    let each = move |bytes: &[u8]| {
        reading
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .record(bytes);
        0
    };
    let mut builder = RingBufferBuilder::new();
    let added = builder.add(&map, each).map(drop);
    added
        .and_then(|()| builder.build())
        .map_err(|source| loaded.unreadable("timeline_records", source))
}
