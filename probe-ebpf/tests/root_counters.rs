//! Perf counters against the kernel's counts of the same tasks, and the sampled cost of our own
//! programs against the whole of it.

#[path = "support/workload.rs"]
mod workload;

use probe_ebpf::{
    Options, Watch,
    cost::{ProgramCost, Statistics},
    counters::{Counters, Reading, Refused, Source},
    sample::Totals,
};
use std::{
    io::{Read, Write},
    process::Command,
    time::{Duration, Instant},
};
use workload::*;

const SWITCHES: usize = 0;
const FAULTS: usize = 2;
const CLOCK: usize = 3;

/// Writes each page of a new mapping.
fn touch(pages: usize) {
    let bytes = pages * 4096;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping of so many pages, written and unmapped.
    unsafe {
        let start = libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0);
        assert_ne!(start, libc::MAP_FAILED, "mmap");
        libc::madvise(start, bytes, libc::MADV_NOHUGEPAGE);
        for page in 0..pages {
            start.cast::<u8>().add(page * 4096).write_volatile(1);
        }
        libc::munmap(start, bytes);
    }
}

/// What the counters and the kernel's own books say a workload did; all tasks at rest before and after.
fn counted(mut workload: Workload) -> (Vec<Reading>, Totals) {
    // Windows would open and close perf events of their own meanwhile.
    let mut watch = watch_with(workload.pid, &Options::NO_WINDOWS);
    let (_, before) = at_rest(workload.pid, &mut watch);
    let threads: Vec<u32> = before.keys().copied().collect();
    let files = descriptors();
    let mut counters = Counters::open(Source::Software, &threads).expect("software events");
    assert_eq!(
        descriptors() - files,
        Counters::needed(Source::Software, threads.len())
    );
    let (start, _) = at_rest(workload.pid, &mut watch);
    let earlier = counters.read().expect("counters");
    workload.run();
    let (end, _) = at_rest(workload.pid, &mut watch);
    let later = counters.read().expect("counters");
    drop(counters);
    assert_eq!(descriptors(), files, "counters left open");

    let grown = earlier.into_iter().zip(later).map(|(earlier, later)| {
        let (earlier, later) = (earlier.expect("software"), later.expect("software"));
        assert_eq!(
            later.enabled_ns, later.running_ns,
            "software takes no turns"
        );
        Reading {
            count: later.count - earlier.count,
            ..later
        }
    });
    let (start, end) = (sum(&start), sum(&end));
    let did = Totals {
        voluntary: end.voluntary - start.voluntary,
        involuntary: end.involuntary - start.involuntary,
        cpu: end.cpu - start.cpu,
        minor_faults: end.minor_faults - start.minor_faults,
        major_faults: end.major_faults - start.major_faults,
        ..Totals::default()
    };
    (grown.collect(), did)
}

/// How many perf events this process holds.
fn descriptors() -> usize {
    let files = std::fs::read_dir("/proc/self/fd").expect("proc");
    // A descriptor that another thread closes meanwhile is none of these.
    let targets = files.filter_map(|file| std::fs::read_link(file.expect("proc").path()).ok());
    targets
        .filter(|target| target.as_os_str() == "anon_inode:[perf_event]")
        .count()
}

#[test]
fn threads_that_were_there_are_counted_to_the_switch_and_the_fault() {
    let trips = sized(20_000);
    let stolen = count_stolen();
    let (counted, did) = counted(Workload::new(|| {
        let pair = Pair::new();
        std::thread::spawn(move || serve(pair.far));
        move || {
            call(pair.near, trips);
            touch(5_000);
        }
    }));
    let switches = did.voluntary + did.involuntary;
    assert!(switches >= u64::from(trips), "{did:?}");
    assert_eq!(counted[SWITCHES].count, switches);
    assert!(did.minor_faults >= 5_000, "{did:?}");
    assert_eq!(counted[FAULTS].count, did.minor_faults + did.major_faults);
    // The clock stands still in the switch itself, which the kernel charges to a task; and goes on while
    // the hypervisor has the CPU, which the kernel does not charge.
    let clock = counted[CLOCK].count;
    let stolen = stolen() as u64;
    // What an emulated CPU takes for either is that of its emulation.
    assert!(
        clock > 0 && (clock < did.cpu + stolen || emulated()),
        "{clock} ns of {} ns, {stolen} ns stolen",
        did.cpu
    );
}

