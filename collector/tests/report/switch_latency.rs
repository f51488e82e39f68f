//! The latency of switches: the line through medians, and what is said where there is none.

use connscope::export::Style;
use connscope::report;
use connscope::report::switch_latency::{Figures, MIN_SAMPLES, SwitchLatency};
use connscope::snapshot::{
    Histogram, Loss, Recording, Snapshot, SwitchKind, SwitchSamples, Unavailable, Window,
};

use super::figures::{only, report, small};
use super::sample::{FORK, MODELS, Model, attach, recording, run};
use super::tables::table_of;

/// Buckets to each power of two, as the kernel half has them for switches.
const SUB_BITS: u32 = 6;
/// What each recording event adds to a switch.
const RECORDING_NS: u64 = 340;

/// A hundred milliseconds: what windows of 2 % saw of these seconds.
pub(crate) fn look(start: &mut Snapshot, end: &mut Snapshot, model: &Model) {
    for (snapshot, open_ns, windows) in [(&mut *start, 40_000_000, 4), (end, 140_000_000, 14)] {
        snapshot.windows.push(Window {
            probe: "switch_latency".to_owned(),
            open_ns,
            windows,
        });
        snapshot.losses.push(loss(0));
        if windows == 14 {
            let busy = usize::from(model.creates.is_some());
            let kind = match model.creates {
                Some(FORK) => SwitchKind::DifferentAddressSpace,
                _ => SwitchKind::SameAddressSpace,
            };
            let samples = &mut snapshot.roles[busy].switch_latency.samples;
            for events in 1..=3 {
                samples.push(recorded(kind, false, events, 310, 400));
                samples.push(recorded(SwitchKind::Idle, false, events, 290, 130));
            }
        }
    }
}

fn loss(count: u64) -> Loss {
    Loss {
        probe: "switch_latency".to_owned(),
        what: "context-switch records without their match".to_owned(),
        count,
    }
}

/// So many switches of a median of `ns`, evenly from 100 ns below to 100 ns above, and longer by what
/// recording adds.
fn recorded(kind: SwitchKind, preempted: bool, events: u32, ns: u64, count: u64) -> SwitchSamples {
    let mut histogram = Histogram {
        sub_bits: SUB_BITS,
        ..Histogram::default()
    };
    for number in 0..count {
        let value = ns - 100 + 200 * number / count + RECORDING_NS * u64::from(events);
        let bit = value.ilog2();
        let bucket = ((bit - SUB_BITS) << SUB_BITS) as usize + (value >> (bit - SUB_BITS)) as usize;
        histogram
            .counts
            .resize(histogram.counts.len().max(bucket + 1), 0);
        histogram.counts[bucket] += 1;
        histogram.sum_ns += value;
        histogram.max_ns = histogram.max_ns.max(value);
    }
    SwitchSamples {
        kind,
        preempted,
        recording_events: events,
        histogram,
    }
}

/// The report of windows that saw these switches.
fn latency(samples: Vec<SwitchSamples>) -> SwitchLatency {
    let mut run = small();
    for (snapshot, open_ns, count) in [(&mut run.start, 0, 5), (&mut run.end, 30_000_000, 9)] {
        snapshot.windows = vec![Window {
            probe: "switch_latency".to_owned(),
            open_ns,
            windows: open_ns / 10_000_000,
        }];
        snapshot
            .losses
            .retain(|loss| loss.probe != "switch_latency");
        snapshot.losses.push(loss(count));
        snapshot
            .roles
            .iter_mut()
            .for_each(|role| role.switch_latency.samples.clear());
    }
    run.end.roles[0].switch_latency.samples = samples;
    let report = report(run);
    let kernel = &only(&report).measures.kernel;
    kernel.switch_latency.clone().expect("measured")
}

fn with_each_number(kind: SwitchKind, preempted: bool, ns: u64, count: u64) -> Vec<SwitchSamples> {
    (1..=3)
        .map(|events| recorded(kind, preempted, events, ns, count))
        .collect()
}

