//! What watching cost and lost, the tasks one by one, and a watch of nothing.

use connscope::report;
use connscope::snapshot::{Host, Program, Recording};

use super::figures::{only, report, small};
use super::sample::{MODELS, attach, methods, run};
use super::tables::words;

#[test]
fn losses_are_those_of_the_watch_and_zeros_are_told() {
    let mut run = small();
    run.before.losses[0].count = 4;
    run.start.losses[0].count = 5;
    run.end.losses[0].count = 7;
    run.before.roles[0].tasks[0].totals.unseen = 1;
    run.start.roles[0].tasks[0].totals.unseen = 1;
    run.end.roles[0].tasks[0].totals.unseen = 3;
    run.end.roles[0].ended.unseen = 2;
    let report = report(run);
    let count = |probe: &str| report.lost[probe].values().copied().collect::<Vec<_>>();
    assert_eq!(
        (count("creations"), count("tasks"), count("sched")),
        (vec![3], vec![0], vec![4])
    );
    assert_eq!(only(&report).lost, report.lost);
    // Those of the window alone.
    assert_eq!(
        only(&report)
            .measures
            .kernel
            .context_switches
            .as_ref()
            .unwrap()
            .unseen,
        4
    );
}

#[test]
fn the_observer_counts_from_the_first_snapshot_to_the_last() {
    let run = run(&MODELS[2], 10, 1);
    let runs = run.end.programs[0].runs - run.before.programs[0].runs;
    let observer = report(run).observer;
    assert_eq!(observer.cpu_seconds, 7.0 / 50.0);
    assert_eq!(observer.rss_bytes, 11_308_000);
    assert_eq!(
        (observer.programs[0].runs, observer.programs.len()),
        (runs, 1)
    );
    assert!((observer.programs[0].run_seconds - runs as f64 * 92e-9).abs() < 1e-9);
}

#[test]
fn what_windows_cost_is_told_apart() {
    let mut recording = attach();
    let run = &mut recording.runs[0];
    let on_ns = run.end.statistics.on_ns - run.before.statistics.on_ns;
    for (name, probe, share) in [
        ("on_page_fault_u", "faults", 0.0002),
        ("on_memcg_event", "faults", 0.0001),
        ("on_stamped", "switch_latency", 0.000_05),
    ] {
        let program = |run_ns| Program {
            name: name.to_owned(),
            probe: probe.to_owned(),
            runs: run_ns / 100,
            run_ns,
        };
        run.before.programs.push(program(0));
        let run_ns = on_ns as f64 * share;
        run.end.programs.push(program(run_ns as u64));
    }
    let words = words(&recording);
    let expected = "of these 0.030 % in windows for faults, 0.005 % in windows for switches";
    assert!(words.contains(expected), "{words}");
}

#[test]
fn without_statistics_no_program_is_told_rather_than_free_ones() {
    let mut recording = attach();
    let run = &mut recording.runs[0];
    for snapshot in [&mut run.before, &mut run.start, &mut run.end] {
        snapshot.programs.clear();
    }
    let report = report::build(&recording).unwrap();
    assert_eq!(report.observer.programs, []);
    let words = words(&recording);
    let expected = "cost of the BPF programs not known";
    assert!(words.contains(expected), "{words}");
}

#[test]
fn targets_watched_at_once_share_losses_and_cost() {
    let mut recording = attach();
    recording.runs[0].end.losses[0].count = 5;
    recording.runs[0].end.roles[0].ended.unseen = 2;
    let alone = report::build(&recording).unwrap();
    let mut other = recording.runs[0].clone();
    other.pids = vec![999];
    recording.runs.push(other);
    let report = report::build(&recording).unwrap();
    assert_eq!(report.targets.len(), 2);
    assert_eq!(report.observer, alone.observer);
    assert_eq!(report.lost["creations"], alone.lost["creations"]);
    assert_eq!(report.lost["sched"].values().sum::<u64>(), 4);

    // Watched one after the other they do add up.
    let later = &mut recording.runs[1];
    for snapshot in [&mut later.before, &mut later.start, &mut later.end] {
        snapshot.at_ns += 100_000_000_000;
    }
    let report = report::build(&recording).unwrap();
    assert_eq!(report.lost["creations"].values().sum::<u64>(), 10);
    assert_eq!(
        report.observer.cpu_seconds,
        2.0 * alone.observer.cpu_seconds
    );
}

#[test]
fn the_busiest_tasks_of_a_process_come_first() {
    let mut recording = attach();
    let tasks = &mut recording.runs[0].end.roles[1].tasks;
    tasks[30].totals.cpu_ns += 900_000_000;
    tasks[7].totals.cpu_ns += 700_000_000;
    let (busiest, new) = (tasks[30].tid, tasks[7].tid);
    // The id of a task that was there at the start, taken again by another.
    tasks[3].started_ns += 1;
    tasks[3].totals.cpu_ns += 500_000_000;
    let reused = tasks[3].tid;
    let report = report::build(&recording).unwrap();
    let detail = &only(&report).connections_detail;
    let told: Vec<_> = detail
        .iter()
        .take(4)
        .map(|task| (task.tid, task.new))
        .collect();
    assert_eq!(told[..3], [(busiest, false), (new, true), (reused, true)]);
    assert_eq!(detail.len(), 10);
    assert_eq!(
        (detail[0].role.as_str(), detail[0].label.as_str()),
        ("child", "postgres")
    );
    let accounted = &detail[0].measures.memory.accounted;
    assert_eq!(
        (accounted.anonymous_bytes, accounted.kernel_stack_bytes),
        (Some(410_000), 16_384)
    );
}

#[test]
fn nothing_watched_is_a_report_still() {
    let empty = Recording {
        command: "compare".to_owned(),
        host: Host::default(),
        runs: Vec::new(),
        methods: methods(),
        unavailable: Vec::new(),
        incomplete: Some("interrupted by SIGINT".to_owned()),
    };
    let report = report::build(&empty).unwrap();
    assert_eq!((report.window_seconds, report.targets.len()), (None, 0));
    assert_eq!(report.incomplete.as_deref(), Some("interrupted by SIGINT"));
}

#[test]
fn a_running_process_was_not_seen_over_connections_and_has_no_first_one() {
    let report = report::build(&attach()).unwrap();
    let kernel = &only(&report).measures.kernel;
    let marginal = kernel.memory.marginal_bytes_per_connection.as_ref();
    let marginal = marginal.unwrap();
    assert_eq!((marginal.value, marginal.points), (None, 0));
    let reason = marginal.reason.as_deref();
    assert_eq!(reason, Some("how many connections it has is not known"));
    let creations = kernel.creations.as_ref().unwrap();
    let first_run = creations.first_run.as_ref().unwrap();
    for method in [&creations.method, &first_run.method] {
        assert!(!method.contains("connection"), "{method}");
    }
}
