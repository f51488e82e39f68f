//! What a diff says of records of which it is known whether they differ, and by what.

use std::collections::{BTreeMap, BTreeSet};

use connscope::diff::{
    Asked, Diff, FALSE_ALARMS, FIGURES, Group, Relabelled, Sampling, Units, Verdict, bound, diff,
};
use connscope::export::{Document, Format, Style, write};
use connscope::record::{Entry, Error};
use connscope::snapshot::{Run, Snapshot};

use super::around::Numbers;
use super::documentation::{documented, fields, parts};
use super::records::{end, of_runs, origin};
use super::sample::{MODELS, attach, recording, run};

const ASKED: Asked = Asked {
    least_change: 0.02,
    only: Vec::new(),
};

fn units(entries: Vec<Entry>) -> Result<Units, Error> {
    let mut sampling = Sampling::default();
    for entry in entries {
        sampling.take(entry)?;
    }
    sampling.units()
}

/// So many repeats of three models, with noise that no other seed has.
fn compared(seed: u32, repeats: u32) -> Vec<Run> {
    let mut runs = Vec::new();
    for model in &MODELS {
        for connections in [1, 40] {
            runs.extend((1..=repeats).map(|repeat| Run {
                repeat,
                ..run(model, connections, seed * 1_000 + repeat)
            }));
        }
    }
    runs
}

fn of(runs: Vec<Run>) -> Units {
    units(of_runs(&recording("compare", runs))).unwrap()
}

fn between(a: &Units, b: &Units) -> Diff {
    diff(("a", a), ("b", b), &ASKED)
}

/// What differs, as `model at connections: figure`.
fn different(diff: &Diff) -> BTreeSet<String> {
    let targets = diff.targets.iter();
    let all = targets.flat_map(|target| target.figures.iter().map(move |it| (target, it)));
    all.filter(|(_, it)| it.verdict == Verdict::Different)
        .map(|(target, it)| {
            let connections = target.connections.unwrap_or_default();
            format!("{} at {connections}: {}", target.name, it.figure)
        })
        .collect()
}

#[test]
fn a_run_does_not_differ_from_itself() {
    let units = of(compared(1, 5));
    let diff = between(&units, &units);
    assert_eq!(different(&diff), BTreeSet::new());
    assert_eq!((diff.differences, diff.reason.as_ref()), (0, None));
    assert_eq!((diff.targets.len(), diff.a.units), (6, 5));
    for figure in diff.targets.iter().flat_map(|target| &target.figures) {
        assert_eq!(figure.difference, 0.0, "{}", figure.figure);
        let [lower, upper] = figure.interval.unwrap();
        assert!(
            lower <= 0.0 && upper >= 0.0 && lower == -upper,
            "{}",
            figure.figure
        );
    }
    assert!(diff.circumstances.is_empty() && diff.only_in_a.is_empty());
}

/// Twenty pairs of runs that differ in nothing but noise, 6 targets with some 20 figures each: at a rate of false alarms
/// of 5 % more than 3 of the 20 would come once in 60 times.
#[test]
fn twenty_null_pairs() {
    let alarms: Vec<_> = (0..20)
        .map(|pair| {
            let (a, b) = (
                of(compared(2 * pair + 10, 5)),
                of(compared(2 * pair + 11, 5)),
            );
            different(&between(&a, &b))
        })
        .filter(|different| !different.is_empty())
        .collect();
    assert!(alarms.len() <= 3, "{alarms:#?}");
}

/// What is planted is found, and nothing else is.
#[test]
fn a_mebibyte_more_for_each_connection() {
    const MEBIBYTE: u64 = 1 << 20;
    let a = of(compared(3, 5));
    let mut runs = compared(4, 5);
    let touched =
        |run: &&mut Run| run.name == "thread-per-connection" && run.connections == Some(40);
    for run in runs.iter_mut().filter(touched) {
        for point in &mut run.memory_points {
            point.bytes += u64::from(point.connections) * MEBIBYTE;
        }
        let memory = run.end.roles[0].tasks[0].memory.as_mut().unwrap();
        memory.anonymous_bytes += 40 * MEBIBYTE;
    }
    let diff = between(&a, &of(runs));
    let expected = [
        "thread-per-connection at 40: anonymous_bytes",
        "thread-per-connection at 40: marginal_bytes_per_connection",
    ];
    assert_eq!(different(&diff), expected.map(str::to_owned).into());
    let figures = diff.targets.iter().flat_map(|target| &target.figures);
    let slope = figures
        .filter(|it| {
            it.figure == "marginal_bytes_per_connection" && it.verdict == Verdict::Different
        })
        .collect::<Vec<_>>();
    let [lower, upper] = slope[0].interval.unwrap();
    assert!(
        (lower..upper).contains(&(MEBIBYTE as f64)),
        "{lower} to {upper}"
    );
    assert!(upper - lower < 0.05 * MEBIBYTE as f64, "{lower} to {upper}");
    assert_eq!(slope[0].better, Some(false));
}

