//! A token goes round a ring of processes on one CPU: what a switch costs by the number of address
//! spaces. x86 keeps the TLB entries of six apart by tags (PCID); with more of them each switch
//! comes to an address space whose entries were given up.

use super::{
    child::Child,
    mapping::{context_switches, context_switches_of_children},
    placement::{let_wakers_go_on, pin_home},
    sampling::{Batch, Harness, Pass},
    stopwatch::{Stopwatch, Took},
    token::{GO, Pipe, STOP},
    worker::{Bench, Variant},
};
use anyhow::Result;
use probe_ebpf::{Assignment, GroupRule, Options, Watch, platform};

/// Sizes of rings: each of those around the number of tags, then fewer.
const SPACES: [usize; 11] = [2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16];

pub(crate) fn address_spaces(bench: &mut Bench) -> Result<()> {
    pin_home()?;
    let_wakers_go_on()?;
    let mut rings = Vec::new();
    for spaces in SPACES {
        rings.push(Ring::start(spaces)?);
    }
    let sampled = bench.budget.interleaved(&mut rings)?;
    let flushed = flushed_shares(&rings, bench.budget.quick)?;
    for (place, (ring, sampled)) in rings.into_iter().zip(sampled).enumerate() {
        let spaces = ring.pipes.len();
        let mut variant = Variant::new(format!("{spaces} address spaces"))
            .with("address_spaces", spaces as f64)
            .observed("switches_per_operation", ring.stop()?);
        if let Some(shares) = &flushed {
            variant = variant.observed("tlb_flushed_share", shares[place]);
        }
        bench.tell(variant, sampled)?;
    }
    Ok(())
}

/// Of the hops of each ring, those that found the TLB flushed, in laps that are watched and not timed. None where
/// we may not watch.
///
/// A task of another process that takes the CPU for a moment gives it back to whom it took it from, whose entries are
/// still there: that is a switch to another address space too, but no hop. On a host where others wake up often there are
/// as many of those as hops, so it is hops that are counted, and not switches.
fn flushed_shares(rings: &[Ring], quick: bool) -> Result<Option<Vec<f64>>> {
    const HOPS: [u64; 2] = [20_000, 5_000];
    if !platform::missing_capabilities().is_empty() {
        return Ok(None);
    }
    let mut watch = Watch::load(&[GroupRule::default()], &Options::NO_WINDOWS)?;
    // All that take part descend from this process.
    watch.add(Assignment {
        pid: std::process::id(),
        main_group: 0,
        thread_group: 0,
        process_group: 0,
        unsettled: false,
    })?;
    let mut flushed = || -> Result<u64> {
        let sample = watch.read()?;
        Ok(sample.groups.iter().map(|group| group.tlb.flushed).sum())
    };
    let mut shares = Vec::new();
    for ring in rings {
        let before = flushed()?;
        let laps = HOPS[usize::from(quick)] / ring.per_time();
        (0..laps).try_for_each(|_| go_round(&ring.pipes))?;
        let hops = laps * ring.per_time();
        // Whoever comes back when six others have been there finds nothing either.
        shares.push(((flushed()? - before) as f64 / hops as f64).min(1.0));
    }
    Ok(Some(shares))
}

/// A ring of which this process is a part.
struct Ring {
    /// By the place of the process that reads it; ours is the first.
    pipes: Vec<Pipe>,
    own: Pipe,
    others: Vec<Child>,
    stopwatch: Stopwatch,
    /// Switches that the kernel counted in how many hops; those of the others only at their end.
    switches: u64,
    hops: u64,
}

impl Ring {
    fn start(spaces: usize) -> Result<Self> {
        let pipes: Vec<Pipe> = (0..spaces).map(|_| Pipe::new()).collect::<Result<_>>()?;
        let mut others = Vec::new();
        for place in 1..spaces {
            others.push(Child::start(|| pass_on(&pipes, place))?);
        }
        Ok(Self {
            stopwatch: Stopwatch::of_processes(others.iter().map(Child::pid))?,
            pipes,
            own: Pipe::new()?,
            others,
            switches: 0,
            hops: 0,
        })
    }

    /// Ends the others; returns the switches for each hop.
    fn stop(self) -> Result<f64> {
        self.pipes[1].send(STOP)?;
        let before = context_switches_of_children();
        self.others.into_iter().try_for_each(Child::finish)?;
        let switches = self.switches + context_switches_of_children() - before;
        Ok(switches as f64 / self.hops as f64)
    }
}

impl Batch for Ring {
    fn per_time(&self) -> u64 {
        self.pipes.len() as u64
    }

    fn harness(&self) -> Harness {
        Harness::Measured
    }

    fn run(&mut self, pass: Pass, times: u64) -> Result<Took> {
        if pass == Pass::Harness {
            let hops = times * self.per_time();
            return self
                .stopwatch
                .time(|| (0..hops).try_for_each(|_| hop_alone(&self.own)));
        }
        let before = context_switches();
        let took = self
            .stopwatch
            .time(|| (0..times).try_for_each(|_| go_round(&self.pipes)))?;
        let switches = context_switches() - before;
        self.switches += switches;
        self.hops += times * self.per_time();
        // We leave the CPU once a round; what the others did we learn at their end.
        Ok(took.with_switches(switches, times))
    }
}

/// What a hop takes besides the switch.
fn hop_alone(own: &Pipe) -> Result<()> {
    own.send(GO)?;
    own.receive().map(drop)
}

fn go_round(pipes: &[Pipe]) -> Result<()> {
    pipes[1].send(GO)?;
    pipes[0].receive().map(drop)
}

/// What a process in the ring does, until the token says stop.
fn pass_on(pipes: &[Pipe], place: usize) -> Result<()> {
    loop {
        let token = pipes[place].receive()?;
        pipes[(place + 1) % pipes.len()].send(token)?;
        if token == STOP {
            return Ok(());
        }
    }
}
