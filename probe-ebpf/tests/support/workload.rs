//! Workloads of known size, in a child process, and what the kernel itself says of them.
#![allow(dead_code, unreachable_pub, unused_imports)]

use probe_ebpf::{
    Assignment, GroupRule, Options, Watch,
    probes::sched::UNKNOWN_WAITS,
    sample::{Histogram, Loss, Sample, State, TaskSample, Totals, add_totals},
};
use std::{
    collections::BTreeMap,
    io::{PipeReader, PipeWriter, Read, Write},
    time::{Duration, Instant},
};

mod machine;
mod pairs;

pub use machine::*;
pub use pairs::*;

/// A child process that runs its body when told to, then stays as it is until it is dropped.
pub struct Workload {
    pub pid: u32,
    go: PipeWriter,
    done: PipeReader,
}

impl Workload {
    /// Forks. In the child, `prepare` runs at once and its result, `body`, at [`Self::run`].
    pub fn new<Body: FnOnce()>(prepare: impl FnOnce() -> Body) -> Self {
        let (mut go_here, go) = std::io::pipe().expect("pipe");
        let (done, mut done_there) = std::io::pipe().expect("pipe");
        // SAFETY: the child runs code of this file and the test's body alone, and leaves by _exit.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
        if pid == 0 {
            drop((go, done));
            let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let body = prepare();
                done_there.write_all(b"r").expect("parent is there");
                if go_here.read(&mut [0]).unwrap_or(0) == 1 {
                    body();
                    let _ = done_there.write_all(b"d");
                    let _ = go_here.read(&mut [0]);
                }
            }));
            // SAFETY: ends this process at once, without the parent's exit handlers.
            unsafe { libc::_exit(i32::from(ran.is_err())) };
        }
        drop((go_here, done_there));
        let mut workload = Self {
            pid: pid as u32,
            go,
            done,
        };
        workload.expect(b'r');
        workload
    }

    /// Runs the body to its end.
    pub fn run(&mut self) {
        self.start();
        self.finish();
    }

    pub fn start(&mut self) {
        self.go.write_all(b"g").expect("child is there");
    }

    pub fn finish(&mut self) {
        self.expect(b'd');
        settle();
    }

    fn expect(&mut self, byte: u8) {
        let mut said = [0];
        let read = self.done.read(&mut said).expect("pipe");
        assert_eq!((read, said[0]), (1, byte), "the workload failed");
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        let pid = self.pid as i32;
        // SAFETY: a process of ours, not yet waited for, so the pid is still its own.
        unsafe {
            libc::kill(pid, libc::SIGKILL);
            libc::waitpid(pid, std::ptr::null_mut(), 0);
        }
    }
}

/// Long enough for tasks that said they were done to block.
pub fn settle() {
    std::thread::sleep(Duration::from_millis(50));
}

/// Group numbers of a watch made by [`watch`].
pub const MAIN: usize = 0;
pub const THREAD: usize = 1;
pub const CHILD: usize = 2;

/// Watches a process in three groups: its main thread, its threads, its descendants.
pub fn watch(pid: u32) -> Watch {
    watch_with(pid, &Options::default())
}

/// The same for tests of the books alone.
pub fn watch_books(pid: u32) -> Watch {
    watch_for(pid, &[])
}

/// The same for tests of these probes.
pub fn watch_for(pid: u32, probes: &'static [&'static str]) -> Watch {
    let (only, options) = (only(probes), Options::default());
    watch_with(pid, &Options { only, ..options })
}

/// What a test needs of the probes that do not keep the books. On an emulated machine others are left out: they would take most of its time to
/// load, and each has tests of its own.
pub fn only(probes: &'static [&'static str]) -> Option<&'static [&'static str]> {
    emulated().then_some(probes)
}

/// The same with these options.
pub fn watch_with(pid: u32, options: &Options) -> Watch {
    let (thread, child) = (THREAD as u32, CHILD as u32);
    let of_process = GroupRule {
        thread_group: thread,
        process_group: child,
        unsettled: 0,
    };
    let of_child = GroupRule {
        thread_group: child,
        process_group: child,
        unsettled: 0,
    };
    let rules = [of_process, of_process, of_child];
    let mut watch = Watch::load(&rules, options).expect("probes load");
    let process = Assignment {
        pid,
        main_group: MAIN as u32,
        thread_group: thread,
        process_group: child,
        unsettled: false,
    };
    watch.add(process).expect("the workload can be watched");
    watch
}

/// What the kernel's own files say of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kernel {
    pub run_ns: u64,
    pub wait_ns: u64,
    pub arrivals: u64,
    pub voluntary: u64,
    pub involuntary: u64,
}

