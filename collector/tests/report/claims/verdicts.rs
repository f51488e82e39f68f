//! Each verdict, by figures that leave no other.

use connscope::figures::{Figure, Test, Unit};
use connscope::report::claims::{Estimate, Judged, Verdict, build};

use super::{around, claim, figure, flushes, missing, point, rounds, run, test};

/// The one claim of a run with this figure and these tests.
fn judged(figures: Vec<Figure>, tests: Vec<Test>) -> Judged {
    let report = build(&run(vec![claim("one", tests)], figures));
    assert_eq!(report.verdicts.values().sum::<u64>(), 1);
    report.claims.into_iter().next().unwrap()
}

fn of_value(value: f64, at_least: f64, at_most: f64) -> Judged {
    let points = vec![point("", None, around(value))];
    let test = test("time", Some(at_least), Some(at_most));
    judged(
        vec![figure("time", Unit::Seconds, None, points)],
        vec![test],
    )
}

fn close(value: f64, expected: f64) -> bool {
    (value - expected).abs() <= expected.abs() * 1e-9
}

/// numpy.exp(scipy.stats.t.interval(0.95, 2, loc=mean(log([1, 2, 3])), scale=scipy.stats.sem(log([1, 2, 3])))),
/// and the same without logarithms where one value is not above 0.
#[test]
fn the_interval_is_of_what_rounds_differ_by() {
    let near = |interval: Option<[f64; 2]>, expected: [f64; 2]| {
        let interval = interval.unwrap();
        let off = [0, 1].map(|it| (interval[it] - expected[it]).abs());
        assert!(off.iter().all(|off| *off < 1e-6), "{interval:?}");
    };
    let of = |samples: &[&[f64]]| Estimate::of(&rounds(samples), Unit::Number);
    let estimate = of(&[&[1.0, 0.0, 9.0], &[2.0], &[3.0]]).unwrap();
    near(estimate.confidence_95, [0.457121759, 7.22329923]);
    assert_eq!(
        (estimate.median, estimate.samples, estimate.rounds),
        (2.0, 5, 3)
    );
    assert_eq!(
        (estimate.min, estimate.p25, estimate.p75, estimate.max),
        (0.0, 1.0, 3.0, 9.0)
    );
    let with_zero = of(&[&[0.0], &[1.0], &[2.0]]).unwrap();
    near(with_zero.confidence_95, [-1.48413771, 3.48413771]);
    let alike = of(&[&[3.0], &[3.0], &[3.0]]).unwrap();
    assert_eq!(alike.confidence_95, Some([3.0, 3.0]));
    assert_eq!(of(&[&[4.0, 5.0]]).unwrap().confidence_95, None);
    assert_eq!(of(&[]), None);
}

/// numpy.tanh(scipy.stats.t.interval(0.95, 2, loc=mean(z), scale=scipy.stats.sem(z)))**2 with z =
/// numpy.arctanh(sqrt([0.95, 0.99, 0.999])); over logarithms the upper bound was 1.04.
#[test]
fn the_interval_of_r_squared_stays_from_0_to_1() {
    let of = |samples: &[&[f64]]| Estimate::of(&rounds(samples), Unit::RSquared).unwrap();
    let [from, to] = of(&[&[0.95], &[0.99], &[0.999]]).confidence_95.unwrap();
    assert!((from - 0.326073006).abs() < 1e-6, "{from}");
    assert!((to - 0.999941120).abs() < 1e-6, "{to}");
    for wide in [[0.0, 0.5, 1.0], [1.0, 1.0, 0.9], [0.0, 0.0, 0.1]] {
        let [from, to] = of(&[&wide[..1], &wide[1..2], &wide[2..]])
            .confidence_95
            .unwrap();
        assert!(0.0 <= from && from < to && to <= 1.0, "{from} to {to}");
    }
}

#[test]
fn it_holds_where_the_whole_interval_is_within_the_bounds() {
    let claim = of_value(5e-6, 2.5e-6, 10e-6);
    assert_eq!(
        (claim.verdict, claim.reason, claim.tests[0].factor),
        (Verdict::Holds, None, None)
    );
}

