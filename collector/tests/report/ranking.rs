//! Which models are told apart, with intervals planted.

use connscope::report::ranking::{Contender, Ranked, Ranking, places};
use connscope::report::{self, student::t_quantile};
use connscope::snapshot::Run;

use super::sample::{MODELS, attach, recording, run};

fn contender(&(name, lower, upper): &(&str, f64, f64)) -> Contender {
    Contender {
        name: name.to_owned(),
        mean: f64::midpoint(lower, upper),
        confidence_95: [lower, upper],
    }
}

fn names(places: &[Vec<Contender>]) -> Vec<Vec<&str>> {
    places
        .iter()
        .map(|place| place.iter().map(|c| c.name.as_str()).collect())
        .collect()
}

#[track_caller]
fn order(intervals: &[(&str, f64, f64)], highest_is_best: bool, expected: &[&[&str]]) {
    let contenders = || intervals.iter().map(contender);
    let forwards = places(contenders().collect(), highest_is_best);
    let backwards = places(contenders().rev().collect(), highest_is_best);
    assert_eq!(names(&forwards), expected);
    assert_eq!(names(&backwards), expected, "the order given has no part");
    let flat: Vec<_> = forwards.iter().enumerate().collect();
    for (one, place) in &flat {
        for (other, rest) in &flat {
            let pairs = place.iter().flat_map(|a| rest.iter().map(move |b| (a, b)));
            for (a, b) in pairs.filter(|_| one != other) {
                let ([a_low, a_high], [b_low, b_high]) = (a.confidence_95, b.confidence_95);
                assert!(a_high < b_low || b_high < a_low, "{a:?}, {b:?}");
            }
        }
    }
}

#[test]
fn disjoint_intervals_have_an_order() {
    let apart = [("c", 5.0, 6.0), ("a", 1.0, 2.0), ("b", 3.0, 4.0)];
    order(&apart, false, &[&["a"], &["b"], &["c"]]);
    order(&apart, true, &[&["c"], &["b"], &["a"]]);
}

#[test]
fn those_that_overlap_or_touch_are_tied() {
    let tied = [("a", 1.0, 3.0), ("b", 2.0, 4.0), ("c", 5.0, 6.0)];
    order(&tied, false, &[&["a", "b"], &["c"]]);
    order(&tied, true, &[&["c"], &["b", "a"]]);
    order(&[("a", 1.0, 2.0), ("b", 2.0, 3.0)], false, &[&["a", "b"]]);
    // One within the other.
    let within = [
        ("wide", 0.0, 10.0),
        ("narrow", 4.0, 4.5),
        ("far", 11.0, 12.0),
    ];
    order(&within, false, &[&["narrow", "wide"], &["far"]]);
}

/// The first and the third are disjoint, and what is between them overlaps both.
#[test]
fn a_chain_of_overlaps_is_one_tie() {
    let chain = [
        ("a", 1.0, 3.0),
        ("b", 2.5, 5.0),
        ("c", 4.5, 7.0),
        ("d", 7.5, 8.0),
    ];
    order(&chain, false, &[&["a", "b", "c"], &["d"]]);
    // One that reaches over several that are disjoint among themselves.
    let bridge = [
        ("a", 1.0, 2.0),
        ("b", 3.0, 4.0),
        ("bridge", 1.5, 9.0),
        ("c", 5.0, 6.0),
    ];
    order(&bridge, false, &[&["a", "b", "bridge", "c"]]);
    order(&[], false, &[]);
}

/// So many repeats of three models at 10 and at 100 connections, as `plant` makes them.
fn ranking(repeats: u32, plant: impl Fn(&mut Run)) -> Option<Ranking> {
    let mut runs = Vec::new();
    for repeat in 1..=repeats {
        for connections in [100, 10] {
            runs.extend(MODELS.iter().map(|model| run(model, connections, repeat)));
        }
    }
    runs.iter_mut().for_each(plant);
    report::build(&recording("compare", runs)).unwrap().ranking
}

