//! Page faults: what follows from windows, and how sure it is.

use connscope::report::faults::{Class, Faults};
use connscope::snapshot::faults::{FaultClass, Faults as Seen};
use connscope::snapshot::{Run, Unavailable};
use probe_ebpf::fault_sample::CLASS_NAMES;

use super::around::{Numbers, record};
use super::figures::{only, report};
use super::sample::{MODELS, recording, run};
use super::tables::{plain, table_of};

/// Windows as closed ones leave them, each with its copies and fills of zeros.
fn windows(windows: &[(u64, u64)], numbers: &mut Numbers) -> Seen {
    let mut seen = Seen::default();
    let mut copies = class("cow_copy");
    let mut fills = class("zero_fill");
    for &(copied, filled) in windows
        .iter()
        .filter(|(copied, filled)| copied + filled > 0)
    {
        let all = copied + filled;
        seen.windows += 1;
        seen.begun += all;
        seen.in_windows += all;
        seen.in_windows_squared += all * all;
        for (class, count) in [(&mut copies, copied), (&mut fills, filled)] {
            class.user += count - count / 4;
            class.kernel += count / 4;
            class.in_windows += count;
            class.in_windows_squared += count * count;
            class.in_windows_products += count * all;
            let latency = (0..count).map(|_| 700 + numbers.exponential(900.0));
            record(&mut class.latency, latency.collect::<Vec<_>>());
        }
    }
    seen.begun += 1;
    seen.classes = CLASS_NAMES.map(class).to_vec();
    for counted in [copies, fills] {
        let place = seen
            .classes
            .iter()
            .position(|class| class.name == counted.name);
        seen.classes[place.expect("a class")] = counted;
    }
    seen
}

fn class(name: &str) -> FaultClass {
    FaultClass {
        name: name.to_owned(),
        ..FaultClass::default()
    }
}

/// Ten windows of 2 %, of which three showed something.
pub(crate) fn faults(numbers: &mut Numbers) -> Seen {
    windows(&[(20, 8), (0, 0), (14, 9), (25, 11)], numbers)
}

/// A run with so many faults, of which windows showed these.
fn sampled(counted: u64, shown: &[(u64, u64)]) -> Run {
    let mut run = run(&MODELS[2], 10, 1);
    let role = &mut run.end.roles[0];
    role.tasks[0].totals.minor_faults = counted - 3;
    role.tasks[0].totals.major_faults = 3;
    role.faults = windows(shown, &mut Numbers(7));
    run
}

fn of(run: Run) -> Faults {
    let report = report(run);
    only(&report)
        .measures
        .kernel
        .faults
        .clone()
        .expect("faults")
}

fn copies(faults: &Faults) -> &Class {
    &faults.by_class.as_ref().expect("windows")["cow_copy"]
}

#[test]
fn the_share_that_windows_show_is_that_of_all() {
    let faults = of(sampled(10_000, &[(30, 10), (0, 0), (33, 7), (27, 13)]));
    assert_eq!((faults.minor, faults.major), (9_997, 3));
    assert_eq!((faults.windows, faults.unfinished), (Some(10), Some(1)));
    assert_eq!(faults.window_seconds, Some(0.1));
    let copies = copies(&faults);
    assert_eq!(
        (copies.user + copies.kernel, copies.latency.count),
        (90, 90)
    );
    assert_eq!(copies.estimated_total, Some(7_500.0));
    // Residuals 0, 3 and -3; deviation sqrt(18 * 3 / 2) / 120 = 0.0433; t of 2 degrees 4.303.
    let [lower, upper] = copies.confidence_95;
    assert!((7_500.0 - lower - 1_863.2).abs() < 1.0, "{lower}");
    assert!((upper - 9_363.2).abs() < 1.0, "{upper}");
}

#[test]
fn what_was_seen_is_certain() {
    // One window tells no error; ten of 100 faults were something else.
    let bounds = copies(&of(sampled(100, &[(40, 10)]))).confidence_95;
    assert_eq!(bounds, [40.0, 90.0]);
    let none = of(sampled(100, &[]));
    let none = copies(&none);
    assert_eq!(
        (none.estimated_total, none.confidence_95),
        (None, [0.0, 100.0])
    );
}

#[test]
fn what_no_window_showed_is_not_certainly_nothing() {
    let shown = [(0, 10); 30];
    let faults = of(sampled(10_000, &shown));
    let copies = copies(&faults);
    assert_eq!(copies.estimated_total, Some(0.0));
    assert_eq!(copies.confidence_95, [0.0, 1_000.0]);
}

#[test]
fn a_window_without_end_leaves_nothing_to_estimate() {
    let mut run = sampled(1_000, &[(700, 299)]);
    for snapshot in [&mut run.start, &mut run.end] {
        snapshot.windows[..].iter_mut().for_each(|w| w.windows = 1);
    }
    run.end.windows[0].open_ns = run.end.at_ns - run.start.at_ns;
    let faults = of(run);
    let copies = copies(&faults);
    assert_eq!(copies.estimated_total, Some(700.0));
    assert_eq!(copies.confidence_95, [700.0, 700.0]);
}

#[test]
fn without_windows_the_counts_remain() {
    let mut run = sampled(1_000, &[]);
    run.end.windows.clear();
    let faults = of(run);
    assert_eq!(
        (faults.minor, faults.by_class, faults.windows),
        (997, None, None)
    );
}

