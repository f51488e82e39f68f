//! Ping-pongs looked at through a window without end: switches seen and missed, and medians.
#![allow(dead_code, unreachable_pub)]

use super::workload::*;
use probe_ebpf::{
    Options, Watch,
    sample::{Sample, SwitchKind, SwitchLatency, SwitchSamples},
};
use std::{
    os::fd::{FromRawFd, OwnedFd},
    thread,
    time::{Duration, Instant},
};

/// A window without end.
pub const ALWAYS: Options = Options {
    switch_share: 1.0,
    ..Options::NO_WINDOWS
};

pub fn method(watch: &Watch) -> &'static str {
    let measures = watch.measures();
    let measure = measures.iter().find(|m| m.name == "switch_latency");
    measure.expect("measured").method
}

pub fn switches(sample: &Sample) -> SwitchLatency {
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
pub fn missed(sample: &Sample) -> [u64; 3] {
    use probe_ebpf::probes::switch_latency::{LOST, UNMATCHED, UNRESOLVED};
    [LOST, UNMATCHED, UNRESOLVED].map(|what| {
        let of_it = sample.losses.iter().filter(|loss| loss.what == what);
        of_it.map(|loss| loss.count).sum()
    })
}

/// Samples by bucket of one kind, recorded by so many events.
pub fn counts(latency: &SwitchLatency, kind: SwitchKind, events: u32) -> Vec<u64> {
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
pub fn median(counts: &[u64]) -> f64 {
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

pub fn edges(bucket: u64) -> (f64, f64) {
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

/// Medians with one number of recording events more each, and where their line meets none.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "shown with each run")]
pub struct Medians {
    pub recorded: Vec<f64>,
    pub corrected: f64,
}

impl Medians {
    /// Whether the third event took as long as the second, within a quarter of both: each does the same. Else the
    /// machine was faster while one number of them recorded than while another did. By stamps there is nothing to tell.
    pub fn is_steady(&self) -> bool {
        let [one, two, three] = self.recorded[..] else {
            return true;
        };
        ((three - two) - (two - one)).abs() <= (three - one) / 2.0 / 4.0
    }
}

/// Recorded by up to three events, so many `others` always among them; or timed by stamps.
pub fn medians(latency: &SwitchLatency, kind: SwitchKind, others: u32) -> Medians {
    let recorded_by = |events: u32| median(&counts(latency, kind, events));
    let without_stamps = counts(latency, kind, 0);
    if !without_stamps.is_empty() {
        return Medians {
            recorded: vec![recorded_by(1)],
            corrected: median(&without_stamps),
        };
    }
    let numbers = 1 + others..=3;
    let recorded: Vec<f64> = numbers.clone().map(recorded_by).collect();
    // By least squares.
    let count = recorded.len() as f64;
    let middle = numbers.clone().map(f64::from).sum::<f64>() / count;
    let off = || numbers.clone().map(|number| f64::from(number) - middle);
    let square: f64 = off().map(|off| off * off).sum();
    let slope = off().zip(&recorded).map(|(off, ns)| off * ns).sum::<f64>() / square;
    Medians {
        corrected: recorded.iter().sum::<f64>() / count - slope * middle,
        recorded,
    }
}

pub fn trips() -> u32 {
    sized(100_000)
}

/// A ping-pong on one CPU, timed by itself: nanoseconds for each switch.
pub struct PingPong {
    pub workload: Workload,
    pub time: std::io::PipeReader,
}

pub fn ping_pong(processes: bool, trips: u32) -> PingPong {
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
    pub fn run(&mut self) -> u64 {
        self.workload.run();
        let mut ns = [0; 8];
        std::io::Read::read_exact(&mut self.time, &mut ns).expect("the workload wrote");
        u64::from_ne_bytes(ns)
    }
}

/// A watch through one window without end, of a workload at rest.
pub struct Look {
    pub pid: u32,
    pub watch: Watch,
    pub before: (Sample, u64),
}

/// What became of the switches since the look began.
pub struct Seen {
    pub latency: SwitchLatency,
    /// `nvcsw` and `nivcsw` of all tasks.
    pub kernel: u64,
    /// Records lost, records unmatched, switches of unknown tasks, on the whole host.
    pub missed: [u64; 3],
}

impl Look {
    pub fn begin(pid: u32, options: &Options) -> Self {
        let mut watch = watch_with(pid, options);
        println!("measured by: {}", method(&watch));
        let refused = watch.unavailable().iter();
        let refused: Vec<_> = refused.filter(|u| u.measure == "switch_latency").collect();
        assert!(refused.is_empty(), "{refused:?}");
        let before = Self::rest(pid, &mut watch);
        Self { pid, watch, before }
    }

    pub fn end(mut self) -> Seen {
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

    /// The books of the windows follow within a few hundredths of a second: until nothing more comes for some more.
    pub fn rest(pid: u32, watch: &mut Watch) -> (Sample, u64) {
        at_rest(pid, watch);
        let (mut last, mut looks) = (None, 0);
        while looks < 30 {
            thread::sleep(Duration::from_millis(10));
            let now = all_told(&watch.read().expect("read"));
            looks = if last == Some(now) { looks + 1 } else { 0 };
            last = Some(now);
        }
        let (sample, kernel) = at_rest(pid, watch);
        (
            sample,
            kernel.values().map(|k| k.voluntary + k.involuntary).sum(),
        )
    }
}

/// How many switches windows have shown of the tasks so far.
fn all_told(sample: &Sample) -> (u64, u64) {
    let SwitchLatency { left, came, .. } = switches(sample);
    (left, came)
}

impl Seen {
    /// The kernel's switches are those seen and those missed, none twice and none made up.
    #[track_caller]
    pub fn assert_accounted_for(&self, what: &str) {
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

pub fn kind(processes: bool) -> SwitchKind {
    match processes {
        false => SwitchKind::SameSpace,
        true => SwitchKind::DifferentSpace,
    }
}

/// Medians of one ping-pong, and what it timed itself for each switch.
pub fn measure(processes: bool, others: u32, options: &Options) -> (Medians, u64) {
    let mut ping_pong = ping_pong(processes, trips() / 2);
    let look = Look::begin(ping_pong.workload.pid, options);
    let ns = ping_pong.run();
    (medians(&look.end().latency, kind(processes), others), ns)
}

pub fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// An event of somebody else's that records the switches of a CPU, with a ring nobody reads.
pub fn foreign_recorder(cpu: i32) -> (OwnedFd, memmap2::MmapRaw) {
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
