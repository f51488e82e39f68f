//! The latency of context switches: steady, in the right order, and with every switch accounted for.

#[path = "support/workload.rs"]
mod workload;

use probe_ebpf::{
    Options, Watch,
    sample::{Sample, SwitchKind, SwitchLatency, SwitchSamples},
};
use std::{
    collections::BTreeMap,
    os::fd::{FromRawFd, OwnedFd},
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};
use workload::*;

/// A window without end.
const ALWAYS: Options = Options {
    fault_share: 0.0,
    switch_share: 1.0,
    without: &[],
};

const SCHED_EXIT: &str = "tp_btf/sched_exit_tp";
const FINISHED: &str = "kprobe/finish_task_switch";
const RECORDS: &str = "perf's context-switch record";
/// Each leads to the next best method.
const BEST: &[&str] = &[];
const BY_KPROBE: &[&str] = &[SCHED_EXIT];
const BY_RECORDS: &[&str] = &[SCHED_EXIT, FINISHED];

/// Does this by the method that is left without these hooks; a test for each, since an emulated
/// machine takes long for one. The kprobe is the best method where the tracepoint is missing.
fn by_method(without: &'static [&'static str], test: impl FnOnce(&Options)) {
    if without == BY_KPROBE && !(has_sched_exit() && emulated()) {
        println!("SKIP: it is the best method here, or kprobes are not to be had");
        return;
    }
    test(&Options { without, ..ALWAYS });
}

/// Makes a test for each method.
macro_rules! by_each_method {
    ($($name:ident: $test:expr;)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn by_the_best_method() {
                by_method(BEST, $test);
            }

            #[test]
            fn by_kprobe() {
                by_method(BY_KPROBE, $test);
            }

            #[test]
            fn by_records() {
                by_method(BY_RECORDS, $test);
            }
        })*
    };
}
by_each_method! {
    every_switch_of_threads_is_accounted_for: |options| every_switch_is_accounted_for(false, options);
    every_switch_of_processes_is_accounted_for: |options| every_switch_is_accounted_for(true, options);
    every_switch_of_a_crowd_that_migrates_is_accounted_for: every_switch_of_a_crowd;
    windows_see_their_share_of_the_switches: a_window_sees_its_share;
    corrected_medians_are_steady_and_in_order: medians_are_steady_and_in_order;
}

fn has_sched_exit() -> bool {
    let btf = std::fs::read("/sys/kernel/btf/vmlinux").expect("BTF");
    let name = b"\0btf_trace_sched_exit_tp\0";
    btf.windows(name.len()).any(|bytes| bytes == name)
}

fn method(watch: &Watch) -> &'static str {
    let measures = watch.measures();
    let measure = measures.iter().find(|m| m.name == "switch_latency");
    measure.expect("measured").method
}

fn switches(sample: &Sample) -> SwitchLatency {
    let mut sum = SwitchLatency::default();
    for group in &sample.groups {
        sum.left += group.switch_latency.left;
        sum.came += group.switch_latency.came;
        sum.samples
            .extend(group.switch_latency.samples.iter().cloned());
    }
    sum
}

/// Records that count for nothing, by what became of them.
fn missed(sample: &Sample) -> [u64; 3] {
    use probe_ebpf::probes::switch_latency::{LOST, UNMATCHED, UNRESOLVED};
    [LOST, UNMATCHED, UNRESOLVED].map(|what| {
        let of_it = sample.losses.iter().filter(|loss| loss.what == what);
        of_it.map(|loss| loss.count).sum()
    })
}

/// Samples by bucket of one kind, recorded by so many events.
fn counts(latency: &SwitchLatency, kind: SwitchKind, events: u32) -> Vec<u64> {
    let mut sum = Vec::new();
    let of_it = |s: &&SwitchSamples| s.kind == kind && s.recording_events == events;
    for samples in latency.samples.iter().filter(of_it) {
        let counts = &samples.histogram.counts;
        sum.resize(sum.len().max(counts.len()), 0);
        sum.iter_mut()
            .zip(counts)
            .for_each(|(sum, count)| *sum += count);
    }
    sum
}