#[test]
fn few_windows_may_agree_by_chance() {
    let copies = copies(&of(sampled(10_000, &[(30, 10); 3]))).clone();
    assert_eq!(copies.estimated_total, Some(7_500.0));
    // 1.96 * sqrt(0.75 * 0.25 / 120) = 0.0775 of all.
    let [lower, upper] = copies.confidence_95;
    assert!((7_500.0 - lower - 774.8).abs() < 1.0, "{lower}");
    assert!((upper - 8_274.8).abs() < 1.0, "{upper}");
}

#[test]
fn a_role_that_no_window_showed_takes_the_share_of_the_others() {
    let shown = [(30, 10), (33, 7), (27, 13)];
    let alone = of(sampled(10_000, &shown));
    let mut run = sampled(10_000, &shown);
    let mut task = run.end.roles[0].tasks[0].clone();
    (task.pid, task.tid) = (task.pid + 1_000, task.tid + 1_000);
    (task.totals.minor_faults, task.totals.major_faults) = (400, 0);
    let other = &mut run.end.roles[1];
    other.tasks.push(task);
    let alone = copies(&alone);
    // What a role that never had a fault in a window leaves, or one that had before.
    for unseen in [Seen::default(), windows(&[], &mut Numbers(7))] {
        run.end.roles[1].faults = unseen;
        let both = of(run.clone());
        assert_eq!((both.minor, both.major), (10_397, 3));
        let both = copies(&both);
        assert_eq!(both.estimated_total, Some(7_500.0 + 300.0));
        let [lower, upper] = alone.confidence_95;
        assert_eq!(both.confidence_95, [lower, upper + 400.0]);
    }
}

#[test]
fn without_a_window_in_time_there_are_no_classes() {
    let mut run = sampled(1_000, &[]);
    (run.end.windows[0].open_ns, run.end.windows[0].windows) = (0, 0);
    let faults = of(run);
    assert_eq!((faults.by_class, faults.windows), (None, None));
    let reason = faults.reason.expect("a reason");
    assert_eq!(reason, "no window fell into the measured time");
}

/// The figures of a row of the table.
fn cells(run: Run, row: &str) -> Option<String> {
    let table = table_of(&report(run), &plain(100));
    let mut lines = table.lines().map(str::trim);
    let cells = lines.find_map(|line| line.strip_prefix(row))?;
    cells.split_whitespace().next().map(str::to_owned)
}

#[test]
fn the_rows_of_classes_add_up() {
    // Of 50 faults five were in a class without a row and five had not begun in the window.
    let mut run = sampled(10_000, &[(30, 10)]);
    let seen = &mut run.end.roles[0].faults;
    let other = seen.classes.iter_mut().find(|class| class.name == "other");
    let other = other.expect("a class");
    (other.user, other.in_windows, other.in_windows_squared) = (5, 5, 25);
    other.in_windows_products = 5 * 50;
    seen.not_begun = 5;
    (seen.begun, seen.in_windows, seen.in_windows_squared) = (45, 50, 2_500);
    for class in &mut seen.classes {
        class.in_windows_products = class.in_windows * 50;
        let latency = if class.name == "other" { 5 } else { 0 };
        record(&mut class.latency, vec![1_000; latency]);
    }
    let cell = |row| cells(run.clone(), row);
    assert_eq!(cell("copies on write").as_deref(), Some("6,000"));
    assert_eq!(cell("fills with zeros").as_deref(), Some("2,000"));
    assert_eq!(cell("other classes").as_deref(), Some("2,000"));
    assert_eq!(cell("by class"), None);
    (run.end.windows[0].open_ns, run.end.windows[0].windows) = (0, 0);
    let missing = cells(run, "by class").expect("a row");
    assert!(missing.starts_with('-'), "{missing}");
}

/// 1,000 watches of 40 windows each, whose shares differ more than chance alone would have it.
#[test]
fn nineteen_of_twenty_intervals_hold_the_truth() {
    let mut numbers = Numbers(11);
    let mut held = 0;
    for _ in 0..1_000 {
        let mut shown = Vec::new();
        let (mut all_copies, mut all) = (0, 0);
        for period in 0..2_000 {
            let share = 0.2 + 0.6 * numbers.unit();
            let count = (20.0 + 60.0 * numbers.unit()) as u64;
            let copied = (0..count).filter(|_| numbers.unit() < share).count() as u64;
            all_copies += copied;
            all += count;
            if period % 50 == 0 {
                shown.push((copied, count - copied));
            }
        }
        let faults = of(sampled(all, &shown));
        let [lower, upper] = copies(&faults).confidence_95;
        held += u32::from((lower..=upper).contains(&(all_copies as f64)));
    }
    assert!((925..=975).contains(&held), "{held} of 1,000");
}

/// A probe that fails in the measured time takes its own measure along and nothing else.
#[test]
fn a_probe_that_fails_makes_its_measure_unavailable() {
    let mut run = run(&MODELS[0], 40, 1);
    for (now, then) in run.end.roles.iter_mut().zip(&run.start.roles) {
        now.faults = then.faults.clone();
    }
    run.end.windows.retain(|window| window.probe != "faults");
    let mut recording = recording("compare", vec![run]);
    recording.unavailable.push(Unavailable {
        measure: "fault_classes".to_owned(),
        reason: "cannot read probe faults, fault_counts: it is gone".to_owned(),
    });
    let report = connscope::report::build(&recording).expect("no contradiction");
    let faults = report.targets[0].measures.kernel.faults.as_ref();
    let faults = faults.expect("the kernel's own count");
    assert!(faults.minor > 0);
    assert_eq!((faults.by_class.is_none(), faults.windows), (true, None));
    let unavailable: Vec<_> = report.unavailable.iter().map(|u| &u.measure).collect();
    assert_eq!(unavailable, ["fault_classes"]);
}