#[test]
fn too_few_repeats_are_said_to_be() {
    let diff = between(&of(compared(5, 3)), &of(compared(6, 3)));
    let reason = diff.reason.as_ref().unwrap();
    assert!(reason.starts_with("3 and 3 units are too few"), "{reason}");
    let verdicts: Vec<_> = diff.targets[0]
        .figures
        .iter()
        .map(|it| it.verdict)
        .collect();
    assert!(verdicts.iter().all(|it| *it == Verdict::TooFew));
    assert!(
        between(&of(compared(5, 4)), &of(compared(6, 4)))
            .reason
            .is_none()
    );
    // A repeat that broke off is none.
    let mut runs = compared(5, 4);
    runs.iter_mut().for_each(|run| {
        run.incomplete = (run.repeat == 2).then(|| "the server died".to_owned());
    });
    assert_eq!(of(runs).targets[0].units.len(), 3);
}

#[test]
fn what_only_one_has_is_named() {
    let mut fewer = compared(7, 4);
    fewer.retain(|run| run.name != "event-loop");
    let diff = between(&of(compared(8, 4)), &of(fewer));
    assert_eq!(
        diff.only_in_a,
        [
            "event-loop with 1 connection",
            "event-loop with 40 connections"
        ]
    );
    assert!(diff.only_in_b.is_empty());
    assert_eq!(diff.targets.len(), 4);
}

/// Nearly normally distributed, with a mean of 0 and a deviation of 1: the sum of twelve.
fn normal(numbers: &mut Numbers) -> f64 {
    (0..12).map(|_| numbers.unit()).sum::<f64>() - 6.0
}

/// Figures of units that were drawn at random, of A around 1 and of B around that and a true difference.
fn drawn(
    numbers: &mut Numbers,
    figures: usize,
    units: u32,
    difference: f64,
    skewed: bool,
) -> Vec<Group> {
    // What a host does in a minute is in all figures of it.
    let mut seeds = Numbers(numbers.0 ^ 0x5bd1_e995);
    let mut draw = |shared: f64| {
        let noise = 0.8 * normal(numbers) + 0.6 * shared;
        match skewed {
            true => (0.4 * noise).exp(),
            false => 1.0 + 0.1 * noise,
        }
    };
    let mut groups: Vec<Group> = FIGURES[..figures]
        .iter()
        .map(|figure| Group {
            figure,
            a: BTreeMap::new(),
            b: BTreeMap::new(),
            least: 0.0,
            resolution: 0.0,
        })
        .collect();
    for unit in 0..units {
        let (of_a, of_b) = (normal(&mut seeds), normal(&mut seeds));
        for group in &mut groups {
            group.a.insert(unit, draw(of_a));
            group.b.insert(unit, draw(of_b) + difference);
        }
    }
    groups
}

/// The share of draws in which some figure's interval does not hold the true difference.
fn missed(units: u32, difference: f64, skewed: bool) -> f64 {
    let mut numbers = Numbers(u64::from(units) + 77);
    const DRAWS: usize = 600;
    let misses = (0..DRAWS).filter(|_| {
        let groups = drawn(&mut numbers, 20, units, difference, skewed);
        let groups: Vec<&Group> = groups.iter().collect();
        let bound = bound(&groups, &Relabelled::of(&groups).unwrap());
        groups.iter().any(|group| {
            let estimate = group.estimate();
            let off = (estimate.b - estimate.a - difference).abs();
            off > bound * estimate.standard_error
        })
    });
    misses.count() as f64 / DRAWS as f64
}

/// 600 null pairs, 20 figures each: at a rate of 5 %, more than 7.2 % would come once in 100 times.
#[test]
fn false_alarms_are_as_rare_as_stated() {
    for (units, skewed) in [(4, false), (5, false), (5, true)] {
        let rate = missed(units, 0.0, skewed);
        assert!(
            rate <= FALSE_ALARMS + 0.022,
            "{units} units, skewed {skewed}: {rate}"
        );
        // Not so rare that nothing could ever be found.
        assert!(rate > 0.005, "{units} units, skewed {skewed}: {rate}");
    }
}

/// A figure of 20 that has changed by 8 of its standard deviations is found with 5 units each.
#[test]
fn large_differences_are_found() {
    let mut numbers = Numbers(5);
    let found = (0..100).filter(|_| {
        let mut groups = drawn(&mut numbers, 20, 5, 0.0, false);
        groups[3].b.values_mut().for_each(|value| *value += 0.8);
        let groups: Vec<&Group> = groups.iter().collect();
        let bound = bound(&groups, &Relabelled::of(&groups).unwrap());
        let estimate = groups[3].estimate();
        estimate.b - estimate.a > bound * estimate.standard_error
    });
    let found = found.count();
    assert!(found >= 90, "{found} of 100");
}

