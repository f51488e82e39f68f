//! Direct latency of context switches: from the record of one task leaving a CPU to that of the
//! next one coming to it, in windows.
//!
//! The instrument sits inside what it measures: a record is written before the switch, and another
//! after it. So switches are recorded by one, two and three events in turn; the report takes the
//! three lines of medians back to none.
//!
//! An event that is open costs each switch of the host a look, even if it is off. So events are
//! opened with a window and closed with it; the rings they record into stay.

mod books;
mod event;
mod identities;
mod pairs;
mod recorder;

use super::{Context, Measure, Part, Probe};
use crate::{
    Error,
    loader::Loaded,
    sample::{GroupSample, Loss, WindowTime},
    windows::Windows,
};
use books::Books;
use identities::Identities;
use recorder::Recorder;
use std::sync::{Arc, Mutex, PoisonError};

/// Perf's context-switch records, and the iterator that says of whom they are.
pub static PROBE: Probe = Probe {
    name: "switch_latency",
    object: object!("switch_latency"),
    hooks: &["iter/task"],
    map_sizes: &[],
    essential: false,
    measures: &[Measure {
        name: "switch_latency",
        method: "time from perf's context-switch record of the task that leaves a CPU to that of the one that comes, recorded by 1, 2 and 3 events in turn, in windows; tasks by iter/task",
    }],
    start: Some(start),
};

/// Records of the task that left and of the one that came did not belong together.
pub const UNMATCHED: &str = "context-switch records without their match";
/// The ring was full.
pub const LOST: &str = "context-switch records for which there was no room";
/// The iterator found them no more.
pub const UNRESOLVED: &str = "switches of tasks that had ended before it was known whose they were";

struct Latency {
    windows: Windows,
    time: Option<WindowTime>,
    books: Arc<Mutex<Books>>,
    programs: Vec<u32>,
}

fn start(context: &Context<'_>) -> Result<Box<dyn Part>, Error> {
    let program = Loaded::load(&PROBE, Some(context.owner), context.groups)?;
    let programs = program.program_ids();
    let books = Arc::new(Mutex::new(Books::new(context.groups)));
    let share = context.options.switch_share;
    let window = Windows::length(share);
    let recorder = Recorder::new(Identities::new(program), books.clone(), window)?;
    Ok(Box::new(Latency {
        windows: Windows::start(PROBE.name, share, recorder)?,
        time: None,
        books,
        programs,
    }))
}

impl Part for Latency {
    fn read(&mut self, groups: &mut [GroupSample]) -> Result<Vec<Loss>, Error> {
        self.time = Some(self.windows.time(PROBE.name)?);
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        books.copy_to(groups);
        Ok(books.losses())
    }

    fn program_ids(&self) -> Vec<u32> {
        self.programs.clone()
    }

    fn measures(&self) -> Vec<Measure> {
        PROBE.measures.to_vec()
    }

    fn window(&self) -> Option<WindowTime> {
        self.time.clone()
    }
}