/// The median in nanoseconds, samples taken as spread evenly over their bucket.
fn median(counts: &[u64]) -> f64 {
    let half = counts.iter().sum::<u64>() as f64 / 2.0;
    let mut below = 0.0;
    for (bucket, &count) in counts.iter().enumerate() {
        if below + count as f64 >= half && count > 0 {
            let (lower, width) = edges(bucket as u64);
            return lower + width * (half - below) / count as f64;
        }
        below += count as f64;
    }
    panic!("no samples");
}

fn edges(bucket: u64) -> (f64, f64) {
    let sub = 1 << SwitchSamples::SUB_BITS;
    if bucket < sub {
        return (bucket as f64, 1.0);
    }
    let shift = bucket / sub - 1;
    (
        ((sub + bucket % sub) << shift) as f64,
        (1_u64 << shift) as f64,
    )
}

/// Medians with three numbers of recording events, and where their line meets none.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "shown with each run")]
struct Medians {
    recorded: [f64; 3],
    corrected: f64,
}

/// Recorded by one, two and three events of ours and as many `others`; or timed by stamps.
fn medians(latency: &SwitchLatency, kind: SwitchKind, others: u32) -> Medians {
    let without_stamps = counts(latency, kind, 0);
    if !without_stamps.is_empty() {
        return Medians {
            recorded: [median(&counts(latency, kind, 1)); 3],
            corrected: median(&without_stamps),
        };
    }
    let recorded = [1, 2, 3].map(|events| median(&counts(latency, kind, events + others)));
    let slope = (recorded[2] - recorded[0]) / 2.0;
    let middle = recorded.iter().sum::<f64>() / 3.0;
    Medians {
        recorded,
        corrected: middle - slope * f64::from(2 + others),
    }
}

fn trips() -> u32 {
    sized(100_000)
}

/// A ping-pong on one CPU, timed by itself: nanoseconds for each switch.
struct PingPong {
    workload: Workload,
    time: std::io::PipeReader,
}

fn ping_pong(processes: bool, trips: u32) -> PingPong {
    let (time, mut to) = std::io::pipe().expect("pipe");
    let workload = Workload::new(move || {
        pin(1);
        let pair = Pair::new();
        let (near, far) = (pair.near, pair.far);
        if processes {
            // SAFETY: the child runs `serve` alone.
            if unsafe { libc::fork() } == 0 {
                drop(near);
                serve(far);
                // SAFETY: ends the child.
                unsafe { libc::_exit(0) };
            }
            drop(far);
        } else {
            thread::spawn(move || serve(far));
        }
        move || {
            let begun = Instant::now();
            call(near, trips);
            let ns = begun.elapsed().as_nanos() as u64 / u64::from(2 * trips);
            std::io::Write::write_all(&mut to, &ns.to_ne_bytes()).expect("the test is there");
        }
    });
    PingPong { workload, time }
}

impl PingPong {
    /// Nanoseconds for each switch, with all that it takes.
    fn run(&mut self) -> u64 {
        self.workload.run();
        let mut ns = [0; 8];
        std::io::Read::read_exact(&mut self.time, &mut ns).expect("the workload wrote");
        u64::from_ne_bytes(ns)
    }
}

/// A watch through one window without end, of a workload at rest.
struct Look {
    pid: u32,
    watch: Watch,
    before: (Sample, u64),
}

/// What became of the switches since the look began.
struct Seen {
    latency: SwitchLatency,
    /// `nvcsw` and `nivcsw` of all tasks.
    kernel: u64,
    /// Records lost, records unmatched, switches of unknown tasks, on the whole host.
    missed: [u64; 3],
}