#[test]
fn it_does_not_hold_where_the_whole_interval_is_outside_and_by_which_factor() {
    // Nothing is said but bounds: relative to the bound.
    for (value, factor) in [(1e-6, 0.4), (40e-6, 4.0)] {
        let claim = of_value(value, 2.5e-6, 10e-6);
        assert_eq!(claim.verdict, Verdict::DoesNotHold);
        assert!(close(claim.tests[0].factor.unwrap(), factor), "{claim:?}");
    }
    // What is said: relative to that.
    let points = vec![point("", None, around(40e-6))];
    let test = Test {
        claimed: Some(5e-6),
        ..test("time", None, Some(10e-6))
    };
    let claim = judged(
        vec![figure("time", Unit::Seconds, None, points)],
        vec![test],
    );
    assert!(close(claim.tests[0].factor.unwrap(), 8.0));
}

#[test]
fn an_interval_that_reaches_over_a_bound_decides_nothing() {
    // 1 % apart, three rounds: 2.5 % on either side.
    for (value, verdict) in [
        (9.70e-6, Verdict::Holds),
        (9.80e-6, Verdict::Undecided),
        (10.2e-6, Verdict::Undecided),
        (10.3e-6, Verdict::DoesNotHold),
        (2.45e-6, Verdict::Undecided),
    ] {
        assert_eq!(of_value(value, 2.5e-6, 10e-6).verdict, verdict, "{value}");
    }
    let reason = of_value(10e-6, 2.5e-6, 10e-6).reason.unwrap();
    assert!(
        reason.starts_with("the interval reaches over a bound"),
        "{reason}"
    );
}

#[test]
fn fewer_than_three_rounds_decide_nothing() {
    for samples in [&[&[1.0, 1.0, 1.0][..]][..], &[&[1.0], &[1.0]]] {
        let points = vec![point("", None, rounds(samples))];
        let figures = vec![figure("count", Unit::Count, None, points)];
        let claim = judged(figures, vec![test("count", Some(1.0), None)]);
        assert_eq!(claim.verdict, Verdict::Undecided);
        assert_eq!(
            claim.reason.as_deref(),
            Some("fewer than 3 rounds were measured")
        );
    }
}

#[test]
fn where_it_holds_at_some_places_only_it_depends_on_the_place() {
    let figures = || {
        flushes(&[
            (2.0, 0.01),
            (3.0, 0.01),
            (4.0, 0.02),
            (6.0, 0.95),
            (7.0, 0.99),
            (8.0, 1.0),
        ])
    };
    let claim = judged(figures(), vec![test("flushes", Some(0.95), None)]);
    assert_eq!(claim.verdict, Verdict::Depends);
    let reason = "address spaces: holds at 7, 8, not at 2 to 4; in doubt at 6";
    assert_eq!(claim.reason.as_deref(), Some(reason));
    // Places that do not count, do not.
    let only = |from, to| {
        let test = Test {
            from,
            to,
            ..test("flushes", Some(0.95), None)
        };
        judged(figures(), vec![test]).verdict
    };
    assert_eq!(only(Some(8.0), None), Verdict::Holds);
    assert_eq!(only(None, Some(4.0)), Verdict::DoesNotHold);
    assert_eq!(only(Some(6.0), None), Verdict::Undecided);
    // In doubt here, not there: whether it holds anywhere is not seen.
    let up_to_six = Test {
        to: Some(6.0),
        ..test("flushes", Some(0.95), None)
    };
    let claim = judged(figures(), vec![up_to_six]);
    let reason = "address spaces: not at 2 to 4; in doubt at 6";
    assert_eq!(
        (claim.verdict, claim.reason.as_deref()),
        (Verdict::Undecided, Some(reason))
    );
    let named = Test {
        at: vec!["2".into(), "8".into()],
        ..test("flushes", Some(0.95), None)
    };
    assert_eq!(judged(figures(), vec![named]).verdict, Verdict::Depends);
}