impl Kernel {
    pub fn of(pid: u32, tid: u32) -> Self {
        let read = |file: &str| {
            std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/{file}"))
                .expect("the task lives")
        };
        let schedstat = read("schedstat");
        let mut fields = schedstat
            .split_whitespace()
            .map(|field| field.parse().expect("a number"));
        let mut next = || fields.next().expect("three fields");
        let (run_ns, wait_ns, arrivals) = (next(), next(), next());
        let status = read("status");
        let field = |name: &str| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .expect("a field of status");
            line.trim().parse().expect("a number")
        };
        let (voluntary, involuntary) = (
            field("voluntary_ctxt_switches:"),
            field("nonvoluntary_ctxt_switches:"),
        );
        Self {
            run_ns,
            wait_ns,
            arrivals,
            voluntary,
            involuntary,
        }
    }

    pub fn since(self, before: Self) -> Self {
        Self {
            run_ns: self.run_ns - before.run_ns,
            wait_ns: self.wait_ns - before.wait_ns,
            arrivals: self.arrivals - before.arrivals,
            voluntary: self.voluntary - before.voluntary,
            involuntary: self.involuntary - before.involuntary,
        }
    }
}

/// Of every task of a process and of its descendants.
pub fn kernel_view(pid: u32) -> BTreeMap<u32, Kernel> {
    let mut view = BTreeMap::new();
    let mut processes = vec![pid];
    while let Some(pid) = processes.pop() {
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives") {
            let tid = task
                .expect("a task")
                .file_name()
                .to_string_lossy()
                .parse()
                .expect("a tid");
            view.insert(tid, Kernel::of(pid, tid));
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/children"))
                .expect("children");
            processes.extend(
                children
                    .split_whitespace()
                    .map(|pid| pid.parse::<u32>().expect("a pid")),
            );
        }
    }
    view
}

/// A sample, and the kernel's view of the same moment: every task blocked, and none switched between
/// the two. (A task that waits for a CPU is in our figures already, and in the kernel's when it gets one.)
pub fn at_rest(pid: u32, watch: &mut Watch) -> (Sample, BTreeMap<u32, Kernel>) {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        let earlier = kernel_view(pid);
        let sample = watch.read().expect("probes can be read");
        let later = kernel_view(pid);
        if earlier == later && tasks(&sample).all(|task| task.state == State::Blocked) {
            return (sample, later);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("process {pid} does not come to rest");
}

pub fn tasks(sample: &Sample) -> impl Iterator<Item = &TaskSample> {
    sample.groups.iter().flat_map(|group| &group.tasks)
}

/// Of all groups, living and ended.
pub fn sum(sample: &Sample) -> Totals {
    let mut sum = Totals::default();
    for group in &sample.groups {
        add_totals(&mut sum, &group.ended);
        group
            .tasks
            .iter()
            .for_each(|task| add_totals(&mut sum, &task.totals));
    }
    sum
}

pub fn all(
    sample: &Sample,
    histogram: impl Fn(&probe_ebpf::sample::GroupSample) -> &Histogram,
) -> (u64, u64) {
    let histograms = || sample.groups.iter().map(&histogram);
    (
        histograms().map(Histogram::count).sum(),
        histograms().map(|histogram| histogram.sum).sum(),
    )
}

/// What the books lack; what windows missed of the switches and faults they sampled, and flushes that came within
/// the program for flushes, are not in the books. An
/// emulated CPU may stand still for milliseconds in the middle of a switch, which no reader can wait
/// for: that a task's books were torn is then said, and no mistake. Nor is it that the kernel told no wait from
/// the sleep before: tests of waits allow for that, by [`assert_wait`].
pub fn lost(sample: &Sample) -> u64 {
    let excused = |loss: &&Loss| {
        ["switch_latency", "faults", "tlb"].contains(&loss.probe)
            || loss.what == UNKNOWN_WAITS
            || emulated() && is_torn(loss)
    };
    let losses = sample.losses.iter().filter(|loss| !excused(loss));
    losses.map(|loss| loss.count).sum()
}

/// How many waits the kernel did not tell from the sleep before.
pub fn unknown_waits(sample: &Sample) -> u64 {
    let found = sample.losses.iter().find(|loss| loss.what == UNKNOWN_WAITS);
    found.expect("it is among the losses").count
}

/// Fails unless the wait seen is the kernel's to the nanosecond. Where it took sleep for waits, whose number is
/// known then, it has more.
#[track_caller]
pub fn assert_wait(sample: &Sample, tid: u32, seen: u64, kernel: u64) {
    match unknown_waits(sample) {
        0 => assert_eq!(seen, kernel, "run-queue wait of {tid}"),
        unknown => assert!(
            seen <= kernel,
            "run-queue wait of {tid}: {seen}, {unknown} of all unknown, the kernel's is {kernel}"
        ),
    }
}

/// How many readings of tasks were torn.
pub fn torn(sample: &Sample) -> u64 {
    let losses = sample.losses.iter().filter(|loss| is_torn(loss));
    losses.map(|loss| loss.count).sum()
}

fn is_torn(loss: &Loss) -> bool {
    loss.what.contains("switched each time")
}

/// Fails unless `seen` lies within `share` of `expected`.
#[track_caller]
pub fn assert_near(what: &str, seen: f64, expected: f64, share: f64) {
    let off = (seen - expected).abs() / expected.abs().max(f64::MIN_POSITIVE);
    assert!(
        off <= share,
        "{what}: {seen} is {:.3} % off {expected}, allowed {:.3} %",
        off * 100.0,
        share * 100.0
    );
}