#[test]
fn the_clock_of_a_task_that_hardly_switches_is_its_cpu_time() {
    let stolen = count_stolen();
    let (counted, did) = counted(Workload::new(|| || burn(Duration::from_millis(500))));
    let (clock, cpu) = (counted[CLOCK].count as f64, did.cpu as f64);
    // It goes on while the hypervisor has the CPU.
    let stolen = stolen();
    assert!(
        clock >= 0.95 * cpu && clock <= 1.05 * cpu + stolen,
        "{clock} ns of {cpu} ns, {stolen} ns stolen"
    );
}

/// The kernel closes the counters of a task that ends before it leaves the CPU for the last time.
#[test]
fn children_created_meanwhile_are_counted_but_for_their_end() {
    const CHILDREN: u64 = 200;
    let (counted, did) = counted(Workload::new(|| {
        || {
            for _ in 0..CHILDREN {
                // SAFETY: the child makes system calls alone, and leaves by _exit.
                unsafe {
                    let child = libc::fork();
                    assert!(child >= 0, "fork");
                    if child == 0 {
                        libc::usleep(100);
                        touch(50);
                        libc::_exit(0);
                    }
                    assert_eq!(libc::waitpid(child, std::ptr::null_mut(), 0), child);
                }
            }
        }
    }));
    let switches = did.voluntary + did.involuntary;
    assert!(switches >= 3 * CHILDREN, "{did:?}");
    let missing = switches - counted[SWITCHES].count;
    // On its way from there to its end a child may be preempted.
    let ends = CHILDREN..=CHILDREN + did.involuntary;
    assert!(ends.contains(&missing), "{missing} of {did:?}");
    assert!(did.minor_faults >= 50 * CHILDREN, "{did:?}");
    // An access of the kernel for a task that ends is in one of the two only.
    assert_near(
        "page faults",
        counted[FAULTS].count as f64,
        (did.minor_faults + did.major_faults) as f64,
        0.001,
    );
}

#[test]
fn a_machine_without_pmu_says_so_and_one_with_it_counts() {
    let pmu = std::path::Path::new("/sys/bus/event_source/devices/cpu/events/cpu-cycles").exists();
    match Counters::open(Source::Hardware, &[std::process::id()]) {
        Ok(mut counters) => {
            burn(Duration::from_millis(20));
            let cycles = counters.read().expect("counters")[0];
            assert!(
                pmu && cycles.is_some_and(|cycles| cycles.count > 0),
                "{cycles:?}"
            );
        }
        Err(refused) => {
            assert!(!pmu && matches!(refused, Refused::NoPmu), "{refused}");
            assert_eq!(refused.to_string(), "no PMU on this machine");
        }
    }
}

#[test]
fn threads_that_have_ended_are_left_out() {
    let mut ended = Command::new("true").spawn().expect("true");
    let pid = ended.id();
    ended.wait().expect("waited for");
    let files = descriptors();
    let mut counters = Counters::open(Source::Software, &[pid]).expect("software events");
    assert_eq!(descriptors(), files);
    let none = counters.read().expect("nothing to read");
    assert_eq!(none, vec![Some(Reading::default()); 4]);
}

fn of<'a>(programs: &'a [ProgramCost], name: &str) -> &'a ProgramCost {
    let found = programs.iter().find(|program| program.name == name);
    found.unwrap_or_else(|| panic!("no program {name} in {programs:?}"))
}

