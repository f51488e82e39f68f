//! What our own probes add to a context switch: run time of our program above an empty one on the
//! same hook, by the kernel's own statistics, while two threads pass a token on one CPU.

use super::{
    child::Child,
    placement::pin_home,
    sampling::{Sampled, Taken},
    token::{GO, Pipe, STOP},
    worker::{Bench, Variant},
};
use crate::series::Sample;
use anyhow::{Context, Result, bail};
use probe_ebpf::{
    Assignment, Baseline, GroupRule, Options, Watch,
    cost::{ProgramCost, Statistics},
    platform,
};
use std::thread;

/// Round trips for a sample, and samples.
const FULL: (u64, usize) = (20_000, 15);
const QUICK: (u64, usize) = (4_000, 9);

pub(crate) fn probe_cost(bench: &mut Bench) -> Result<()> {
    let missing = platform::missing_capabilities();
    if !missing.is_empty() {
        bail!("without {}; run with sudo", missing.join(" and "));
    }
    let _statistics = Statistics::enable()
        .context("the kernel keeps no statistics of BPF programs for us (needs CAP_SYS_ADMIN)")?;
    let workload = Workload::start()?;
    for (name, watched) in [
        ("switch of a watched task", true),
        ("of a task not watched", false),
    ] {
        let (sampled, runs) = workload.sample(bench, watched)?;
        let variant = Variant::new(name).observed("runs_per_operation", runs);
        bench.tell(variant, sampled)?;
    }
    workload.stop()
}

/// A process that passes a token between two threads when it is told to.
struct Workload {
    child: Child,
    orders: Pipe,
    done: Pipe,
}

impl Workload {
    fn start() -> Result<Self> {
        let (orders, done) = (Pipe::new()?, Pipe::new()?);
        let child = Child::start(|| {
            pin_home()?;
            let (there, back) = (Pipe::new()?, Pipe::new()?);
            thread::scope(|scope| {
                scope.spawn(|| -> Result<()> {
                    while there.receive()? != STOP {
                        back.send(GO)?;
                    }
                    Ok(())
                });
                loop {
                    let [trips] = orders.receive_figures()?;
                    for _ in 0..trips {
                        there.send(GO)?;
                        back.receive()?;
                    }
                    done.send(GO)?;
                    if trips == 0 {
                        return there.send(STOP);
                    }
                }
            })
        })?;
        Ok(Self {
            child,
            orders,
            done,
        })
    }

    fn run(&self, trips: u64) -> Result<()> {
        self.orders.send_figures([trips])?;
        self.done.receive().map(drop)
    }

    fn stop(self) -> Result<()> {
        self.run(0)?;
        self.child.finish()
    }

    /// Samples, and how often our program ran for each switch of the workload: other tasks of the
    /// host switch too.
    fn sample(&self, bench: &Bench, watched: bool) -> Result<(Sampled, f64)> {
        let (trips, most) = match bench.budget.quick {
            true => QUICK,
            false => FULL,
        };
        let empty = Baseline::load()?;
        let mut watch = Watch::load(&[GroupRule::default()], &Options::NO_WINDOWS)?;
        if watched {
            watch.add(Assignment {
                pid: self.child.pid(),
                main_group: 0,
                thread_group: 0,
                process_group: 0,
                unsettled: false,
            })?;
        }
        let (mut runs, mut switches) = (0, 0);
        let sampled = bench.budget.rounds(most, 2 * trips, || {
            let before = (at_switch(&watch.costs()?)?, at_switch(&empty.costs()?)?);
            self.run(trips)?;
            let after = (at_switch(&watch.costs()?)?, at_switch(&empty.costs()?)?);
            runs += after.0.runs - before.0.runs;
            switches += 2 * trips;
            let sample = Sample {
                raw_ns: per_run(&before.0, &after.0)?,
                harness_ns: Some(per_run(&before.1, &after.1)?),
            };
            // What the kernel adds up is the time of the programs alone.
            Ok(Taken {
                sample,
                quiet: true,
            })
        })?;
        Ok((sampled, runs as f64 / switches as f64))
    }
}

/// The program at `sched_switch`. The kernel keeps 15 characters of a name.
fn at_switch(costs: &[ProgramCost]) -> Result<ProgramCost> {
    let found = costs.iter().find(|cost| cost.name.contains("sched_swi"));
    found.cloned().context("no program is at sched_switch")
}

fn per_run(before: &ProgramCost, after: &ProgramCost) -> Result<f64> {
    let runs = after.runs - before.runs;
    if runs == 0 {
        bail!("the kernel counted no run of {}", after.name);
    }
    Ok((after.run_ns - before.run_ns) as f64 / runs as f64)
}
