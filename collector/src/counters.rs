//! Perf counters of targets, where they are asked for: opened once, read with each snapshot.

use crate::{
    errors::in_words,
    limits::{SPARE_DESCRIPTORS, raise_open_files, too_few_files},
    snapshot::{
        Unavailable,
        counters::{Counters as Counted, Reading},
    },
};
use probe_ebpf::counters::{Counters, Refused, Source};
use std::collections::HashSet;

/// The measures of the two sources, by their names in the report.
const MEASURES: [(Source, &str); 2] = [
    (Source::Software, "software_counters"),
    (Source::Hardware, "hardware_counters"),
];

/// Whether the events of each source can be counted here, by its name in the report; tried on this process.
pub fn check() -> [(&'static str, Result<(), Refused>); 2] {
    MEASURES.map(|(source, measure)| {
        let opened = Counters::open(source, &[std::process::id()]);
        (measure, opened.map(drop))
    })
}

/// The counters of one target.
pub struct TargetCounters {
    /// In the order of [`MEASURES`].
    sources: [Option<Counters>; 2],
    threads: HashSet<u32>,
    uncertain_tasks: u64,
}

impl TargetCounters {
    /// Opens them for these threads; says which measures there are none for.
    pub fn open(threads: HashSet<u32>) -> (Self, Vec<Unavailable>) {
        let mut lacking = Vec::new();
        let ids: Vec<u32> = threads.iter().copied().collect();
        let sources = MEASURES.map(|(source, measure)| {
            let opened = enough_files(source, ids.len())
                .and_then(|()| Counters::open(source, &ids).map_err(|refused| refused.to_string()));
            let unavailable = |reason| lacking.push(missing(measure, reason));
            opened.map_err(unavailable).ok()
        });
        let counters = Self {
            sources,
            threads,
            uncertain_tasks: 0,
        };
        (counters, lacking)
    }

    /// Takes down which threads are there now that all counters are open: of those that were not
    /// there before, nobody knows whether what created them had its counters already.
    pub fn opened(&mut self, threads: &HashSet<u32>) {
        self.uncertain_tasks = threads.difference(&self.threads).count() as u64;
    }

    /// What they have counted; a source that cannot be read is given up.
    pub fn read(&mut self) -> (Counted, Vec<Unavailable>) {
        let mut lacking = Vec::new();
        let mut read = |place: usize| {
            let counters = self.sources[place].as_mut()?;
            let reason = match counters.read() {
                Ok(readings) => {
                    return Some(readings.into_iter().map(|r| r.map(reading)).collect());
                }
                Err(error) => format!("cannot read perf counters: {}", in_words(&error)),
            };
            lacking.push(missing(MEASURES[place].1, reason));
            self.sources[place] = None;
            None
        };
        let counted = Counted {
            software: read(0),
            hardware: read(1),
            uncertain_tasks: self.uncertain_tasks,
        };
        (counted, lacking)
    }
}

fn reading(read: probe_ebpf::counters::Reading) -> Reading {
    Reading {
        count: read.count,
        enabled_ns: read.enabled_ns,
        running_ns: read.running_ns,
    }
}

fn missing(measure: &str, reason: String) -> Unavailable {
    Unavailable {
        measure: measure.into(),
        reason,
    }
}

/// Whether there is room for a descriptor for each event of each thread.
fn enough_files(source: Source, threads: usize) -> Result<(), String> {
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as u64;
    let needed = open + Counters::needed(source, threads) as u64 + SPARE_DESCRIPTORS;
    let limit = raise_open_files();
    if needed <= limit {
        return Ok(());
    }
    let what = format!("count the events of {threads} tasks, each with a descriptor of its own");
    Err(too_few_files(&what, limit, needed))
}