impl Look {
    fn begin(pid: u32, options: &Options) -> Self {
        let mut watch = watch_with(pid, options);
        println!("measured by: {}", method(&watch));
        let refused = watch.unavailable().iter();
        let refused: Vec<_> = refused.filter(|u| u.measure == "switch_latency").collect();
        assert!(refused.is_empty(), "{refused:?}");
        let before = Self::rest(pid, &mut watch);
        Self { pid, watch, before }
    }

    fn end(mut self) -> Seen {
        let (sample, kernel) = Self::rest(self.pid, &mut self.watch);
        let (first, kernel_before) = self.before;
        let (latency, earlier) = (switches(&sample), switches(&first));
        let (missed, missed_before) = (missed(&sample), missed(&first));
        Seen {
            latency: SwitchLatency {
                left: latency.left - earlier.left,
                came: latency.came - earlier.came,
                samples: latency.samples,
            },
            kernel: kernel - kernel_before,
            missed: [0, 1, 2].map(|at: usize| missed[at] - missed_before[at]),
        }
    }

    /// The books of the windows follow within a few hundredths of a second.
    fn rest(pid: u32, watch: &mut Watch) -> (Sample, u64) {
        at_rest(pid, watch);
        thread::sleep(Duration::from_millis(if emulated() { 3_000 } else { 300 }));
        let (sample, kernel) = at_rest(pid, watch);
        (
            sample,
            kernel.values().map(|k| k.voluntary + k.involuntary).sum(),
        )
    }
}

impl Seen {
    /// The kernel's switches are those seen and those missed, none twice and none made up.
    #[track_caller]
    fn assert_accounted_for(&self, what: &str) {
        let Self {
            latency,
            kernel,
            missed,
            ..
        } = self;
        println!(
            "{what}: {kernel} switches by the kernel, {} seen; on the host {} records lost, {} unmatched, \
             {} switches of unknown tasks",
            latency.left, missed[0], missed[1], missed[2]
        );
        assert!(latency.left <= *kernel, "{} seen of {kernel}", latency.left);
        let missing = kernel - latency.left;
        let excused: u64 = missed.iter().sum();
        assert!(
            missing <= excused,
            "{missing} of {kernel} missing, {excused} excused"
        );
    }
}

/// By name: where a hook is missing or refused, the next best takes over.
#[test]
fn the_best_method_is_used_and_named() {
    let [best, kprobe, records] = [BEST, BY_KPROBE, BY_RECORDS].map(|without| {
        let options = Options { without, ..ALWAYS };
        method(&watch_with(std::process::id(), &options))
    });
    assert_eq!(best.contains(SCHED_EXIT), has_sched_exit(), "{best}");
    assert!(records.contains(RECORDS), "{records}");
    if emulated() {
        // Debian's kernels allow kprobes; compilers may make the function a part of its caller.
        let symbols = std::fs::read_to_string("/proc/kallsyms").expect("symbols");
        let has_finish = symbols.contains(" finish_task_switch");
        assert_eq!(kprobe.contains(FINISHED), has_finish, "{kprobe}");
    } else {
        println!("without the tracepoint: {kprobe}");
    }
}

fn every_switch_is_accounted_for(processes: bool, options: &Options) {
    let mut ping_pong = ping_pong(processes, trips());
    let look = Look::begin(ping_pong.workload.pid, options);
    ping_pong.run();
    let seen = look.end();
    assert!(seen.kernel >= u64::from(2 * trips()));
    let kind = kind(processes);
    seen.assert_accounted_for(&format!("{kind:?}"));
    let samples = |kind| -> u64 {
        let each = |events| counts(&seen.latency, kind, events).iter().sum::<u64>();
        [1, 2, 3].map(each).iter().sum()
    };
    // What else runs on this CPU comes between now and then.
    let all: u64 = seen
        .latency
        .samples
        .iter()
        .filter(|s| s.recording_events > 0)
        .map(|s| s.histogram.count())
        .sum();
    assert!(
        samples(kind) > all * 4 / 5,
        "{} of {all} are {kind:?}",
        samples(kind)
    );
    let other = self::kind(!processes);
    assert!(
        samples(other) < all / 5,
        "{} of {all} are {other:?}",
        samples(other)
    );
}