#[test]
fn ratios_are_of_rounds_that_were_measured_next_to_each_other() {
    // The host gets twice as slow each round: medians lie far apart, ratios do not.
    let process = rounds(&[&[3.0], &[6.0], &[12.0]]);
    let thread = rounds(&[&[1.0], &[2.0], &[4.0], &[100.0]]);
    let points = vec![
        point("process", None, process),
        point("thread", None, thread),
    ];
    let figures = || {
        vec![figure(
            "switch",
            Unit::Seconds,
            Some("model"),
            points.clone(),
        )]
    };
    let ratio = |per_at: Option<&str>| Test {
        at: vec!["process".into()],
        per: Some("switch".into()),
        per_at: per_at.map(Into::into),
        claimed: Some(1.5),
        ..test("switch", None, Some(2.0))
    };
    let claim = judged(figures(), vec![ratio(Some("thread"))]);
    let tested = &claim.tests[0];
    assert_eq!(
        (claim.verdict, tested.factor, tested.unit),
        (Verdict::DoesNotHold, Some(2.0), Unit::Number)
    );
    assert_eq!(tested.results[0].estimate.confidence_95, Some([3.0, 3.0]));
    assert_eq!(tested.results[0].estimate.rounds, 3);
    // Of the same place, if no other is named.
    let claim = judged(figures(), vec![ratio(None)]);
    assert_eq!(claim.tests[0].results[0].estimate.median, 1.0);
    let claim = judged(figures(), vec![ratio(Some("task"))]);
    assert_eq!(claim.verdict, Verdict::Failed);
    let reason = claim.reason.unwrap();
    assert!(
        reason.starts_with("no point of switch is one of switch too; there are process, thread"),
        "{reason}"
    );
}

#[test]
fn what_was_not_measured_is_not_judged_and_says_why() {
    for (failed, verdict) in [(false, Verdict::NotMeasurableHere), (true, Verdict::Failed)] {
        let mut run = run(
            vec![claim("one", vec![test("time", Some(1.0), None)])],
            Vec::new(),
        );
        run.missing = vec![missing(None, failed)];
        let judged = &build(&run).claims[0];
        assert_eq!(
            (judged.verdict, judged.reason.as_deref()),
            (verdict, Some("because"))
        );
    }
    // Another place of the figure lacks: no matter.
    let points = vec![point("here", None, around(2.0))];
    let here = Test {
        at: vec!["here".into()],
        ..test("time", Some(1.0), None)
    };
    let figures = vec![figure("time", Unit::Seconds, Some("place"), points)];
    let mut run = run(vec![claim("one", vec![here])], figures);
    run.missing = vec![missing(Some("there"), false)];
    assert_eq!(build(&run).claims[0].verdict, Verdict::Holds);
    let report = build(&run);
    assert_eq!(report.unavailable.len(), 1);
    run.claims[0].tests[0].at = vec!["there".into()];
    assert_eq!(build(&run).claims[0].verdict, Verdict::NotMeasurableHere);
}

#[test]
fn a_claim_is_as_good_as_its_worst_test() {
    let points = |value| vec![point("", None, around(value))];
    let figures = || {
        vec![
            figure("good", Unit::Count, None, points(2.0)),
            figure("bad", Unit::Count, None, points(0.5)),
            figure("doubtful", Unit::Count, None, points(1.0)),
        ]
    };
    let of = |names: &[&str]| {
        let tests = names.iter().map(|name| test(name, Some(1.0), None));
        judged(figures(), tests.collect()).verdict
    };
    assert_eq!(of(&["good", "good"]), Verdict::Holds);
    assert_eq!(of(&["good", "doubtful"]), Verdict::Undecided);
    assert_eq!(of(&["bad", "doubtful", "good"]), Verdict::DoesNotHold);
    assert_eq!(of(&["good", "none"]), Verdict::Failed);
    assert_eq!(of(&["bad", "none"]), Verdict::DoesNotHold);
}
