//! A storm of forks and switches, with all probes loaded and a snapshot in each second: totals equal the
//! kernel's own, to the last one, and nothing is lost.

#[path = "support/storm.rs"]
mod storm;
#[path = "support/workload.rs"]
mod workload;

use probe_ebpf::sample::{Sample, Totals};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use storm::{Told, storm};
use workload::*;

fn time() -> Duration {
    lasting(Duration::from_secs(20))
}

/// In a second, of each kind.
const FORKS: u32 = 2_000;
const SWITCHES: u32 = 300_000;

#[test]
fn totals_under_a_storm_equal_the_kernels() {
    // The storm as well as who watches it: they are alike before the scheduler, and all else may wait.
    ahead_of_others();
    let told = Told::new();
    // A tenth more than it takes: some rounds at the end are late.
    let rates = storm::Rates {
        forks: sized(FORKS + FORKS / 10),
        switches: sized(SWITCHES + SWITCHES / 10),
    };
    let mut workload = Workload::new(|| storm(told, rates, time()));
    let mut watch = watch(workload.pid);
    watch.counted().expect("samples of what our programs cost");
    let (start, before) = at_rest(workload.pid, &mut watch);
    let (machine_before, stolen) = (Machine::read(), count_stolen());
    workload.start();
    snapshots(&mut watch, &start);
    workload.finish();
    let (sample, after) = at_rest(workload.pid, &mut watch);
    let machine = Machine::read().since(machine_before);

    let did = switches(&sum(&sample)) - switches(&sum(&start));
    let seconds = told.time().as_secs_f64();
    let rate = [told.forks() as f64 / seconds, did as f64 / seconds];
    eprintln!(
        "{:.0} forks and {:.0} switches a second for {seconds:.1} s; stolen {:.0} ns, idle {:?}",
        rate[0],
        rate[1],
        stolen(),
        machine.idle
    );
    assert_living_equal_kernel(&sample, &start, &before, &after);
    assert_children_equal_kernel(&sample, told);
    // What others did besides is in the machine's counts alone.
    assert!(machine.switches >= did, "{did} of {machine:?}");
    assert!(machine.processes >= told.forks(), "{machine:?}");
    // A CPU that the hypervisor takes away in the middle of a switch leaves the books of a task half written: a
    // snapshot on the other then has it one switch old, and says so.
    let taken_away = (stolen() / 10e6) as u64;
    let torn = if emulated() { 0 } else { torn(&sample) };
    assert!(torn <= taken_away, "{torn} torn, {taken_away} times stolen");
    assert_eq!(lost(&sample), torn, "{:?}", sample.losses);
    // Flushes by an interrupt that came within the program for flushes: some microseconds in each second.
    let flushes = sample.losses.iter().filter(|loss| loss.probe == "tlb");
    let flushes: u64 = flushes.map(|loss| loss.count).sum();
    assert!(flushes <= did / 10_000, "{:?}", sample.losses);
    // A machine that idled could have done more; one that did not was in as dense a storm as it can be.
    let as_asked = rate[0] >= f64::from(FORKS) && rate[1] >= f64::from(SWITCHES);
    assert!(
        as_asked || emulated() || machine.idle.as_secs_f64() < 0.1 * seconds,
        "{rate:?} a second, and idle for {:?}",
        machine.idle
    );
}

/// One in each second of the storm: no task is in them twice, and no total falls.
fn snapshots(watch: &mut probe_ebpf::Watch, start: &Sample) {
    let begun = Instant::now();
    let at_first = tasks(start).count() as u64;
    let mut last = sum(start);
    for second in 1..time().as_secs() as u32 {
        let due = Duration::from_secs(1) * second;
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        let sample = watch.read().expect("read");
        let (created, known) = (created(&sample), known(&sample));
        assert!(
            known <= at_first + created,
            "{known} known, {created} created"
        );
        let now = sum(&sample);
        assert!(
            now.voluntary >= last.voluntary
                && now.involuntary >= last.involuntary
                && now.cpu >= last.cpu
                && now.runnable >= last.runnable,
            "{now:?} after {last:?}"
        );
        last = now;
    }
}