fn kind(processes: bool) -> SwitchKind {
    match processes {
        false => SwitchKind::SameSpace,
        true => SwitchKind::DifferentSpace,
    }
}

/// Busy and sleeping threads of two processes, more than there are CPUs, free to move.
fn every_switch_of_a_crowd(options: &Options) {
    let time = Duration::from_secs(3);
    let crowd = move || {
        let gate = Arc::new(Barrier::new(7));
        for number in 0..6 {
            let gate = gate.clone();
            thread::spawn(move || {
                gate.wait();
                let end = Instant::now() + time;
                while Instant::now() < end {
                    burn(Duration::from_micros(100));
                    if number < 3 {
                        thread::sleep(Duration::from_micros(200));
                    }
                }
                gate.wait();
                loop {
                    thread::park();
                }
            });
        }
        move || {
            gate.wait();
            gate.wait();
        }
    };
    let mut workload = Workload::new(|| {
        let mut child = Workload::new(crowd);
        let own = crowd();
        move || {
            child.start();
            own();
            child.finish();
            std::mem::forget(child);
        }
    });
    let look = Look::begin(workload.pid, options);
    workload.run();
    let seen = look.end();
    assert!(
        seen.kernel > u64::from(sized(1_000)),
        "{} switches",
        seen.kernel
    );
    seen.assert_accounted_for("crowd");
}

fn a_window_sees_its_share(options: &Options) {
    let options = Options {
        switch_share: 0.1,
        ..*options
    };
    let mut ping_pong = ping_pong(false, trips() * 3);
    let mut watch = watch_with(ping_pong.workload.pid, &options);
    let (first, before) = at_rest(ping_pong.workload.pid, &mut watch);
    let begun = Instant::now();
    ping_pong.run();
    let elapsed = begun.elapsed();
    let (sample, after) = at_rest(ping_pong.workload.pid, &mut watch);
    let all = |kernel: &BTreeMap<u32, Kernel>| -> u64 {
        kernel.values().map(|k| k.voluntary + k.involuntary).sum()
    };
    let open = |sample: &Sample| sample.windows[0].open_ns as f64;
    let share = (open(&sample) - open(&first)) / elapsed.as_nanos() as f64;
    let seen = switches(&sample).left - switches(&first).left;
    let kernel = all(&after) - all(&before);
    let missed: u64 = missed(&sample).iter().sum();
    println!(
        "{seen} of {kernel} switches in {:.1} % of the time, {missed} missed",
        share * 100.0
    );
    assert!(share < 0.5, "open for {share} of the time");
    let expected = kernel as f64 * share;
    assert!(
        (seen as f64) < expected * 1.3 && (seen + missed) as f64 > expected * 0.5,
        "{seen} seen and {missed} missed of {expected}"
    );
}

#[test]
fn windows_that_are_switched_off_say_so() {
    let watch = watch_with(
        std::process::id(),
        &Options {
            switch_share: 0.0,
            ..ALWAYS
        },
    );
    let why = watch
        .unavailable()
        .iter()
        .find(|u| u.measure == "switch_latency");
    let why = why.expect("not measured");
    assert!(why.reason.contains("switched off"), "{}", why.reason);
    assert!(watch.measures().iter().all(|m| m.name != "switch_latency"));
}

/// The middle one of three ping-pongs, so that a moment that the hypervisor took away does not count.
fn middle_of_three(processes: bool, options: &Options) -> (Medians, u64) {
    let mut measured = [0; 3].map(|_| measure(processes, 0, options));
    measured.sort_by(|one, other| one.0.corrected.total_cmp(&other.0.corrected));
    let [_, middle, _] = measured;
    middle
}

