//! Context switches: a token goes back and forth between two threads, or two processes, on one CPU.
//!
//! One way is a write, a switch and a read. The same write and read in one task, through a pipe to
//! itself, is the harness; what is left is the switch, going to sleep and waking up included. With a
//! working set each side goes over an array of its own between two switches, and so does the
//! harness: what is left then holds the misses that the switch causes (Li, Ding and Shen, 2007).

use super::{
    child::Child,
    counted::instructions,
    mapping::{Mapping, PAGE, Pages, context_switches, context_switches_of_children},
    placement::{let_wakers_go_on, pin_home},
    sampling::{Batch, Harness, Pass, Sampled},
    stopwatch::{Stopwatch, Took},
    token::{GO, Pipe, STOP},
    worker::{Bench, Variant},
};
use anyhow::Result;
use std::{fs, thread};

/// Who passes the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sides {
    Threads,
    Processes,
}

/// What is gone over between two switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WorkingSet {
    bytes: usize,
    stride: usize,
}

const NO_SET: WorkingSet = WorkingSet {
    bytes: 0,
    stride: 1,
};
/// Each cache line; and one line of each page, another one each time so that they do not fall into
/// the same set of the cache: TLB entries rather than lines.
const STRIDES: [usize; 2] = [64, PAGE + 64];
/// Working sets that fit the caches of any CPU in use; beyond come multiples of its L2 cache.
const SMALL_SETS: [usize; 4] = [4 << 10, 16 << 10, 64 << 10, 256 << 10];
const L2_MULTIPLES: [usize; 3] = [1, 2, 4];
/// Where the kernel does not say how large it is.
const USUAL_L2: usize = 1 << 20;

pub(crate) fn thread_round_trip(bench: &mut Bench) -> Result<()> {
    round_trip(bench, Sides::Threads)
}

pub(crate) fn process_round_trip(bench: &mut Bench) -> Result<()> {
    round_trip(bench, Sides::Processes)
}

pub(crate) fn thread_switch(bench: &mut Bench) -> Result<()> {
    over_working_sets(bench, Sides::Threads)
}

pub(crate) fn process_switch(bench: &mut Bench) -> Result<()> {
    over_working_sets(bench, Sides::Processes)
}

fn round_trip(bench: &mut Bench, sides: Sides) -> Result<()> {
    let found = ping_pong(bench, sides, &[NO_SET], Part::RoundTrip)?;
    for (_, switches, sampled) in found {
        let variant =
            Variant::new("pipe, one CPU").observed("switches_per_operation", switches.each());
        bench.tell(variant, sampled)?;
    }
    Ok(())
}

fn over_working_sets(bench: &mut Bench, sides: Sides) -> Result<()> {
    let mut sets = vec![NO_SET];
    let sizes = set_sizes(l2_bytes());
    sets.extend(STRIDES.iter().flat_map(|&stride| {
        let larger = sizes.iter().filter(move |&&bytes| bytes > stride);
        larger.map(move |&bytes| WorkingSet { bytes, stride })
    }));
    for (set, switches, sampled) in ping_pong(bench, sides, &sets, Part::Switch)? {
        bench.tell(variant(set, switches), sampled)?;
    }
    Ok(())
}

fn variant(set: WorkingSet, switches: Switches) -> Variant {
    let name = match set.bytes {
        0 => "no working set".to_owned(),
        bytes => format!("{} KiB by {} B", bytes >> 10, set.stride),
    };
    let variant = Variant::new(name)
        .with("working_set_bytes", set.bytes as f64)
        .observed("switches_per_operation", switches.each());
    let variant = match switches.instructions {
        Some(instructions) => variant.observed("instructions_per_operation", instructions),
        None => variant,
    };
    match set.bytes {
        0 => variant,
        _ => variant.with("stride_bytes", set.stride as f64),
    }
}