fn by<'a>(ranking: &'a Ranking, figure: &str) -> &'a Ranked {
    let ranked = ranking.by.iter().find(|ranked| ranked.figure == figure);
    ranked.unwrap_or_else(|| panic!("no {figure} in {ranking:?}"))
}

#[test]
fn nothing_is_ranked_without_three_repeats_or_something_to_compare() {
    let two = ranking(2, |_| ()).unwrap();
    assert_eq!((two.connections, two.by.len()), (Some(100), 0));
    let reason = two.reason.unwrap();
    assert!(reason.contains("--repeat 3"), "{reason}");
    let three = ranking(3, |_| ()).unwrap();
    assert_eq!((three.reason, three.by.len()), (None, 5));
    let alone: Vec<_> = (1..=3).map(|repeat| run(&MODELS[1], 100, repeat)).collect();
    let report = report::build(&recording("compare", alone)).unwrap();
    assert_eq!(report.ranking, None);
    assert_eq!(report::build(&attach()).unwrap().ranking, None);
}

#[test]
fn who_was_not_measured_as_often_or_at_all_is_named() {
    let mut runs = Vec::new();
    for repeat in 1..=3 {
        runs.extend(MODELS.iter().map(|model| run(model, 10, repeat)));
        runs.push(run(&MODELS[0], 100, repeat));
    }
    runs.extend((1..=2).map(|repeat| run(&MODELS[1], 100, repeat)));
    let ranking = report::build(&recording("compare", runs)).unwrap().ranking;
    let ranking = ranking.expect("models to rank");
    assert_eq!(ranking.connections, Some(100));
    let ranked = by(&ranking, "cpu_per_request_seconds");
    assert_eq!(names(&ranked.places), [[MODELS[0].name]]);
    let left_out = |name: &str| ranked.not_ranked.iter().find(|model| model.name == name);
    let reason = |name: &str| left_out(name).expect("it is named").reason.as_str();
    assert!(reason(MODELS[1].name).contains("not all its repeats"));
    assert!(reason(MODELS[2].name).contains("so many connections"));
}

/// Latencies in ms by model and repeat, of which the mean and its interval follow by hand: of 9, 10
/// and 11 the deviation is 1, and t of 2 degrees is 4.303.
#[test]
fn intervals_are_of_students_t_over_repeats() {
    let ranking = ranking(3, |run| {
        let repeat = f64::from(run.repeat);
        let p99 = match run.name.as_str() {
            "process-per-connection" => 8.0 + repeat,
            "thread-per-connection" => 6.0 + repeat,
            _ => 2.0 + repeat / 10.0,
        };
        // At another number of connections all is otherwise.
        let p99 = if run.connections == Some(10) {
            1.0
        } else {
            p99
        };
        run.client
            .as_mut()
            .unwrap()
            .latency
            .as_mut()
            .unwrap()
            .p99_seconds = p99 / 1e3;
    })
    .unwrap();
    let latency = by(&ranking, "latency_p99_seconds");
    assert_eq!((ranking.connections, latency.best), (Some(100), "lowest"));
    let expected = [
        vec!["event-loop"],
        vec!["thread-per-connection", "process-per-connection"],
    ];
    assert_eq!(names(&latency.places), expected);
    let process = &latency.places[1][1];
    let margin = t_quantile(2, 0.95) * (1.0_f64 / 3.0).sqrt() / 1e3;
    assert!((process.mean - 10e-3).abs() < 1e-12, "{process:?}");
    assert!((process.confidence_95[0] - (10e-3 - margin)).abs() < 1e-9);
    assert!((process.confidence_95[1] - (10e-3 + margin)).abs() < 1e-9);
    assert!((margin - 2.484e-3).abs() < 1e-6, "{margin}");
}

