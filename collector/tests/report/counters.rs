//! Perf counters, and what the observer's own programs cost.

use connscope::report::{self, measures::Measures};
use connscope::snapshot::counters::{Counters, Reading};
use connscope::snapshot::{Map, Recording, Run};

use super::figures::{only, report};
use super::sample::{MODELS, attach, compare, recording, run};
use super::tables::words;

fn reading(count: u64, share: f64) -> Option<Reading> {
    Some(Reading {
        count,
        enabled_ns: count * 10,
        running_ns: (count as f64 * 10.0 * share) as u64,
    })
}

/// Gives a run counters of both sources: 1,000 to 5,000 in its window, those of the CPU in half of the
/// time. Its CPU cannot count misses of the TLB.
pub(crate) fn counted(run: &mut Run) {
    let at = |count: u64| Counters {
        software: Some(vec![reading(count, 1.0); 4]),
        hardware: Some(vec![
            reading(count, 0.5),
            reading(2 * count, 0.5),
            None,
            reading(3 * count, 0.25),
        ]),
        uncertain_tasks: 3,
    };
    run.start.counters = Some(at(1_000));
    run.end.counters = Some(at(5_000));
}

#[test]
fn counters_are_the_difference_of_two_readings() {
    let mut run = run(&MODELS[0], 10, 1);
    counted(&mut run);
    let measures = only(&report(run)).measures.clone();
    let software = measures.software_counters.as_ref().unwrap();
    assert_eq!(software.context_switches, 4_000);
    assert_eq!(software.page_faults, 4_000);
    assert_eq!(software.task_clock_seconds, 4e-6);
    assert_eq!(software.uncertain_tasks, 3);
}

#[test]
fn counters_that_took_turns_are_scaled_and_say_so() {
    let mut run = run(&MODELS[0], 10, 1);
    counted(&mut run);
    let measures = only(&report(run)).measures.clone();
    let hardware = measures.hardware_counters.as_ref().unwrap();
    assert_eq!(hardware.cycles, Some(8_000.0));
    assert_eq!(hardware.instructions, Some(16_000.0));
    assert_eq!(hardware.dtlb_load_misses, None);
    assert_eq!(hardware.cache_misses, Some(48_000.0));
    assert_eq!(hardware.counted_share, Some(0.25));
}

#[test]
fn a_counter_that_never_counted_has_no_figure() {
    let mut run = run(&MODELS[0], 10, 1);
    counted(&mut run);
    let end = run.end.counters.as_mut().unwrap();
    let cycles = end.hardware.as_mut().unwrap()[0].as_mut().unwrap();
    cycles.count = 1_000;
    cycles.running_ns = 5_000;
    let measures = only(&report(run)).measures.clone();
    let hardware = measures.hardware_counters.as_ref().unwrap();
    assert_eq!(hardware.cycles, None);
    assert_eq!(hardware.counted_share, Some(0.0));
}

fn first(recording: &Recording) -> Measures {
    let report = report::build(recording).unwrap();
    report.targets[0].measures.clone()
}

#[test]
fn repeats_are_summed_and_one_without_counters_leaves_none() {
    let mut recording = compare(2);
    recording.runs.iter_mut().for_each(counted);
    let both = first(&recording).software_counters.unwrap();
    assert_eq!((both.context_switches, both.uncertain_tasks), (8_000, 6));
    recording.runs[1].end.counters = None;
    let one = first(&recording);
    assert_eq!((one.software_counters, one.hardware_counters), (None, None));
}

#[test]
fn counters_that_go_back_are_not_reported() {
    let mut run = run(&MODELS[0], 10, 1);
    counted(&mut run);
    run.end.counters = run.start.counters.clone();
    run.start.counters.as_mut().unwrap().software = Some(vec![reading(9_000, 1.0); 4]);
    let error = report::check(&run).unwrap_err().to_string();
    assert!(error.contains("counter context_switches"), "{error}");
}

#[test]
fn the_table_has_counters_only_where_they_were_asked_for() {
    let mut recording = attach();
    assert!(!words(&recording).contains("Perf counters"));
    counted(&mut recording.runs[0]);
    let table = words(&recording);
    for words in ["Perf counters", "cycles 8,000", "task clock 4.00 µs"] {
        assert!(table.contains(words), "no {words} in {table}");
    }
    assert!(!table.contains("dTLB misses"), "{table}");
}

#[test]
fn what_programs_cost_in_samples_stands_for_all_the_time() {
    let mut run = run(&MODELS[2], 10, 1);
    let report = report(run.clone());
    let observer = &report.observer;
    assert_eq!((observer.sampled_seconds, observer.samples), (0.28, 14));
    assert_eq!(observer.watched_seconds, 7.0);
    let expected = 14_000.0 * 92e-9 / 0.28;
    let share = observer.estimated_share_of_a_core.unwrap();
    assert!((share - expected).abs() < 1e-9, "{share}");
    assert_eq!(observer.programs[0].estimated_share_of_a_core, Some(share));
    assert_eq!(
        (observer.maps.len(), observer.maps[0].bytes),
        (1, Some(83_520))
    );
    let recording = recording("compare", vec![run.clone()]);
    let note = "BPF programs 0.5 % of a core (estimated from 280 ms of 7.00 s); BPF maps 83.5 kB";
    assert!(words(&recording).contains(note), "{}", words(&recording));

    // A map of which the kernel does not say what it takes is named, and no zero.
    let mut untold = recording.clone();
    let told = &mut untold.runs[0];
    for snapshot in [&mut told.before, &mut told.start, &mut told.end] {
        snapshot.maps.push(Map {
            name: "watched".into(),
            bytes: None,
        });
    }
    let maps = report::build(&untold).unwrap().observer.maps;
    assert_eq!((maps[1].name.as_str(), maps[1].bytes), ("watched", None));
    assert!(words(&untold).contains("BPF maps 83.5 kB (not known: watched)"));

    // No sample within the watch: a cost that is not known, and no zero.
    run.end.statistics = run.before.statistics;
    let without = super::figures::report(run).observer;
    assert_eq!(without.estimated_share_of_a_core, None);
    assert_eq!(without.programs[0].estimated_share_of_a_core, None);
}
