//! What a call creates, by its flags.

use connscope::report;
use connscope::report::Report;
use connscope::report::creations::{Creations, Kind, flag_names, kind};
use connscope::snapshot::{Creation, Role, Snapshot};

use super::sample::{FORK, MODELS, PTHREAD, recording, run};

/// Those of the report's first target.
fn creations(report: &Report) -> &Creations {
    let kernel = &report.targets[0].measures.kernel;
    kernel.creations.as_ref().expect("creations")
}

#[test]
fn flags_are_named_lowest_first_and_none_is_left_out() {
    // glibc's pthread_create, as strace shows it.
    assert_eq!(
        flag_names(PTHREAD),
        [
            "CLONE_VM",
            "CLONE_FS",
            "CLONE_FILES",
            "CLONE_SIGHAND",
            "CLONE_THREAD",
            "CLONE_SYSVSEM",
            "CLONE_SETTLS",
            "CLONE_PARENT_SETTID",
            "CLONE_CHILD_CLEARTID",
        ]
    );
    assert_eq!(
        flag_names(FORK),
        ["CLONE_CHILD_CLEARTID", "CLONE_CHILD_SETTID"]
    );
    assert_eq!(
        flag_names(FORK | 17),
        ["signal 17", "CLONE_CHILD_CLEARTID", "CLONE_CHILD_SETTID"]
    );
    assert_eq!(flag_names(0x80), ["CLONE_NEWTIME"]);
    assert_eq!(flag_names(1 << 50), ["0x4000000000000"]);
    assert!(flag_names(0).is_empty());
}

#[test]
fn kinds_follow_from_sharing() {
    assert_eq!(kind(FORK, false), Kind::Process);
    assert_eq!(kind(0x4100, false), Kind::Vfork); // CLONE_VFORK | CLONE_VM
    assert_eq!(kind(PTHREAD, false), Kind::Thread);
    assert_eq!(kind(PTHREAD, true), Kind::IoWorker);
}

#[test]
fn creations_cover_the_setting_up_of_connections() {
    let creation = |clone_flags, io_worker, count| Creation {
        clone_flags,
        io_worker,
        count,
    };
    let mut run = run(&MODELS[2], 10, 1);
    let role = |snapshot: &mut Snapshot, creations: Vec<Creation>| {
        snapshot.roles[0] = Role {
            creations,
            ..snapshot.roles[0].clone()
        };
    };
    role(&mut run.before, vec![creation(FORK, false, 2)]);
    role(
        &mut run.start,
        vec![creation(FORK, false, 12), creation(PTHREAD, false, 30)],
    );
    let end = vec![
        creation(FORK, false, 13),
        creation(PTHREAD, false, 40),
        creation(PTHREAD, true, 3),
        creation(0x4100, false, 1),
    ];
    role(&mut run.end, end);
    let report = report::build(&recording("compare", vec![run])).unwrap();
    let creations = creations(&report);
    assert_eq!(creations.process.count, 11);
    assert_eq!(creations.vfork.count, 1);
    assert_eq!(creations.thread.count, 40);
    assert_eq!(creations.io_worker.count, 3);
    assert_eq!(creations.total(), 55);
    let by_flags: Vec<_> = creations
        .by_flags
        .iter()
        .map(|f| (f.count, f.io_worker))
        .collect();
    assert_eq!(by_flags, [(40, false), (11, false), (3, true), (1, false)]);
}

#[test]
fn calls_have_latency_corrected_and_its_slope_over_pages() {
    let report = report::build(&recording("compare", vec![run(&MODELS[0], 40, 1)])).unwrap();
    let creations = creations(&report);
    let latency = creations.latency.as_ref().unwrap();
    assert_eq!((latency.fork.distribution.count, latency.not_seen), (40, 0));
    assert_eq!(latency.thread.distribution.count, 0);
    let slope = latency.fork.per_resident_page_seconds.unwrap();
    assert!((slope - 30e-9).abs() < 1e-15, "{slope}");
    let mean_pages = 1_000.0 + 10.0 * 19.5;
    assert_eq!(
        latency.fork.parent_resident_bytes,
        Some(mean_pages * 4096.0)
    );
    assert_eq!(latency.fork.parent_page_table_bytes, Some(86_016.0));
    let (raw, corrected) = (
        &latency.fork.distribution,
        latency.fork.corrected_p50_seconds,
    );
    let share = raw.p50_seconds.unwrap() - corrected.unwrap();
    assert!((share - 1_400e-9).abs() < 1e-12, "{share}");
    assert_eq!(latency.probe_slows_seconds, 3_100e-9);
}

#[test]
fn callers_of_one_size_give_no_slope_and_what_was_not_called_is_unseen() {
    let mut run = run(&MODELS[1], 40, 1);
    for snapshot in [&mut run.start, &mut run.end] {
        let calls = snapshot.roles[0].calls.as_mut().unwrap();
        calls[0] = calls[2].clone();
        calls[0].kind = "fork".to_owned();
        calls[0].resident_pages = 40 * 500;
        calls[0].pages_squared = 40.0 * 500.0 * 500.0;
        calls[2].latency.counts.clear();
        calls[2].latency.sum_ns = 0;
        calls.truncate(3);
        snapshot.roles[0].creations[0].count = 47;
    }
    let report = report::build(&recording("compare", vec![run])).unwrap();
    let creations = creations(&report);
    let latency = creations.latency.as_ref().unwrap();
    assert_eq!(latency.fork.per_resident_page_seconds, None);
    assert_eq!(latency.not_seen, 7);
    assert_eq!(latency.thread.parent_resident_bytes, None);
}

#[test]
fn calls_that_could_not_be_probed_are_unknown_not_zero() {
    let mut run = run(&MODELS[0], 40, 1);
    for snapshot in [&mut run.before, &mut run.start, &mut run.end] {
        snapshot.roles.iter_mut().for_each(|role| role.calls = None);
    }
    let report = report::build(&recording("compare", vec![run])).unwrap();
    let creations = creations(&report);
    assert_eq!(creations.latency, None);
    assert_eq!(creations.process.count, 40);
}