/// Three values alike do not make a figure exact that is known to 6 % only.
#[test]
fn no_interval_is_narrower_than_the_figure_is_exact() {
    let alike = ranking(3, |run| {
        let latency = run.client.as_mut().unwrap().latency.as_mut().unwrap();
        latency.relative_error = 0.05;
        latency.p99_seconds = match run.name.as_str() {
            "process-per-connection" => 1.0,
            "thread-per-connection" => 1.09,
            _ => 1.3,
        };
    })
    .unwrap();
    let latency = by(&alike, "latency_p99_seconds");
    let expected = [
        vec!["process-per-connection", "thread-per-connection"],
        vec!["event-loop"],
    ];
    assert_eq!(names(&latency.places), expected);
    assert_eq!(latency.places[0][0].confidence_95, [0.95, 1.05]);
    // The counter of a cgroup moves in batches: with so few connections memory is known to half a
    // megabyte over the range.
    let memory = by(&alike, "marginal_bytes_per_connection");
    for contender in memory.places.iter().flatten() {
        let [lower, upper] = contender.confidence_95;
        assert!(
            upper - lower >= 2.0 * 2.0 * 64.0 * 4096.0 / 100.0,
            "{contender:?}"
        );
    }
}

#[test]
fn figures_that_say_nothing_under_this_load_are_left_out() {
    let figures = |ranking: &Ranking| ranking.by.iter().map(|by| by.figure).collect::<Vec<_>>();
    let reached = ranking(3, |_| ()).unwrap();
    assert!(!figures(&reached).contains(&"throughput_per_second"));
    // 20,000 a second are offered, and one model serves 18,000.
    let slower = ranking(3, |run| {
        let client = run.client.as_mut().unwrap();
        let served = if run.name == "event-loop" {
            19_900
        } else {
            18_000
        };
        client.answered_in_window = served * 5;
        client.throughput_per_second = served as f64 + f64::from(run.repeat);
    })
    .unwrap();
    let throughput = by(&slower, "throughput_per_second");
    assert_eq!(throughput.best, "highest");
    let expected = [
        vec!["event-loop"],
        vec!["process-per-connection", "thread-per-connection"],
    ];
    let mut told = names(&throughput.places);
    told.iter_mut().for_each(|place| place.sort_unstable());
    assert_eq!(told, expected);
    let closed = ranking(3, |run| {
        run.client.as_mut().unwrap().mode = "closed-loop".to_owned();
    })
    .unwrap();
    assert!(figures(&closed).contains(&"throughput_per_second"));
    assert!(!figures(&closed).contains(&"latency_p99_seconds"));
}

#[test]
fn a_model_without_a_sound_figure_is_not_ranked_and_says_why() {
    let ranking = ranking(3, |run| {
        let client = run.client.as_mut().unwrap();
        match run.name.as_str() {
            "process-per-connection" => client.latency.as_mut().unwrap().is_bound = true,
            "thread-per-connection" => client.latency_in_doubt = true,
            _ if run.repeat == 2 => run.incomplete = Some("the server died".to_owned()),
            _ => (),
        }
    })
    .unwrap();
    let reasons = |figure: &str| -> Vec<(String, String)> {
        let left_out = by(&ranking, figure).not_ranked.iter();
        let plain = left_out.map(|model| (model.name.clone(), model.reason.clone()));
        plain.collect()
    };
    let latency = reasons("latency_p99_seconds");
    assert_eq!(by(&ranking, "latency_p99_seconds").places.len(), 0);
    for (name, why) in [
        ("process-per-connection", "never answered"),
        ("thread-per-connection", "load generator"),
        ("event-loop", "not measured to the end"),
    ] {
        let of_model = latency.iter().find(|(model, _)| model == name);
        assert!(
            of_model.is_some_and(|(_, reason)| reason.contains(why)),
            "{latency:?}"
        );
    }
    let cpu = reasons("cpu_per_request_seconds");
    assert_eq!(cpu.len(), 1, "{cpu:?}");
}