/// Two tasks on one CPU that switch as often in any part of the time: so many trips in each millisecond,
/// and what a busy machine delays is made up for. Tasks that just switch, on any CPU, do so several
/// times as often while they share one as while they do not: how often in some short samples says
/// little of the rest.
fn switching_evenly(time: Duration) -> Workload {
    const TICK: Duration = Duration::from_millis(1);
    Workload::new(move || {
        pin(1);
        let pair = Pair::new();
        std::thread::spawn(move || serve(pair.far));
        move || {
            let begun = Instant::now();
            let (mut from, mut to) = pair.near;
            let mut next = Duration::ZERO;
            while begun.elapsed() < time {
                for _ in 0..sized(50) {
                    to.write_all(&[1]).expect("the other end is there");
                    from.read_exact(&mut [0]).expect("the other end is there");
                }
                next += TICK;
                std::thread::sleep(next.saturating_sub(begun.elapsed()));
            }
            std::mem::forget((from, to));
        }
    })
}

/// Statistics are on all the time, by us, so the whole cost is known; only what lies in the samples may
/// be counted, and it has to stand for the whole.
#[test]
fn samples_stand_for_the_whole_cost_of_our_programs() {
    const NAME: &str = "on_sched_switch";
    let time = lasting(Duration::from_secs(8));
    let _whole = Statistics::enable().expect("root may");
    // The load, and who samples: neither is kept off its CPU by the machine's other work.
    ahead_of_others();
    let mut workload = switching_evenly(time);
    let mut watch: Watch = watch_books(workload.pid);
    workload.start();
    let from = watch.counted().expect("samples");
    assert_eq!((from.on_ns, from.samples), (0, 0));
    let begun = Instant::now();
    let whole_before = watch.costs().expect("costs");
    workload.finish();
    let sampled = watch.counted().expect("samples");
    let whole_after = watch.costs().expect("costs");
    let watched = begun.elapsed().as_secs_f64();

    // Two in a second, of which the first is at once and the last may still be to come.
    let periods = (2.0 * watched) as u64;
    let spread = periods - 2..=periods + 1;
    assert!(
        spread.contains(&sampled.samples),
        "{} samples in {watched} s",
        sampled.samples
    );
    let on = sampled.on_ns as f64 / 1e9;
    // The CPUs of an emulated machine take turns of a tenth of a second, five times as long as a sample, which
    // may so be six times as long: and too few to stand for all.
    let most = if emulated() { 6.0 * 0.04 } else { 0.06 };
    assert!(
        (0.02..most).contains(&(on / watched)),
        "on for {on} s of {watched} s"
    );
    if emulated() {
        return;
    }
    let whole_runs = of(&whole_after, NAME).runs - of(&whole_before, NAME).runs;
    let runs = of(&sampled.programs, NAME).runs as f64 / on * watched;
    assert_near("runs", runs, whole_runs as f64, 0.2);
    let whole_ns = of(&whole_after, NAME).run_ns - of(&whole_before, NAME).run_ns;
    let ns = of(&sampled.programs, NAME).run_ns as f64 / on * watched;
    assert_near("run time", ns, whole_ns as f64, 0.25);
    println!("{runs} of {whole_runs} runs, {ns} of {whole_ns} ns");
}

/// The sums of the entries that arrays hold are known from what they were made with.
#[test]
fn maps_take_at_least_what_they_hold() {
    let workload = Workload::new(|| || {});
    let mut watch = watch(workload.pid);
    let maps = watch.maps().expect("root may list maps");
    let bytes = |name: &str| {
        let map = maps.iter().find(|map| map.name == name);
        map.unwrap_or_else(|| panic!("no map {name} in {maps:?}"))
            .bytes
    };
    let groups = size_of::<probe_ebpf::abi::group_stats>() as u64 * 3;
    let said = bytes("groups").expect("the kernel says it of arrays");
    assert!(said >= groups, "{said} < {groups}");
    assert!(maps.iter().all(|map| map.bytes != Some(0)), "{maps:?}");
    // Linux 6.1 does not say it of task storage and rings, and says it of all else.
    let mut unknown = maps.iter().filter(|map| map.bytes.is_none());
    assert!(
        unknown.all(|map| ["watched", "faults", "switch_records"].contains(&map.name.as_str())),
        "{maps:?}"
    );
}
