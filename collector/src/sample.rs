//! Reads the probes into snapshots of targets.

use crate::counters::TargetCounters;
use crate::snapshot::faults::{FaultClass, Faults};
use crate::snapshot::{
    Calls, Creation, Flushes, Histogram, Loss, Map, Memory, Method, Program, Role, Snapshot, State,
    Statistics, SwitchKind, SwitchLatency, SwitchSamples, Task, Tlb, Totals, Unavailable, Window,
};
use probe_ebpf::{
    Assignment, Error, GroupRule, Options, Watch,
    cost::{MapCost, ProgramCost},
    fault_sample::{self, CLASS_NAMES, FaultSample},
    sample::{self, GroupSample},
};
use std::collections::HashSet;

/// The roles of every target, in the order of its groups.
const ROLES: [&str; 3] = ["main", "thread", "child"];
const MAIN: u32 = 0;
const THREAD: u32 = 1;
const CHILD: u32 = 2;

/// A watch over some targets, each in three roles: the main thread of its process, the other
/// threads, and all that descends from it.
pub struct Sampler {
    watch: Watch,
    /// By target, where they were asked for.
    counters: Vec<TargetCounters>,
    /// What could not be had besides the measures of the watch.
    lacking: Vec<Unavailable>,
}

impl Sampler {
    /// Loads the probes, with room for so many targets.
    ///
    /// # Errors
    /// If the kernel refuses a probe, with the remedy.
    pub fn load(targets: usize, options: &Options) -> Result<Self, Error> {
        let rules = (0..targets as u32).flat_map(|target| {
            let thread_group = group(target, THREAD);
            let process_group = group(target, CHILD);
            let of_process = GroupRule {
                thread_group,
                process_group,
            };
            let of_child = GroupRule {
                thread_group: process_group,
                process_group,
            };
            [of_process, of_process, of_child]
        });
        Ok(Self {
            watch: Watch::load(&rules.collect::<Vec<_>>(), options)?,
            counters: Vec::new(),
            lacking: Vec::new(),
        })
    }

    /// Watches a process as the target of that number; returns how many tasks it has.
    ///
    /// # Errors
    /// If there is no such process, or it is watched already.
    pub fn add(&mut self, target: usize, pid: u32) -> Result<u64, Error> {
        let target = target as u32;
        let (main_group, thread_group, process_group) = (
            group(target, MAIN),
            group(target, THREAD),
            group(target, CHILD),
        );
        self.watch.add(Assignment {
            pid,
            main_group,
            thread_group,
            process_group,
        })
    }

    /// Opens perf counters of all that is watched now, and of what that creates later.
    ///
    /// # Errors
    /// If the kernel refuses to be read. Counters that cannot be had are [`unavailable`](Self::unavailable).
    pub fn count_events(&mut self) -> Result<(), Error> {
        self.counters.clear();
        for threads in threads(&self.watch.read()?) {
            let (counters, lacking) = TargetCounters::open(threads);
            self.counters.push(counters);
            lacking.into_iter().for_each(|one| self.lacks(one));
        }
        let now = threads(&self.watch.read()?);
        for (counters, threads) in self.counters.iter_mut().zip(&now) {
            counters.opened(threads);
        }
        Ok(())
    }

    /// A snapshot of each target, all of the same instant.
    ///
    /// # Errors
    /// If the kernel refuses to be read.
    pub fn read(&mut self) -> Result<Vec<Snapshot>, Error> {
        let sample = self.watch.read()?;
        let (counters, lacking): (Vec<_>, Vec<_>) =
            self.counters.iter_mut().map(TargetCounters::read).unzip();
        lacking
            .into_iter()
            .flatten()
            .for_each(|one| self.lacks(one));
        let observer = Observer::now();
        let (programs, statistics) = self.programs();
        let same_for_all = Snapshot {
            at_ns: sample.at_ns,
            roles: Vec::new(),
            losses: sample.losses.iter().map(loss).collect(),
            windows: sample.windows.iter().map(window).collect(),
            stolen_ns: stolen_ns(),
            programs,
            statistics,
            maps: self.maps(),
            counters: None,
            observer_cpu_ns: observer.cpu_ns,
            observer_rss_bytes: observer.rss_bytes,
        };
        let roles = ROLES.iter().cycle().zip(sample.groups);
        let mut roles = roles.map(|(name, group)| role(name, group)).peekable();
        let mut counters = counters.into_iter();
        let mut snapshots = Vec::new();
        while roles.peek().is_some() {
            let roles = roles.by_ref().take(ROLES.len()).collect();
            snapshots.push(Snapshot {
                roles,
                counters: counters.next(),
                ..same_for_all.clone()
            });
        }
        Ok(snapshots)
    }

