//! What a scheduler in user space counted, beside what the kernel did.

use connscope::report::{self, user_space::UserSpaceSwitches};
use connscope::snapshot::Run;
use connscope::snapshot::user_space::{Scheduler, UserSpace};

use super::figures::{only, report};
use super::sample::{MODELS, attach, compare, run};
use super::tables::words;

const CLOCK_NS: u64 = 20;

/// Gives a run a scheduler: 10 tasks begin before its window and 2 in it, of which 5 are still there;
/// 50,000 switches in it, of which 200 are timed, 120 ns each.
pub(crate) fn scheduled(run: &mut Run) {
    let at = |[tasks_begun, tasks_ended, switches, sampled, sampled_ns]: [u64; 5]| {
        Some(UserSpace::Counted(Scheduler {
            tasks_begun,
            tasks_ended,
            switches,
            sampled,
            sampled_ns,
            clock_ns: CLOCK_NS,
        }))
    };
    run.before.user_space = at([3, 3, 7, 0, 0]);
    run.start.user_space = at([13, 3, 1_007, 4, 9_000]);
    run.end.user_space = at([15, 10, 51_007, 204, 33_000]);
}

fn of(run: Run) -> Option<UserSpaceSwitches> {
    only(&report(run)).measures.user_space_switches.clone()
}

fn one() -> Run {
    let mut run = run(&MODELS[2], 10, 1);
    scheduled(&mut run);
    run
}

#[test]
fn switches_are_of_the_window_and_tasks_of_the_watch() {
    let switches = of(one()).unwrap();
    assert_eq!(switches.reason, None);
    let counted = switches.counted.unwrap();
    assert_eq!((counted.tasks_alive, counted.tasks_begun), (5, 12));
    assert_eq!((counted.switches, counted.sampled), (50_000, 200));
    assert_eq!(counted.per_second, 10_000.0);
    let answered = one().client.unwrap().answered_in_window as f64;
    assert_eq!(counted.per_request, Some(50_000.0 / answered));
}

#[test]
fn the_clock_is_taken_off_the_time_of_a_switch() {
    let counted = of(one()).unwrap().counted.unwrap();
    let ns = |seconds: Option<f64>| (seconds.unwrap() * 1e12).round() / 1e3;
    assert_eq!(ns(counted.mean_seconds), 100.0);
    assert_eq!(ns(counted.clock_seconds), 20.0);
}

#[test]
fn a_window_in_which_none_was_timed_has_no_mean() {
    let mut run = one();
    let Some(UserSpace::Counted(end)) = &mut run.end.user_space else {
        unreachable!()
    };
    (end.sampled, end.sampled_ns) = (4, 9_000);
    let counted = of(run.clone()).unwrap().counted.unwrap();
    assert_eq!((counted.switches, counted.sampled), (50_000, 0));
    assert_eq!((counted.mean_seconds, counted.clock_seconds), (None, None));
    let mut recording = compare(1);
    recording.runs = vec![run];
    assert!(words(&recording).contains("no switch was timed"));
}

#[test]
fn repeats_are_summed() {
    let mut recording = compare(2);
    recording.runs.iter_mut().for_each(scheduled);
    let report = report::build(&recording).unwrap();
    let switches = report.targets[0].measures.user_space_switches.as_ref();
    let counted = switches.unwrap().counted.as_ref().unwrap();
    assert_eq!((counted.tasks_alive, counted.tasks_begun), (5, 24));
    assert_eq!((counted.switches, counted.sampled), (100_000, 400));
    assert_eq!(counted.per_second, 10_000.0);
}

#[test]
fn what_is_not_known_says_why_and_is_no_zero() {
    let why = "the runtime keeps no count";
    let mut run = one();
    run.end.user_space = Some(UserSpace::Unseen(why.to_owned()));
    let switches = of(run).unwrap();
    assert_eq!(
        (switches.counted, switches.reason.as_deref()),
        (None, Some(why))
    );
    // A recording of which a snapshot lacks them.
    let mut run = one();
    run.start.user_space = None;
    let switches = of(run).unwrap();
    assert_eq!(switches.counted, None);
    assert_eq!(switches.reason.unwrap(), "not recorded in every repeat");
}

#[test]
fn counters_that_go_back_are_not_reported() {
    let places: [fn(&mut Scheduler) -> &mut u64; 5] = [
        |s| &mut s.tasks_begun,
        |s| &mut s.tasks_ended,
        |s| &mut s.switches,
        |s| &mut s.sampled,
        |s| &mut s.sampled_ns,
    ];
    for place in places {
        let mut run = one();
        for earlier in [&mut run.before, &mut run.start] {
            let Some(UserSpace::Counted(scheduler)) = &mut earlier.user_space else {
                unreachable!()
            };
            *place(scheduler) = 1 << 40;
        }
        let error = report::check(&run).unwrap_err().to_string();
        assert!(error.contains("in user space went back"), "{error}");
    }
}

#[test]
fn the_table_has_them_beside_the_kernels_where_there_are_any() {
    for recording in [compare(1), attach()] {
        assert!(!words(&recording).contains("user space"));
    }
    let mut recording = compare(1);
    recording.runs = vec![run(&MODELS[0], 10, 1), run(&MODELS[1], 10, 1), one()];
    let why = "the runtime keeps no count of its switches";
    let unseen = |snapshot: &mut connscope::snapshot::Snapshot| {
        snapshot.user_space = Some(UserSpace::Unseen(why.to_owned()));
    };
    let hidden = &mut recording.runs[1];
    [&mut hidden.before, &mut hidden.start, &mut hidden.end]
        .into_iter()
        .for_each(unseen);
    let table = words(&recording);
    // The first has no such scheduler, the second hides what its own does.
    let number = table.split(why).next().unwrap().rsplit(' ').nth(1).unwrap();
    for row in [
        format!("In user space tasks alive at the end {number} 5"),
        format!("tasks begun {number} 12"),
        format!("switches per request {number} 0.5"),
        format!("switches {number} 10.0 k/s"),
        format!("switch took, mean {number} 100 ns"),
        format!("switches timed {number} 200 Tasks blocked"),
    ] {
        assert!(table.contains(&row), "no {row:?} in {table}");
    }
    assert_eq!(table.matches(why).count(), 1, "{table}");
}