/// Tasks living or ended.
fn known(sample: &Sample) -> u64 {
    let ended: u64 = sample.groups.iter().map(|group| group.ended_tasks).sum();
    ended + tasks(sample).count() as u64
}

fn created(sample: &Sample) -> u64 {
    let creations = sample.groups.iter().flat_map(|group| &group.creations);
    creations.map(|creation| creation.count).sum()
}

fn switches(totals: &Totals) -> u64 {
    totals.voluntary + totals.involuntary
}

#[track_caller]
fn assert_living_equal_kernel(
    sample: &Sample,
    start: &Sample,
    before: &BTreeMap<u32, Kernel>,
    after: &BTreeMap<u32, Kernel>,
) {
    let mut with_sleep = 0;
    let first: BTreeMap<u32, Totals> = tasks(start).map(|task| (task.tid, task.totals)).collect();
    assert_eq!(tasks(sample).count(), after.len(), "every task is watched");
    for task in tasks(sample) {
        let (now, then) = (task.totals, first[&task.tid]);
        let seen = Kernel {
            run_ns: now.cpu - then.cpu,
            wait_ns: now.runnable - then.runnable,
            arrivals: now.arrivals - then.arrivals,
            voluntary: now.voluntary - then.voluntary,
            involuntary: now.involuntary - then.involuntary,
        };
        let grown = after[&task.tid].since(before[&task.tid]);
        assert_wait(sample, task.tid, seen.wait_ns, grown.wait_ns);
        with_sleep += u64::from(seen.wait_ns != grown.wait_ns);
        let wait_ns = grown.wait_ns;
        assert_eq!(Kernel { wait_ns, ..seen }, grown, "{}", task.tid);
    }
    let unknown = unknown_waits(sample);
    assert!(with_sleep <= unknown, "{with_sleep} tasks, {unknown} waits");
    assert_eq!(sum(sample).unseen, 0, "switches no tracepoint showed");
}

#[track_caller]
fn assert_children_equal_kernel(sample: &Sample, told: &Told) {
    let (group, children) = (&sample.groups[CHILD], told.children());
    assert_eq!(
        (created(sample), group.ended_tasks),
        (told.forks(), told.forks())
    );
    assert_eq!(group.first_run.count(), told.forks());
    assert_eq!(group.ended.involuntary, children.involuntary);
    // The kernel adds up a child as its parent reaps it, which another CPU may do between the child's last signal
    // to it and the child's last switch (wait_task_zombie() does not wait for it): ours has that switch always.
    let reaped_before = group.ended.voluntary.checked_sub(children.voluntary);
    assert!(
        reaped_before.is_some_and(|early| early <= told.forks().div_ceil(10_000)),
        "{} voluntary switches, {} by the kernel",
        group.ended.voluntary,
        children.voluntary
    );
    // The kernel tells user and system time, in microseconds each.
    let cpu = Duration::from_nanos(group.ended.cpu);
    assert!(
        cpu >= children.cpu && cpu - children.cpu < Duration::from_micros(2),
        "{cpu:?} of CPU time, {:?} by the kernel",
        children.cpu
    );
}

/// What the kernel counted of the whole machine.
#[derive(Clone, Copy, Debug)]
struct Machine {
    switches: u64,
    processes: u64,
    /// Of all CPUs.
    idle: Duration,
}

impl Machine {
    fn read() -> Self {
        let stat = std::fs::read_to_string("/proc/stat").expect("proc");
        let field = |name: &str, place: usize| -> u64 {
            let line = stat.lines().find_map(|line| line.strip_prefix(name));
            let field = line.and_then(|line| line.split_whitespace().nth(place));
            field
                .and_then(|field| field.parse().ok())
                .expect("a field of /proc/stat")
        };
        // Idle, and idle while something waits for a disk; in hundredths of a second.
        let ticks = field("cpu ", 3) + field("cpu ", 4);
        Self {
            switches: field("ctxt ", 0),
            processes: field("processes ", 0),
            idle: Duration::from_millis(10 * ticks),
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            switches: self.switches - before.switches,
            processes: self.processes - before.processes,
            idle: self.idle - before.idle,
        }
    }
}
