//! Recordings that contradict themselves are refused, with the name of the run.

use connscope::report::{self, Problem};
use connscope::snapshot::Run;

use super::sample::{MODELS, recording, run};

type Change = fn(&mut Run);

fn refused(change: impl FnOnce(&mut Run)) -> (String, Problem) {
    let mut run = run(&MODELS[1], 100, 2);
    change(&mut run);
    let error = report::build(&recording("compare", vec![run])).unwrap_err();
    assert_eq!(
        error.run,
        "thread-per-connection with 100 connections, repeat 2"
    );
    (error.to_string(), error.problem)
}

#[test]
fn a_window_has_a_length() {
    let (text, problem) = refused(|run| run.end.at_ns = run.start.at_ns);
    assert!(matches!(problem, Problem::Window { .. }), "{text}");
    assert!(
        text.starts_with("cannot report on thread-per-connection with 100 connections"),
        "{text}"
    );
    let (_, problem) = refused(|run| run.end.at_ns = run.start.at_ns - 1);
    assert!(matches!(problem, Problem::Window { .. }));
    let (_, problem) = refused(|run| run.before.at_ns = run.start.at_ns + 1);
    assert!(matches!(problem, Problem::Window { .. }));
}

#[test]
fn snapshots_list_the_same_roles() {
    let (text, problem) = refused(|run| run.start.roles[1].name = "other".to_owned());
    assert!(matches!(problem, Problem::Roles { .. }));
    assert!(text.contains("[acceptor, other]"), "{text}");
    let (_, problem) = refused(|run| drop(run.end.roles.pop()));
    assert!(matches!(problem, Problem::Roles { .. }));
}

#[test]
fn counters_do_not_go_back() {
    let cases: [(&str, Change); 8] = [
        ("voluntary switches of role connection", |r| {
            r.start.roles[1].ended.voluntary = 1 << 40;
        }),
        ("running time of role acceptor", |r| {
            r.start.roles[0].ended.running_ns = 1 << 40
        }),
        ("CPU time of role acceptor", |r| {
            r.start.roles[0].ended.cpu_ns = 1 << 40
        }),
        ("run_queue_depth of role acceptor", |r| {
            r.start.roles[0].run_queue_depth[1] = 1
        }),
        ("creations with flags 0x3d0f00 by role acceptor", |r| {
            r.before.roles[0].creations = std::mem::take(&mut r.end.roles[0].creations)
        }),
        ("creations not counted", |r| r.before.losses[0].count = 1),
        ("CPU time of connscope", |r| r.end.observer_cpu_ns = 0),
        ("runs of program on_sched_switch", |r| {
            r.end.programs[0].runs = 0
        }),
    ];
    for (expected, change) in cases {
        let (text, problem) = refused(change);
        assert!(matches!(problem, Problem::Backwards { .. }), "{text}");
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_time_may_be_corrected_by_a_tick() {
    let mut run = run(&MODELS[1], 100, 1);
    let role = &mut run.start.roles[0].tasks[0].totals;
    role.runnable_ns = 4_000_000;
    let report = report::build(&recording("compare", vec![run])).unwrap();
    let time = report.targets[0].roles[0]
        .measures
        .time_in_state
        .as_ref()
        .unwrap();
    assert_eq!(time.runnable_seconds, 0.0);
}

#[test]
fn a_host_whose_stolen_time_goes_back_is_not_refused() {
    let mut run = run(&MODELS[1], 100, 1);
    run.end.stolen_ns = 0;
    let report = report::build(&recording("compare", vec![run])).unwrap();
    let cpu = report.targets[0].measures.kernel.cpu.as_ref().unwrap();
    assert_eq!(cpu.host_stolen_seconds, None);
}
