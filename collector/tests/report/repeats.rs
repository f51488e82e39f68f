//! Repeats of one measurement are one entry.

use connscope::report::{self, Report};
use connscope::snapshot::{Run, SendLateness, Totals};

use super::sample::{MODELS, attach, recording, run};

fn merged(runs: Vec<Run>) -> Report {
    report::build(&recording("compare", runs)).unwrap()
}

fn three() -> Vec<Run> {
    (1..=3).map(|repeat| run(&MODELS[1], 100, repeat)).collect()
}

#[test]
fn counts_and_distributions_are_sums() {
    let alone: Vec<_> = three().into_iter().map(|run| merged(vec![run])).collect();
    let together = merged(three());
    assert_eq!(
        (together.targets.len(), together.targets[0].repeats),
        (1, 3)
    );
    let sum = |figure: fn(&Report) -> f64| alone.iter().map(figure).sum::<f64>();
    let figures: [fn(&Report) -> f64; 7] = [
        |r| r.targets[0].window_seconds,
        |r| {
            r.targets[0]
                .measures
                .kernel
                .context_switches
                .as_ref()
                .unwrap()
                .voluntary as f64
        },
        |r| {
            r.targets[0]
                .measures
                .kernel
                .run_queue_wait
                .as_ref()
                .unwrap()
                .count as f64
        },
        |r| {
            r.targets[0]
                .measures
                .kernel
                .run_queue_wait
                .as_ref()
                .unwrap()
                .sum_seconds
        },
        |r| {
            r.targets[0]
                .measures
                .kernel
                .creations
                .as_ref()
                .unwrap()
                .thread
                .count as f64
        },
        |r| r.targets[0].measures.client.as_ref().unwrap().requests as f64,
        |r| {
            r.targets[0]
                .measures
                .client
                .as_ref()
                .unwrap()
                .answered_in_window as f64
        },
    ];
    for (index, figure) in figures.into_iter().enumerate() {
        let (told, expected) = (figure(&together), sum(figure));
        assert!(
            (told - expected).abs() < 1e-9 * expected,
            "figure {index}: {told}, {expected}"
        );
    }
    let max = |r: &Report| {
        r.targets[0]
            .measures
            .kernel
            .run_queue_wait
            .as_ref()
            .unwrap()
            .max_seconds
    };
    let largest = alone.iter().filter_map(max).reduce(f64::max);
    assert_eq!(max(&together), largest);
    // Tasks and memory are not of a window: they do not add up.
    assert_eq!(together.targets[0].tasks, 101);
    let accounted = together.targets[0]
        .measures
        .kernel
        .memory
        .accounted
        .as_ref()
        .unwrap();
    assert_eq!(accounted.anonymous_bytes, Some(2_400_000));
}

#[test]
fn headline_figures_keep_each_repeat() {
    let mut runs = three();
    for (run, throughput) in runs.iter_mut().zip([300.0, 100.0, 200.0]) {
        let client = run.client.as_mut().unwrap();
        client.throughput_per_second = throughput;
        client.requests = 7_000;
        client.answered_in_window = (throughput * 5.0) as u64;
        client.latency.as_mut().unwrap().p99_seconds = throughput / 1e6;
    }
    let report = merged(runs);
    let target = &report.targets[0];
    let spread = target.spread.throughput_per_second.as_ref().unwrap();
    assert_eq!(
        (spread.min, spread.median, spread.max),
        (100.0, 200.0, 300.0)
    );
    assert_eq!(spread.values, [300.0, 100.0, 200.0]);
    let client = target.measures.client.as_ref().unwrap();
    assert_eq!(
        (client.requests, client.answered_in_window),
        (21_000, 3_000)
    );
    assert_eq!(client.duration_seconds, 15.0);
    assert_eq!(client.throughput_per_second, 200.0);
    assert_eq!(client.latency.as_ref().unwrap().p99_seconds, Some(200e-6));
    let marginal = target
        .spread
        .marginal_bytes_per_connection
        .as_ref()
        .unwrap();
    assert_eq!(marginal.values.len(), 3);
    let pooled = target
        .measures
        .kernel
        .memory
        .marginal_bytes_per_connection
        .as_ref()
        .unwrap();
    assert_eq!(pooled.points, 27);
    let value = pooled.value.unwrap();
    assert!(
        marginal.min <= value && value <= marginal.max,
        "{value}, {marginal:?}"
    );
}

#[test]
fn what_is_per_request_is_per_answer_that_arrived_in_the_window() {
    let mut runs = three();
    for (run, answered) in runs.iter_mut().zip([1_000, 2_000, 5_000]) {
        let client = run.client.as_mut().unwrap();
        (client.requests, client.answered_in_window) = (90_000, answered);
        let busy = run.end.roles[1].tasks[0].totals;
        for task in run.end.roles.iter_mut().flat_map(|role| &mut role.tasks) {
            (task.totals.voluntary, task.totals.involuntary) = (0, 0);
            task.totals.cpu_ns = 0;
        }
        run.end.roles[1].tasks[0].totals = Totals {
            voluntary: 9_000,
            involuntary: 1_000,
            cpu_ns: 2_000_000_000,
            ..busy
        };
    }
    let report = merged(runs);
    let target = &report.targets[0];
    let kernel = &target.measures.kernel;
    let switches = kernel.context_switches.as_ref().unwrap();
    assert_eq!(switches.per_request, Some(30_000.0 / 8_000.0));
    let cpu = kernel.cpu.as_ref().unwrap();
    assert_eq!(cpu.per_request_seconds, Some(6.0 / 8_000.0));
    let spread = &target.spread;
    let switches = spread.context_switches_per_request.as_ref().unwrap();
    assert_eq!(switches.values, [10.0, 5.0, 2.0]);
    let cpu = spread.cpu_per_request_seconds.as_ref().unwrap();
    assert_eq!(cpu.values, [2e-3, 1e-3, 4e-4]);
}