    /// How each measure is taken here.
    #[must_use]
    pub fn methods(&self) -> Vec<Method> {
        let method = |measure: &probe_ebpf::probes::Measure| Method {
            measure: measure.name.into(),
            method: measure.method.into(),
        };
        self.watch.measures().iter().map(method).collect()
    }

    /// What cannot be measured here, and why; grows if a probe fails later.
    #[must_use]
    pub fn unavailable(&self) -> Vec<Unavailable> {
        let unavailable = |unavailable: &sample::Unavailable| Unavailable {
            measure: unavailable.measure.into(),
            reason: unavailable.reason.clone(),
        };
        let of_watch = self.watch.unavailable().iter().map(unavailable);
        of_watch.chain(self.lacking.iter().cloned()).collect()
    }

    fn lacks(&mut self, unavailable: Unavailable) {
        if !self.lacking.contains(&unavailable) {
            self.lacking.push(unavailable);
        }
    }

    /// What our programs have cost while the kernel kept statistics, and how long it did.
    fn programs(&mut self) -> (Vec<Program>, Statistics) {
        let program = |cost: ProgramCost| Program {
            name: cost.name,
            runs: cost.runs,
            run_ns: cost.run_ns,
        };
        match self.watch.counted() {
            Ok(counted) => (
                counted.programs.into_iter().map(program).collect(),
                Statistics {
                    on_ns: counted.on_ns,
                    samples: counted.samples,
                },
            ),
            Err(error) => {
                self.lacks(needs_admin("observer.programs", "keep statistics", &error));
                Default::default()
            }
        }
    }

    fn maps(&mut self) -> Vec<Map> {
        let map = |cost: &MapCost| Map {
            name: cost.name.clone(),
            bytes: cost.bytes,
        };
        match self.watch.maps() {
            Ok(maps) => maps.iter().map(map).collect(),
            Err(error) => {
                self.lacks(needs_admin("observer.maps", "list its maps", &error));
                Vec::new()
            }
        }
    }
}

fn needs_admin(measure: &str, what: &str, error: &std::io::Error) -> Unavailable {
    Unavailable {
        measure: measure.into(),
        reason: format!("the kernel does not {what} for us: {error}; needs CAP_SYS_ADMIN"),
    }
}

/// The threads of each target.
fn threads(sample: &sample::Sample) -> Vec<HashSet<u32>> {
    let of_target = |groups: &[GroupSample]| {
        let tasks = groups.iter().flat_map(|group| &group.tasks);
        tasks.map(|task| task.tid).collect()
    };
    sample.groups.chunks(ROLES.len()).map(of_target).collect()
}

fn group(target: u32, role: u32) -> u32 {
    target * ROLES.len() as u32 + role
}

fn role(name: &str, group: GroupSample) -> Role {
    Role {
        name: name.into(),
        ended_tasks: group.ended_tasks,
        ended: totals(&group.ended),
        tasks: group.tasks.into_iter().map(task).collect(),
        run_queue_wait: histogram(group.run_queue_wait),
        on_cpu_slice: histogram(group.on_cpu_slice),
        blocked: group.blocked.into_iter().map(histogram).collect(),
        first_run: histogram(group.first_run),
        run_queue_depth: group.run_queue_depth,
        tlb: tlb(group.tlb),
        creations: group.creations.iter().map(creation).collect(),
        switch_latency: switch_latency(group.switch_latency),
        faults: faults(group.faults),
        calls: group
            .calls
            .map(|kinds| kinds.into_iter().map(calls).collect()),
        kernel_calls: group
            .kernel_calls
            .map(|kinds| kinds.into_iter().map(calls).collect()),
        page_table_copy: group.page_table_copy.map(histogram),
        shootdown_latency: group.shootdown_latency.map(histogram),
    }
}

fn task(task: sample::TaskSample) -> Task {
    Task {
        pid: task.pid,
        tid: task.tid,
        started_ns: task.started_ns,
        comm: task.comm,
        state: match task.state {
            sample::State::Running => State::Running,
            sample::State::Runnable => State::Runnable,
            sample::State::Blocked => State::Blocked,
        },
        totals: totals(&task.totals),
        memory: task.memory.map(|memory| Memory {
            anonymous_bytes: memory.anonymous_bytes,
            file_bytes: memory.file_bytes,
            shared_bytes: memory.shared_bytes,
            page_table_bytes: memory.page_table_bytes,
        }),
        kernel_stack_bytes: task.kernel_stack_bytes,
    }
}