#[track_caller]
fn assert_ns(seconds: f64, ns: f64) {
    assert!(
        (seconds * 1e9 - ns).abs() < 6.0,
        "{} ns, not {ns}",
        seconds * 1e9
    );
}

#[test]
fn of_stamped_switches_each_percentile_is_their_own() {
    let kind = SwitchKind::SameAddressSpace;
    let both = |count| [0, 1].map(|events| recorded(kind, false, events, 310, count));
    let latency_of = |count| latency(both(count).to_vec()).same_address_space.all;
    let figures = latency_of(MIN_SAMPLES);
    assert!(figures.is_stamped());
    assert_eq!(figures.reason, None);
    let corrected = figures.corrected.expect("enough samples");
    assert_ns(corrected.p50_seconds, 310.0);
    assert_ns(corrected.p90_seconds, 390.0);
    assert_ns(corrected.p99_seconds, 408.0);
    let [lower, upper] = corrected.p50_confidence_95_seconds;
    assert!(lower < corrected.p50_seconds && corrected.p50_seconds < upper);
    assert_ns(
        figures.recording_cost_seconds.expect("a cost"),
        RECORDING_NS as f64,
    );
    assert_eq!(figures.raw.count, MIN_SAMPLES);

    let few = latency_of(MIN_SAMPLES - 1);
    assert_eq!((few.corrected, few.recording_cost_seconds), (None, None));
    assert!(few.reason.expect("why").contains("too few"));
}

#[test]
fn the_line_through_medians_leads_back_to_no_recording() {
    let latency = latency(with_each_number(
        SwitchKind::SameAddressSpace,
        false,
        310,
        1_000,
    ));
    let figures = &latency.same_address_space.all;
    let corrected = figures.corrected.expect("enough samples");
    assert_ns(corrected.p50_seconds, 310.0);
    assert_ns(corrected.p90_seconds, 390.0);
    assert_ns(corrected.p99_seconds, 408.0);
    assert_ns(
        figures.recording_cost_seconds.expect("a cost"),
        RECORDING_NS as f64,
    );
    assert_ns(figures.raw.p50_seconds.expect("raw"), 650.0);
    assert_eq!((figures.raw.count, &figures.reason), (1_000, &None));
    let [lower, upper] = corrected.p50_confidence_95_seconds;
    assert!(lower < corrected.p50_seconds && corrected.p50_seconds < upper);
    // 0.98 of the root of a thousand samples, of 200 ns, with weights of 4/3, 1/3 and 2/3.
    assert_ns(
        (upper - lower) / 2.0,
        200.0 * 0.98 / 1_000_f64.sqrt() * 21_f64.sqrt() / 3.0,
    );
    assert_eq!((latency.windows, latency.window_seconds), (3, 0.03));
    assert_eq!(latency.lost.values().copied().collect::<Vec<_>>(), [4]);
}

/// While somebody else records too there are no switches that one event alone recorded, and two medians make the line.
#[test]
fn one_more_event_does_not_move_the_origin() {
    let samples = (2..=3).map(|events| recorded(SwitchKind::Idle, false, events, 310, 1_000));
    let figures = latency(samples.collect()).idle.all;
    let corrected = figures.corrected.expect("enough samples");
    assert_ns(corrected.p50_seconds, 310.0);
    assert_ns(corrected.p90_seconds, 390.0);
}

#[test]
fn kinds_and_preemption_are_kept_apart() {
    let mut samples = with_each_number(SwitchKind::SameAddressSpace, false, 300, 200);
    samples.extend(with_each_number(
        SwitchKind::SameAddressSpace,
        true,
        500,
        100,
    ));
    samples.extend(with_each_number(
        SwitchKind::DifferentAddressSpace,
        true,
        700,
        150,
    ));
    let latency = latency(samples);
    let p50 = |figures: &Figures| figures.corrected.expect("enough samples").p50_seconds;
    assert_ns(p50(&latency.same_address_space.voluntary), 300.0);
    assert_ns(p50(&latency.same_address_space.preempted), 500.0);
    assert_eq!(latency.same_address_space.all.raw.count, 300);
    assert_ns(p50(&latency.different_address_space.all), 700.0);
    let none = &latency.kernel_thread.all;
    assert_eq!((none.raw.count, none.corrected), (0, None));
    assert_eq!(
        none.reason.as_deref(),
        Some("no such switch in the windows")
    );
}