fn set_sizes(l2: usize) -> Vec<usize> {
    let multiples = L2_MULTIPLES.iter().map(|multiple| multiple * l2);
    let mut sizes: Vec<_> = SMALL_SETS.iter().copied().chain(multiples).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// The size of the first CPU's L2 cache.
fn l2_bytes() -> usize {
    let caches = fs::read_dir("/sys/devices/system/cpu/cpu0/cache");
    let caches = caches.into_iter().flatten().flatten();
    let told = |path: std::path::PathBuf| fs::read_to_string(path).unwrap_or_default();
    let found = caches
        .map(|cache| cache.path())
        .find(|cache| told(cache.join("level")).trim() == "2");
    let size = found.map(|cache| told(cache.join("size")));
    let kilobytes = size.and_then(|size| size.trim().strip_suffix('K')?.parse::<usize>().ok());
    kilobytes.map_or(USUAL_L2, |kilobytes| kilobytes << 10)
}

/// The pipes between two sides.
struct Pipes {
    there: Pipe,
    back: Pipe,
}

/// What is an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// There and back.
    RoundTrip,
    /// One way, less the work besides the switch.
    Switch,
}

/// The side that calls and measures.
struct Near<'a> {
    pipes: &'a Pipes,
    own: Pipe,
    memory: Mapping,
    set: WorkingSet,
    part: Part,
    stopwatch: Stopwatch,
    /// Switches of this process there and back: of threads both sides'.
    counted_each_time: u64,
    switches: Switches,
}

/// Switches that the kernel counted, in how many operations; of processes each side's are counted
/// apart, those of the other side when it ends.
#[derive(Clone, Copy, Debug, Default)]
struct Switches {
    count: u64,
    operations: u64,
    /// Instructions of a switch by itself, of the first working set.
    instructions: Option<f64>,
}

/// Switches there and back whose instructions are counted.
const COUNTED: u64 = 2_000;

impl Switches {
    fn each(self) -> f64 {
        self.count as f64 / self.operations as f64
    }
}

impl Pipes {
    fn new() -> Result<Self> {
        Ok(Self {
            there: Pipe::new()?,
            back: Pipe::new()?,
        })
    }

    fn wait_until_ready(&self) -> Result<()> {
        self.back.receive().map(drop)
    }

    /// What the other side does, with memory of its own, until it is told to stop; says first that
    /// it is ready.
    fn answer(&self, set: WorkingSet) -> Result<()> {
        let memory = set.memory()?;
        self.back.send(GO)?;
        while self.there.receive()? != STOP {
            memory.touch_all(set.stride);
            self.back.send(GO)?;
        }
        Ok(())
    }
}

impl WorkingSet {
    fn memory(&self) -> Result<Mapping> {
        let memory = Mapping::new(self.bytes, Pages::Small)?;
        memory.touch_all(self.stride);
        Ok(memory)
    }
}

impl<'a> Near<'a> {
    fn new(
        pipes: &'a Pipes,
        set: WorkingSet,
        part: Part,
        stopwatch: Stopwatch,
        counted_each_time: u64,
    ) -> Result<Self> {
        Ok(Self {
            pipes,
            own: Pipe::new()?,
            memory: set.memory()?,
            set,
            part,
            stopwatch,
            counted_each_time,
            switches: Switches::default(),
        })
    }

    fn call(&self, times: u64) -> Result<()> {
        for _ in 0..times {
            self.pipes.there.send(GO)?;
            self.pipes.back.receive()?;
            self.memory.touch_all(self.set.stride);
        }
        Ok(())
    }

    /// Of a switch, on both sides, without the work around it.
    fn instructions(&self) -> Result<Option<f64>> {
        let with = instructions(|| self.call(COUNTED))?;
        let without = instructions(|| self.alone(COUNTED))?;
        let each = |(with, without): (f64, f64)| (with - without) / (2 * COUNTED) as f64;
        Ok(with.zip(without).map(each))
    }

    /// What both sides do in as many calls, without the switches.
    fn alone(&self, times: u64) -> Result<()> {
        for _ in 0..2 * times {
            self.own.send(GO)?;
            self.own.receive()?;
            self.memory.touch_all(self.set.stride);
        }
        Ok(())
    }
}

