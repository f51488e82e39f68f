//! Figures of functions of the kernel: there where they could be entered, and unknown elsewhere.

use connscope::report;
use connscope::snapshot::{Calls, Recording, Run, Unavailable};

use super::around::histogram;
use super::sample::{MODELS, recording, run};
use super::tables::{plain, table_of};

/// A run of processes that fork: each fork of 80 us in the kernel, of which 50 copy, and shootdowns of
/// 1 to 100 us, the first before the window.
pub(crate) fn entered() -> Run {
    let mut run = run(&MODELS[0], 40, 1);
    let calls = |number: usize| {
        let fork = Calls {
            kind: "fork".to_owned(),
            latency: histogram(vec![80_000; number]),
            probe_within_ns: 200,
            probe_whole_ns: 900,
            ..Calls::default()
        };
        Some(vec![fork])
    };
    for (snapshot, forks, shootdowns) in [
        (&mut run.before, 0, 0),
        (&mut run.start, 39, 1),
        (&mut run.end, 39, 101),
    ] {
        let role = &mut snapshot.roles[0];
        role.kernel_calls = calls(forks);
        role.page_table_copy = Some(histogram(vec![50_000; forks]));
        let times = (0..shootdowns).map(|number: u64| number.max(1) * 1_000);
        role.shootdown_latency = Some(histogram(times));
    }
    run
}

#[test]
fn calls_in_the_kernel_are_since_the_watch_began_and_shootdowns_of_the_window() {
    let report = report::build(&recording("compare", vec![entered()])).unwrap();
    let kernel = &report.targets[0].measures.kernel;
    let creations = kernel.creations.as_ref().unwrap();
    let latency = creations.latency_in_kernel.as_ref().unwrap();
    assert_eq!((latency.fork.distribution.count, latency.not_seen), (39, 1));
    assert_eq!(latency.probe_slows_seconds, 900e-9);
    let (raw, corrected) = (
        latency.fork.distribution.p50_seconds.unwrap(),
        latency.fork.corrected_p50_seconds.unwrap(),
    );
    assert!((raw - corrected - 200e-9).abs() < 1e-12);
    let copies = creations.page_table_copy.as_ref().unwrap();
    assert_eq!(copies.count, 39);
    assert!((copies.sum_seconds - 39.0 * 50e-6).abs() < 1e-12);
    let shootdowns = kernel.shootdown_latency.as_ref().unwrap();
    assert_eq!(shootdowns.count, 100);
    let middle = shootdowns.p50_seconds.unwrap();
    assert!((middle / 50e-6 - 1.0).abs() <= shootdowns.relative_error.unwrap());
    let table = table_of(&report, &plain(200));
    for row in [
        "fork in kernel p50",
        "of it, copies p50",
        "shootdown took p99",
        "calls in the kernel",
    ] {
        assert!(table.contains(row), "{row}: {table}");
    }
}

#[test]
fn where_the_kernel_cannot_be_entered_all_is_unknown_and_said_once() {
    const REASON: &str = "needs fentry or kprobes: the kernel refuses fentry programs";
    let measures = [
        "creation_latency_in_kernel",
        "page_table_copy",
        "shootdown_latency",
    ];
    let lacking = |measure: &str| Unavailable {
        measure: measure.to_owned(),
        reason: REASON.to_owned(),
    };
    let recording = Recording {
        unavailable: measures.map(lacking).to_vec(),
        ..recording("compare", vec![run(&MODELS[0], 40, 1)])
    };
    let report = report::build(&recording).unwrap();
    let kernel = &report.targets[0].measures.kernel;
    let creations = kernel.creations.as_ref().unwrap();
    assert_eq!(creations.latency_in_kernel, None);
    assert_eq!(creations.page_table_copy, None);
    assert_eq!(kernel.shootdown_latency, None);
    assert!(creations.latency.is_some());
    let table = table_of(&report, &plain(200));
    assert_eq!(table.matches(REASON).count(), 1, "{table}");
    assert!(
        table.contains(&format!("{}: {REASON}", measures.join(", "))),
        "{table}"
    );
    assert!(!table.contains("in kernel p50"), "{table}");
}