fn totals(totals: &sample::Totals) -> Totals {
    Totals {
        voluntary: totals.voluntary,
        involuntary: totals.involuntary,
        cpu_ns: totals.cpu,
        running_ns: totals.running,
        runnable_ns: totals.runnable,
        blocked_ns: totals.blocked,
        arrivals: totals.arrivals,
        unseen: totals.unseen,
        minor_faults: totals.minor_faults,
        major_faults: totals.major_faults,
    }
}

fn histogram(histogram: sample::Histogram) -> Histogram {
    Histogram {
        sub_bits: sample::Histogram::SUB_BITS,
        sum_ns: histogram.sum,
        max_ns: histogram.max,
        counts: histogram.counts,
    }
}

fn tlb(tlb: sample::Tlb) -> Tlb {
    Tlb {
        kept: tlb.kept,
        flushed: tlb.flushed,
        flushes: tlb.flushes.map(|flushes| Flushes {
            count: flushes.count,
            pages: flushes.pages,
            whole: flushes.whole,
        }),
        kept_time: histogram(tlb.kept_time),
        flushed_time: histogram(tlb.flushed_time),
    }
}

fn switch_latency(latency: sample::SwitchLatency) -> SwitchLatency {
    let samples = |samples: sample::SwitchSamples| SwitchSamples {
        kind: match samples.kind {
            sample::SwitchKind::SameSpace => SwitchKind::SameAddressSpace,
            sample::SwitchKind::DifferentSpace => SwitchKind::DifferentAddressSpace,
            sample::SwitchKind::Idle => SwitchKind::Idle,
            sample::SwitchKind::KernelThread => SwitchKind::KernelThread,
        },
        preempted: samples.preempted,
        recording_events: samples.recording_events,
        histogram: Histogram {
            sub_bits: sample::SwitchSamples::SUB_BITS,
            ..histogram(samples.histogram)
        },
    };
    SwitchLatency {
        left: latency.left,
        came: latency.came,
        samples: latency.samples.into_iter().map(samples).collect(),
    }
}

fn faults(faults: FaultSample) -> Faults {
    let class = |(name, class): (&str, fault_sample::FaultClass)| FaultClass {
        name: name.into(),
        user: class.user,
        kernel: class.kernel,
        latency: histogram(class.latency),
        in_windows: class.windows.sum,
        in_windows_squared: class.windows.squares,
        in_windows_products: class.windows.products,
    };
    Faults {
        classes: CLASS_NAMES
            .into_iter()
            .zip(faults.classes)
            .map(class)
            .collect(),
        huge_page_splits: faults.huge_splits,
        begun: faults.begun,
        not_begun: faults.not_begun,
        windows: faults.windows,
        in_windows: faults.in_windows,
        in_windows_squared: faults.in_windows_squared,
    }
}

fn creation(creation: &sample::Creation) -> Creation {
    Creation {
        clone_flags: creation.clone_flags,
        io_worker: creation.io_worker,
        count: creation.count,
    }
}

fn calls(calls: sample::Calls) -> Calls {
    Calls {
        kind: calls.kind.name().into(),
        latency: histogram(calls.latency),
        failed: calls.failed,
        resident_pages: calls.resident_pages,
        page_table_bytes: calls.page_table_bytes,
        pages_squared: calls.pages_squared as f64,
        pages_times_ns: calls.pages_times_ns as f64,
        probe_within_ns: calls.instrument.within_ns,
        probe_whole_ns: calls.instrument.whole_ns,
    }
}

fn loss(loss: &sample::Loss) -> Loss {
    Loss {
        probe: loss.probe.into(),
        what: loss.what.into(),
        count: loss.count,
    }
}

fn window(window: &sample::WindowTime) -> Window {
    Window {
        probe: window.probe.into(),
        open_ns: window.open_ns,
        windows: window.windows,
    }
}

/// Time that the hypervisor gave to others, of all CPUs since boot; 0 where it does not say.
fn stolen_ns() -> u64 {
    use procfs::CurrentSI;
    let ticks = procfs::KernelStats::current()
        .ok()
        .and_then(|stats| stats.total.steal)
        .unwrap_or(0);
    ticks * (1_000_000_000 / procfs::ticks_per_second().max(1))
}

/// What connscope itself has used.
struct Observer {
    cpu_ns: u64,
    rss_bytes: u64,
}

impl Observer {
    fn now() -> Self {
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let rss = procfs::process::Process::myself().and_then(|process| process.statm());
        Self {
            cpu_ns: cpu.tv_sec as u64 * 1_000_000_000 + cpu.tv_nsec as u64,
            rss_bytes: rss.map_or(0, |statm| statm.resident * procfs::page_size()),
        }
    }
}