impl Batch for Near<'_> {
    fn per_time(&self) -> u64 {
        match self.part {
            Part::RoundTrip => 1,
            Part::Switch => 2,
        }
    }

    fn harness(&self) -> Harness {
        match self.part {
            Part::RoundTrip => Harness::None,
            Part::Switch => Harness::Measured,
        }
    }

    fn run(&mut self, pass: Pass, times: u64) -> Result<Took> {
        if pass == Pass::Harness {
            return self.stopwatch.time(|| self.alone(times));
        }
        let before = context_switches();
        let took = self.stopwatch.time(|| self.call(times))?;
        let switches = context_switches() - before;
        self.switches.count += switches;
        self.switches.operations += times * self.per_time();
        Ok(took.with_switches(switches, times * self.counted_each_time))
    }
}

/// What was found of each working set.
type Found = Vec<(WorkingSet, Switches, Sampled)>;

fn ping_pong(bench: &Bench, sides: Sides, sets: &[WorkingSet], part: Part) -> Result<Found> {
    pin_home()?;
    let_wakers_go_on()?;
    let pipes: Vec<Pipes> = sets.iter().map(|_| Pipes::new()).collect::<Result<_>>()?;
    let pairs = || pipes.iter().zip(sets.iter().copied());
    match sides {
        Sides::Threads => {
            let stopwatch = Stopwatch::of_process;
            let near = pairs().map(|(pipes, set)| Near::new(pipes, set, part, stopwatch(), 2));
            let near = near.collect::<Result<_>>()?;
            thread::scope(|scope| {
                for (pipes, set) in pairs() {
                    scope.spawn(move || pipes.answer(set));
                }
                pipes.iter().try_for_each(Pipes::wait_until_ready)?;
                let found = sample(bench, near).and_then(|mut found| {
                    if part == Part::Switch {
                        let near = Near::new(&pipes[0], sets[0], part, stopwatch(), 2)?;
                        found[0].1.instructions = near.instructions()?;
                    }
                    Ok(found)
                });
                pipes.iter().try_for_each(|pipes| pipes.there.send(STOP))?;
                found
            })
        }
        Sides::Processes => {
            let far = pairs().map(|(pipes, set)| Child::start(|| pipes.answer(set)));
            let far: Vec<Child> = far.collect::<Result<_>>()?;
            let near = pairs().zip(&far).map(|((pipes, set), far)| {
                let stopwatch = Stopwatch::of_processes(std::iter::once(far.pid()))?;
                Near::new(pipes, set, part, stopwatch, 1)
            });
            let near = near.collect::<Result<_>>()?;
            pipes.iter().try_for_each(Pipes::wait_until_ready)?;
            let mut found = sample(bench, near)?;
            for ((pipes, far), (_, switches, _)) in pipes.iter().zip(far).zip(&mut found) {
                pipes.there.send(STOP)?;
                let before = context_switches_of_children();
                far.finish()?;
                switches.count += context_switches_of_children() - before;
            }
            Ok(found)
        }
    }
}

fn sample(bench: &Bench, mut near: Vec<Near<'_>>) -> Result<Found> {
    let sampled = bench.budget.interleaved(&mut near)?;
    let found = near.into_iter().zip(sampled);
    Ok(found
        .map(|(near, sampled)| (near.set, near.switches, sampled))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn working_sets_grow_beyond_the_l2_cache() {
        assert_eq!(
            set_sizes(512 << 10).map_kib(),
            [4, 16, 64, 256, 512, 1024, 2048]
        );
        assert_eq!(set_sizes(256 << 10).map_kib(), [4, 16, 64, 256, 512, 1024]);
    }

    trait Kib {
        fn map_kib(self) -> Vec<usize>;
    }

    impl Kib for Vec<usize> {
        fn map_kib(self) -> Vec<usize> {
            self.into_iter().map(|bytes| bytes >> 10).collect()
        }
    }
}