#[test]
fn too_few_samples_are_not_extrapolated() {
    let few = with_each_number(SwitchKind::Idle, false, 310, MIN_SAMPLES - 1);
    let figures = latency(few).idle.all;
    assert_eq!(
        (figures.corrected, figures.recording_cost_seconds),
        (None, None)
    );
    assert!(figures.reason.expect("a reason").contains("too few"));
    let counts: Vec<_> = figures
        .by_recording_events
        .iter()
        .map(|p| p.count)
        .collect();
    assert_eq!(counts, [MIN_SAMPLES - 1; 3]);
    let mut one = with_each_number(SwitchKind::Idle, false, 310, MIN_SAMPLES);
    one.truncate(1);
    assert_eq!(latency(one).idle.all.corrected, None);
}

#[test]
fn a_line_that_does_not_rise_is_noise() {
    let mut samples = with_each_number(SwitchKind::Idle, false, 310, 500);
    samples[2].recording_events = 1;
    samples[0].recording_events = 3;
    let figures = latency(samples).idle.all;
    assert_eq!(figures.corrected, None);
    let reason = figures.reason.expect("a reason");
    assert_eq!(reason, "what recording adds cannot be told from noise");
}

#[test]
fn without_windows_nothing_is_zero() {
    let mut run = small();
    for snapshot in [&mut run.start, &mut run.end] {
        snapshot.windows.clear();
        snapshot
            .roles
            .iter_mut()
            .for_each(|role| role.switch_latency.samples.clear());
    }
    let report = report(run);
    let latency = only(&report).measures.kernel.switch_latency.as_ref();
    let figures = &latency.expect("listed").same_address_space.all;
    assert_eq!((figures.raw.p50_seconds, figures.corrected), (None, None));
    let reason = figures.reason.as_deref();
    assert_eq!(reason, Some("no window fell into the measured time"));
}

#[test]
fn where_the_probe_cannot_run_there_is_nothing() {
    let mut recording: Recording = attach();
    recording.unavailable.push(Unavailable {
        measure: "switch_latency".to_owned(),
        reason: "no perf records of switches on CPU 0".to_owned(),
    });
    let report = report::build(&recording).expect("a report");
    assert_eq!(only(&report).measures.kernel.switch_latency, None);
}

#[test]
fn repeats_are_summed() {
    let mut runs = vec![run(&MODELS[1], 10, 1), run(&MODELS[1], 10, 2)];
    for run in &mut runs {
        run.end.losses.last_mut().expect("a loss").count = 10;
    }
    let report = report::build(&recording("compare", runs)).expect("a report");
    let latency = only(&report).measures.kernel.switch_latency.as_ref();
    let latency = latency.expect("measured");
    assert_eq!(latency.same_address_space.all.raw.count, 800);
    assert_eq!((latency.windows, latency.window_seconds), (20, 0.2));
    assert_eq!(latency.lost.values().copied().collect::<Vec<_>>(), [20]);
}

/// Two processes are watched through the same windows, two servers each through its own.
#[test]
fn the_note_counts_shared_windows_once() {
    let note = |recording: &Recording| {
        let report = report::build(recording).unwrap();
        let text = table_of(&report, &Style::default());
        let line = text.lines().find(|line| line.contains("switch windows"));
        line.expect("a note").to_owned()
    };
    let mut processes = attach();
    let mut other = processes.runs[0].clone();
    other.pids = vec![999];
    processes.runs.push(other);
    assert!(note(&processes).contains("open for 100 ms in all"));
    let servers = vec![run(&MODELS[0], 40, 1), run(&MODELS[1], 40, 1)];
    let servers = recording("compare", servers);
    assert!(note(&servers).contains("open for 200 ms in all"));
}