/// Welch's standard error, by hand: variances 5/3 and 20/3, 4 values each.
#[test]
fn the_standard_error_is_welchs() {
    let values = |values: [f64; 4]| (0..).zip(values).collect::<BTreeMap<u32, f64>>();
    let group = Group {
        figure: &FIGURES[0],
        a: values([1.0, 2.0, 3.0, 4.0]),
        b: values([3.0, 5.0, 7.0, 9.0]),
        least: 0.0,
        resolution: 0.0,
    };
    let estimate = group.estimate();
    assert_eq!((estimate.a, estimate.b), (2.5, 6.0));
    assert!((estimate.standard_error - (25.0_f64 / 12.0).sqrt()).abs() < 1e-12);
    assert!((estimate.deviation - (25.0_f64 / 6.0).sqrt()).abs() < 1e-12);
    // Of 70 ways to give 8 units to two sides of 4, 3 may reach what is called a difference; the four largest: 1 2 3 3
    // against 4 5 7 9 and the reverse, 1 2 3 4 against the rest and the reverse, and all that tie with them.
    let groups = [&group];
    let limit = bound(&groups, &Relabelled::of(&groups).unwrap());
    assert!(3.5 / estimate.standard_error <= limit, "{limit}");
}

/// A server that ran already, watched so often: each interval with noise of its own.
fn watched(seed: u64, snapshots: u64, switches: u64) -> Vec<Entry> {
    let whole = attach();
    let template = &whole.runs[0];
    let mut numbers = Numbers(seed);
    let mut now: Snapshot = template.end.clone();
    let without = Run {
        before: Snapshot::default(),
        start: Snapshot::default(),
        end: Snapshot::default(),
        own: None,
        ..template.clone()
    };
    let mut entries = vec![origin(&whole), Entry::Watched(vec![without])];
    for _ in 0..snapshots {
        now.at_ns += 1_000_000_000;
        let task = &mut now.roles[1].tasks[0].totals;
        let noisy =
            |mean: u64, numbers: &mut Numbers| (mean as f64 * (0.9 + 0.2 * numbers.unit())) as u64;
        task.voluntary += noisy(switches, &mut numbers);
        task.running_ns += noisy(300_000_000, &mut numbers);
        task.cpu_ns += 290_000_000;
        task.runnable_ns += noisy(20_000_000, &mut numbers);
        task.minor_faults += noisy(2_000, &mut numbers);
        entries.push(Entry::Snapshots(vec![now.clone()]));
    }
    entries.push(end(&whole));
    entries
}

#[test]
fn stretches_of_time_are_the_units_of_what_ran_already() {
    let a = units(watched(1, 61, 1_000)).unwrap();
    assert_eq!(a.targets[0].units.len(), 10);
    let b = units(watched(2, 41, 1_000)).unwrap();
    assert_eq!(different(&between(&a, &b)), BTreeSet::new());
    let c = units(watched(3, 61, 1_200)).unwrap();
    let diff = between(&a, &c);
    assert_eq!(
        different(&diff),
        ["postgres at 0: context_switches_per_second".to_owned()].into()
    );
    let figures = &diff.targets[0].figures;
    let found = figures
        .iter()
        .find(|it| it.verdict == Verdict::Different)
        .unwrap();
    assert!((found.change.unwrap() - 0.2).abs() < 0.03, "{found:?}");
    assert_eq!(found.better, None);
    // Of two snapshots there is one interval.
    assert!(
        between(&a, &units(watched(4, 2, 1_000)).unwrap())
            .reason
            .is_some()
    );
}

#[test]
fn what_is_shown_of_it() {
    let text = |diff: &Diff, format, whole| {
        let mut out = Vec::new();
        let document = match whole {
            true => Document::whole(diff),
            false => Document::from(diff),
        };
        write(document, format, &Style::default(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let (a, b) = (
        units(watched(1, 61, 1_000)).unwrap(),
        units(watched(3, 61, 1_200)).unwrap(),
    );
    let diff = between(&a, &b);
    let table = text(&diff, Format::Table, false);
    let row = table
        .lines()
        .find(|line| line.starts_with("context_switches_per_second"));
    assert!(row.unwrap().contains("different"), "{table}");
    assert!(!table.contains("no difference seen"), "{table}");
    assert!(table.contains("1 of "), "{table}");
    let whole = text(&diff, Format::Table, true);
    assert!(whole.contains("no difference seen"), "{whole}");
    let json: serde_json::Value = serde_json::from_str(&text(&diff, Format::Json, false)).unwrap();
    assert_eq!(json["differences"], 1);
    let mut names = BTreeSet::new();
    fields(&json, &mut names);
    // Two records of one host have no circumstances.
    names.insert("what".to_owned());
    assert_eq!(names, documented(parts()[4]));
    assert_eq!(json["targets"][0]["name"], "postgres");
    let page = text(&diff, Format::Html, false);
    assert!(
        page.contains("context_switches_per_second") && page.ends_with("</html>\n"),
        "{page}"
    );
}
