//! Figures that only some work profiles have.

use connscope::report::{self, Report};
use connscope::snapshot::{REASONS, Run};

use super::sample::{MODELS, recording, run};
use super::tables::{plain, table_of};

fn three(workload: &str) -> Vec<Run> {
    let mut runs: Vec<_> = (1..=3).map(|repeat| run(&MODELS[1], 100, repeat)).collect();
    for run in &mut runs {
        run.client.as_mut().unwrap().workload = workload.to_owned();
    }
    runs
}

fn reported(runs: Vec<Run>) -> Report {
    report::build(&recording("compare", runs)).unwrap()
}

/// The figures of the row of that name, if there is one.
fn row(report: &Report, label: &str) -> Option<String> {
    let text = table_of(report, &plain(100));
    let figures = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(label));
    figures.map(|figures| figures.trim().to_owned())
}

#[test]
fn retries_of_purchases_are_summed() {
    let mut runs = three("booking");
    for (run, retries) in runs.iter_mut().zip([4, 0, 5]) {
        let client = run.client.as_mut().unwrap();
        client.oversold_seats = Some(0);
        client.booking_retries = Some(retries);
    }
    let report = reported(runs);
    let client = report.targets[0].measures.client.as_ref().unwrap();
    assert_eq!(client.booking_retries, Some(9));
    assert_eq!(row(&report, "oversold seats").unwrap(), "0");
    assert_eq!(row(&report, "purchases tried again").unwrap(), "9");

    let report = reported(three("get-set"));
    let client = report.targets[0].measures.client.as_ref().unwrap();
    assert_eq!(client.booking_retries, None);
    assert_eq!(row(&report, "purchases tried again"), None);
}

#[test]
fn time_on_locks_is_told_for_each_request() {
    let label = "on locks, per request";
    let place = |name| REASONS.iter().position(|reason| *reason == name).unwrap();
    let (lock, socket) = (place("lock"), place("socket"));
    let per_request = |report: &Report| {
        let times = report.targets[0].measures.kernel.time_in_state.as_ref();
        times.unwrap().blocked_on_locks_per_request_seconds.unwrap()
    };
    let mut runs = three("get-set");
    let mut answered = 0;
    for run in &mut runs {
        let slept = &mut run.end.roles[0].tasks[0].totals.blocked_ns;
        slept[lock] += 1_000_000_000;
        slept[socket] -= 1_000_000_000;
        answered += run.client.as_ref().unwrap().answered_in_window;
    }
    let report = reported(runs);
    let expected = 3.0 / answered as f64;
    assert!((per_request(&report) - expected).abs() < 1e-12);
    assert_eq!(row(&report, label).unwrap(), "10.1 µs");

    // Where nothing sleeps on a lock that is shown only where everybody wants the same key.
    let counter = reported(three("counter"));
    assert_eq!(per_request(&counter), 0.0);
    assert!(row(&counter, label).unwrap().starts_with('0'));
    assert_eq!(row(&reported(three("get-set")), label), None);
}