#[test]
fn one_repeat_of_bounds_makes_bounds_and_lateness_is_the_median() {
    let mut runs = three();
    let client = |run: &mut Run| run.client.take().unwrap();
    for (run, late) in runs.iter_mut().zip([3e-3, 1e-3, 2e-3]) {
        let mut seen = client(run);
        seen.send_lateness = Some(SendLateness {
            p50_seconds: late / 10.0,
            p99_seconds: late,
            max_seconds: late * 2.0,
        });
        run.client = Some(seen);
    }
    let of = |runs: &[Run]| merged(runs.to_vec()).targets.remove(0);
    let target = of(&runs);
    let saw = target.measures.client.as_ref().unwrap();
    assert!(!saw.latency.as_ref().unwrap().is_bound);
    let late = saw.send_lateness.unwrap();
    assert_eq!(
        (late.p50_seconds, late.p99_seconds, late.max_seconds),
        (2e-4, 2e-3, 6e-3)
    );
    let spread = target.spread.send_lateness_p99_seconds.unwrap();
    assert_eq!(spread.values, [3e-3, 1e-3, 2e-3]);

    let seen = runs[1].client.as_mut().unwrap();
    seen.latency.as_mut().unwrap().is_bound = true;
    let saw = of(&runs).measures.client.unwrap();
    assert!(saw.latency.unwrap().is_bound);
    assert!(!saw.latency_in_doubt && !saw.generator_was_bottleneck);

    runs[1].client.as_mut().unwrap().latency_in_doubt = true;
    runs[2].client.as_mut().unwrap().generator_was_bottleneck = true;
    let saw = of(&runs).measures.client.unwrap();
    assert!(saw.latency_in_doubt && saw.generator_was_bottleneck);

    // Without a schedule nothing is late for it.
    for run in &mut runs {
        run.client.as_mut().unwrap().send_lateness = None;
    }
    let target = of(&runs);
    assert_eq!(target.measures.client.unwrap().send_lateness, None);
    assert_eq!(target.spread.send_lateness_p50_seconds, None);
}

#[test]
fn arrivals_are_not_told_where_failures_may_be_of_the_warm_up() {
    let mut runs = vec![run(&MODELS[1], 100, 1)];
    let client = runs[0].client.as_mut().unwrap();
    (client.requests, client.unanswered) = (900, 100);
    let arrivals = |runs: &[Run]| {
        let target = merged(runs.to_vec()).targets.remove(0);
        target.measures.client.unwrap().arrivals()
    };
    assert_eq!(arrivals(&runs), Some(1_000));
    runs[0].client.as_mut().unwrap().errors.error_replies = 1;
    assert_eq!(arrivals(&runs), None);
}

#[test]
fn the_median_of_two_is_between_them() {
    let mut runs: Vec<_> = three().into_iter().take(2).collect();
    for (run, throughput) in runs.iter_mut().zip([100.0, 300.0]) {
        run.client.as_mut().unwrap().throughput_per_second = throughput;
    }
    let report = merged(runs);
    assert_eq!(
        report.targets[0]
            .spread
            .throughput_per_second
            .as_ref()
            .unwrap()
            .median,
        200.0
    );
}

#[test]
fn a_repeat_without_clients_takes_away_what_is_per_request() {
    let mut runs = three();
    runs[1].client = None;
    runs[1].incomplete = Some("the server died".to_owned());
    let report = merged(runs);
    let target = &report.targets[0];
    assert_eq!(
        target
            .measures
            .kernel
            .context_switches
            .as_ref()
            .unwrap()
            .per_request,
        None
    );
    assert_eq!(
        target
            .spread
            .context_switches_per_request
            .as_ref()
            .unwrap()
            .values
            .len(),
        2
    );
    assert_eq!(
        target.incomplete.as_deref(),
        Some("repeat 2: the server died")
    );
}

#[test]
fn other_connections_and_other_processes_are_other_targets() {
    let runs = vec![
        run(&MODELS[1], 100, 1),
        run(&MODELS[1], 10, 2),
        run(&MODELS[0], 100, 3),
    ];
    assert_eq!(merged(runs).targets.len(), 3);
    let mut two = attach();
    let mut other = two.runs[0].clone();
    other.pids = vec![999];
    two.runs.push(other);
    let report = report::build(&two).unwrap();
    let pids: Vec<_> = report
        .targets
        .iter()
        .map(|target| target.pids.clone())
        .collect();
    assert_eq!(pids, [vec![90, 100], vec![999]]);
}
