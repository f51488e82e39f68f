//! Records the switches of all CPUs with one, two and three events in turn, those of others among them.

use super::{
    books::Books,
    event::{Event, Ring, failed, unlisted},
    identities::Identities,
    pairs::{Gap, Pairs},
};
use crate::{Error, perf, windows::Windowed};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// So many events record a switch at most, ours and others' together, as long as two can be ours: each
/// adds the same to it. A fourth was seen to add a fifth more on some hosts, which bends the line.
pub(super) const EVENTS: u32 = 3;
/// It takes so many to tell what one adds.
const LEAST: u32 = 2;
/// Bytes of records kept for each CPU: of 8,192 switches, the most of 27 ms at 300,000 a second.
const RING: usize = 512 * 1024;
/// Bytes for the records of the other events, which nobody reads. Rings of their own, as large as the
/// one that is read, were seen to cost them the same.
const SPARE_RING: usize = 64 * 1024;
/// Parts of a window are no longer than this, so that rings are emptied in time.
pub(super) const PART: Duration = Duration::from_millis(10);

/// What runs in the windows.
pub(super) struct Recorder {
    cpus: Vec<Cpu>,
    identities: Identities,
    books: Arc<Mutex<Books>>,
    parts: u32,
    /// Windows so far: each begins with another number of events.
    windows: u32,
}

impl Recorder {
    /// One for the windows of such a length.
    pub(super) fn new(
        identities: Identities,
        books: Arc<Mutex<Books>>,
        window: Duration,
    ) -> Result<Self, Error> {
        let cpus = perf::online_cpus().map_err(|error| unlisted(&error))?;
        let rounds = window.as_micros().div_ceil((PART * EVENTS).as_micros());
        Ok(Self {
            cpus: cpus.into_iter().map(Cpu::new).collect::<Result<_, _>>()?,
            identities,
            books,
            parts: EVENTS * u32::try_from(rounds).unwrap_or(1).max(1),
            windows: 0,
        })
    }

    /// Whose turn it is in a part of this window, of one event, of two, of three.
    fn turn_of(&self, part: u32) -> u32 {
        self.windows.wrapping_add(part)
    }

    /// Takes in what the CPUs have shown.
    fn enter(&mut self, gaps: &[Gap], lost: u64, unmatched: u64) -> Result<(), Error> {
        if !gaps.is_empty() {
            self.identities.look_up(gaps)?;
        }
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        for gap in gaps {
            let (left, came) = (self.identities.of(gap.left), self.identities.of(gap.came));
            books.add(gap, left, came);
        }
        books.lost += lost;
        books.unmatched += unmatched;
        Ok(())
    }

    /// Does this to each CPU, and takes in what it then shows.
    fn each_cpu(
        &mut self,
        mut step: impl FnMut(&mut Cpu, &Identities, &mut Vec<Gap>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (mut gaps, mut lost, mut unmatched) = (Vec::new(), 0, 0);
        for cpu in &mut self.cpus {
            step(cpu, &self.identities, &mut gaps)?;
            lost += cpu.newly_lost();
            unmatched += std::mem::take(&mut cpu.pairs.unmatched);
        }
        self.enter(&gaps, lost, unmatched)
    }
}

impl Windowed for Recorder {
    fn open(&mut self) -> Result<(), Error> {
        self.identities.forget();
        self.windows = self.windows.wrapping_add(1);
        let turn = self.turn_of(0);
        self.each_cpu(|cpu, identities, _| cpu.open(turn, identities))
    }

    fn close(&mut self) -> Result<(), Error> {
        self.each_cpu(|cpu, _, gaps| cpu.close(gaps))
    }

    fn parts(&self) -> u32 {
        self.parts
    }