/// Medians of one ping-pong, and what it timed itself for each switch.
fn measure(processes: bool, others: u32, options: &Options) -> (Medians, u64) {
    let mut ping_pong = ping_pong(processes, trips());
    let look = Look::begin(ping_pong.workload.pid, options);
    let ns = ping_pong.run();
    (medians(&look.end().latency, kind(processes), others), ns)
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn medians_are_steady_and_in_order(options: &Options) {
    // The time an emulated CPU takes is that of its emulation.
    let runs = if emulated() { 1 } else { 5 };
    let measured: Vec<_> = (0..runs)
        .map(|_| [false, true].map(|processes| middle_of_three(processes, options)))
        .collect();
    for [threads, processes] in &measured {
        println!("threads {threads:?}, processes {processes:?}");
    }
    if emulated() {
        return;
    }
    let corrected =
        |which: usize| -> Vec<f64> { measured.iter().map(|run| run[which].0.corrected).collect() };
    let [threads, processes] = [0, 1].map(|which| middle(corrected(which)));
    for which in [0, 1] {
        for (run, corrected) in measured.iter().zip(corrected(which)) {
            // A shared CPU's own speed moves by more than a tenth from run to run, and with it all that
            // is recorded: steady is what is left of it.
            let (medians, round_trip) = &run[which];
            let left = |medians: &Medians| medians.corrected / medians.recorded[0];
            let usual = middle(measured.iter().map(|run| left(&run[which].0)).collect());
            assert_near("the corrected part of a median", left(medians), usual, 0.1);
            assert!(
                corrected < *round_trip as f64,
                "{corrected}, in all {round_trip}"
            );
        }
    }
    assert!(
        threads < processes,
        "threads {threads}, processes {processes}"
    );
}

/// An event of somebody else's that records the switches of a CPU, with a ring nobody reads.
fn foreign_recorder(cpu: i32) -> (OwnedFd, memmap2::MmapRaw) {
    use perf_event_open_sys::{bindings, perf_event_open};
    let mut attr = bindings::perf_event_attr {
        type_: bindings::PERF_TYPE_SOFTWARE,
        size: size_of::<bindings::perf_event_attr>() as u32,
        config: bindings::PERF_COUNT_SW_DUMMY.into(),
        sample_type: (bindings::PERF_SAMPLE_TID | bindings::PERF_SAMPLE_TIME).into(),
        ..Default::default()
    };
    attr.set_context_switch(1);
    attr.set_sample_id_all(1);
    // SAFETY: `attr` is initialised, and the descriptor that is made is ours alone.
    let event = unsafe {
        let fd = perf_event_open(&mut attr, -1, cpu, -1, 0);
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(fd)
    };
    let ring = memmap2::MmapOptions::new()
        .len(17 * 4096)
        .map_raw_read_only(&event);
    (event, ring.expect("a ring"))
}

/// The records of others are part of what stamps see; of records alone it is known how many there are.
#[test]
fn one_more_recorder_does_not_move_the_corrected_median() {
    let runs = if emulated() { 1 } else { 5 };
    let options = Options {
        without: BY_RECORDS,
        ..ALWAYS
    };
    let (mut alone, mut with_other) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        alone.push(measure(false, 0, &options).0);
        let recorder = foreign_recorder(1);
        with_other.push(measure(false, 1, &options).0);
        drop(recorder);
    }
    println!("alone {alone:?}\nwith a recorder of others {with_other:?}");
    if emulated() {
        return;
    }
    let corrected = |runs: &[Medians]| middle(runs.iter().map(|run| run.corrected).collect());
    let raw = |runs: &[Medians]| middle(runs.iter().map(|run| run.recorded[0]).collect());
    // It does take its time.
    assert!(
        raw(&with_other) > raw(&alone) * 1.15,
        "{} and {}",
        raw(&with_other),
        raw(&alone)
    );
    assert_near("corrected", corrected(&with_other), corrected(&alone), 0.1);
}