    fn turn(&mut self, part: u32) -> Result<(), Error> {
        if part == 0 {
            self.identities.forget();
        }
        let turn = self.turn_of(part);
        self.each_cpu(|cpu, identities, gaps| cpu.turn(turn, identities, gaps))
    }
}

/// The events and rings of one CPU.
struct Cpu {
    number: u32,
    ring: Ring,
    spare_ring: Ring,
    /// While a window is open: the first is read, the others only take their time.
    events: Vec<Event>,
    /// How many of them record.
    recording: u32,
    /// How many of others did when last counted, as `perf record` opens them.
    others: u32,
    pairs: Pairs,
    /// Records lost since the events were opened, and how many of these were reported.
    lost: u64,
    lost_reported: u64,
}

impl Cpu {
    fn new(number: u32) -> Result<Self, Error> {
        Ok(Self {
            number,
            ring: Ring::to_read(number, RING)?,
            spare_ring: Ring::to_overwrite(number, SPARE_RING)?,
            events: Vec::new(),
            recording: 0,
            others: 0,
            pairs: Pairs::default(),
            lost: 0,
            lost_reported: 0,
        })
    }

    /// Opens the events and lets so many record.
    ///
    /// The kernel writes the record of the newest event first. The one that is read is opened last:
    /// so the records of all others, those of other programs too, are written between its two as the
    /// task leaves, one after another, and each takes the same time. Written as the next task comes,
    /// the first of them was seen to take a quarter less.
    fn open(&mut self, turn: u32, identities: &Identities) -> Result<(), Error> {
        self.ring.read_to(self.ring.head(), |_| {});
        self.pairs.begin();
        (self.lost, self.lost_reported) = (0, 0);
        self.recording = 0;
        for number in (0..EVENTS).rev() {
            let ring = if number == 0 {
                &self.ring
            } else {
                &self.spare_ring
            };
            let Some(event) = Event::recording(self.number, ring)? else {
                self.events.clear();
                return Ok(());
            };
            self.events.insert(0, event);
        }
        self.count_others(identities)?;
        self.record(turn)
    }

    /// Closes the events, so that nothing looks for them at a switch, and reads what they recorded.
    fn close(&mut self, gaps: &mut Vec<Gap>) -> Result<(), Error> {
        let recording = self.recording + self.others;
        if let Some(first) = self.events.first() {
            first
                .disable()
                .map_err(|error| failed(self.number, &error))?;
        }
        self.read(Some(recording), gaps);
        self.count_lost()?;
        self.events.clear();
        Ok(())
    }

    /// Goes on with another number of events. Switches recorded while it changes have no number.
    fn turn(
        &mut self,
        turn: u32,
        identities: &Identities,
        gaps: &mut Vec<Gap>,
    ) -> Result<(), Error> {
        let before = self.recording + self.others;
        // Most in a first reading, the few that came meanwhile in a second.
        self.read(Some(before), gaps);
        self.read(Some(before), gaps);
        self.count_others(identities)?;
        self.record(turn)?;
        self.read(None, gaps);
        self.count_lost()
    }

    fn count_others(&mut self, identities: &Identities) -> Result<(), Error> {
        if let Some(first) = self.events.first() {
            let all = identities.recording_with(first)?;
            self.others = all.saturating_sub(self.recording);
        }
        Ok(())
    }

    /// Lets as many events record as its turn is. The first, which is read, begins last and then stays on.
    fn record(&mut self, turn: u32) -> Result<(), Error> {
        let recording = 1 + turn % EVENTS.saturating_sub(self.others).max(LEAST);
        for (number, event) in self.events.iter().enumerate().rev() {
            let number = number as u32;
            let done = match (number < self.recording, number < recording) {
                (false, true) => event.enable(),
                (true, false) => event.disable(),
                _ => Ok(()),
            };
            done.map_err(|error| failed(self.number, &error))?;
        }
        self.recording = recording;
        Ok(())
    }

    fn read(&mut self, recording: Option<u32>, gaps: &mut Vec<Gap>) {
        let Self { ring, pairs, .. } = self;
        ring.read_to(ring.head(), |record| {
            gaps.extend(pairs.take(record, recording))
        });
    }

    fn count_lost(&mut self) -> Result<(), Error> {
        if let Some(first) = self.events.first() {
            self.lost = first.lost().map_err(|error| failed(self.number, &error))?;
        }
        Ok(())
    }

    fn newly_lost(&mut self) -> u64 {
        let new = self.lost - self.lost_reported;
        self.lost_reported = self.lost;
        new
    }
}
