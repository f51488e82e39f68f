//! Slopes and their intervals against worked examples from elsewhere.

use connscope::report::{
    self,
    marginal::{Marginal, Point, fit},
    student::t_quantile,
};
use connscope::snapshot::MemoryPoint;

use super::sample::{MODELS, attach, recording, run};

#[track_caller]
fn close(told: f64, expected: f64, tolerance: f64) {
    assert!(
        (told - expected).abs() <= tolerance,
        "{told}, expected {expected}"
    );
}

/// NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2, upper critical values for 0.975
/// and 0.995.
#[test]
fn quantiles_of_t_are_those_of_the_tables() {
    let table = [
        (1, 12.706, 63.657),
        (2, 4.303, 9.925),
        (3, 3.182, 5.841),
        (4, 2.776, 4.604),
        (7, 2.365, 3.499),
        (10, 2.228, 3.169),
        (13, 2.160, 3.012),
        (30, 2.042, 2.750),
        (100, 1.984, 2.626),
    ];
    for (degrees, at_95, at_99) in table {
        close(t_quantile(degrees, 0.95), at_95, 0.000_51);
        close(t_quantile(degrees, 0.99), at_99, 0.000_51);
    }
}

/// By hand: means 3 and 4, Sxx 10, Sxy 6, slope 0.6; residuals -0.8, 0.6, 1, -0.6, -0.2, their
/// squares sum to 2.4; standard error sqrt(2.4 / 3 / 10) = 0.282843; t of 3 is 3.182446.
#[test]
fn a_line_by_hand() {
    let slope = fit(&[&[(1.0, 2.0), (2.0, 4.0), (3.0, 5.0), (4.0, 4.0), (5.0, 5.0)]]).unwrap();
    close(slope.value, 0.6, 1e-12);
    close(slope.margin_95, 0.900_133, 1e-5);
}

/// Wikipedia, "Simple linear regression", numerical example: mass over height of women aged 30 to
/// 39; slope 61.272, standard error 1.776, interval 57.4 to 65.1.
#[test]
fn a_line_from_a_worked_example() {
    let heights = [
        1.47, 1.50, 1.52, 1.55, 1.57, 1.60, 1.63, 1.65, 1.68, 1.70, 1.73, 1.75, 1.78, 1.80, 1.83,
    ];
    let masses = [
        52.21, 53.12, 54.48, 55.84, 57.20, 58.57, 59.93, 61.29, 63.11, 64.47, 66.28, 68.10, 69.92,
        72.19, 74.46,
    ];
    let points: Vec<_> = heights.into_iter().zip(masses).collect();
    let slope = fit(&[&points]).unwrap();
    close(slope.value, 61.272, 0.000_51);
    close(slope.margin_95 / t_quantile(13, 0.95), 1.776, 0.000_51);
    close(slope.value - slope.margin_95, 57.4, 0.051);
    close(slope.value + slope.margin_95, 65.1, 0.051);
}

#[test]
fn servers_that_start_at_another_size_share_a_slope() {
    // Both lines rise by 5; laid through all points at once the line would fall.
    let low: Vec<_> = [10.0, 11.0, 12.0].map(|x| (x, 5.0 * x)).to_vec();
    let high: Vec<_> = [0.0, 1.0, 2.0].map(|x| (x, 1_000.0 + 5.0 * x)).to_vec();
    let slope = fit(&[&low, &high, &[]]).unwrap();
    close(slope.value, 5.0, 1e-9);
    close(slope.margin_95, 0.0, 1e-9);
}

#[test]
fn each_series_costs_a_degree_of_freedom() {
    // Worked by hand: the first series has Sxx 2, Sxy 2, the second Sxx 2, Sxy 4: slope 6 / 4.
    // Squared errors: each series is off by -0.5, 0, 0.5 and 0.5, 0, -0.5: 1 in all, with
    // 6 - 2 - 1 degrees: sqrt(1 / 3 / 4) = 0.288675, times 3.182446.
    let one = [(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)];
    let two = [(0.0, 0.0), (1.0, 2.0), (2.0, 4.0)];
    let slope = fit(&[&one, &two]).unwrap();
    close(slope.value, 1.5, 1e-12);
    close(slope.margin_95, 0.918_693, 1e-5);
}

fn points(points: &[(u32, u64)]) -> Vec<MemoryPoint> {
    points
        .iter()
        .map(|&(connections, bytes)| MemoryPoint { connections, bytes })
        .collect()
}

#[test]
fn a_slope_says_over_what_it_was_seen() {
    let seen = points(&[(0, 1_000), (10, 2_010), (20, 2_990), (40, 5_000)]);
    let marginal = Marginal::of(&[&seen], 0, None, "how".to_owned());
    assert_eq!((marginal.points, marginal.connections), (4, Some([0, 40])));
    let [lower, upper] = marginal.confidence_95.unwrap();
    let value = marginal.value.unwrap();
    assert!(
        lower < 100.0 && 100.0 < upper && lower < value && value < upper,
        "{marginal:?}"
    );
    close(value - lower, upper - value, 1e-9);
    let told: Vec<_> = marginal.points_detail.iter().map(plain).collect();
    assert_eq!(
        told,
        [
            (1, 0, 1_000),
            (1, 10, 2_010),
            (1, 20, 2_990),
            (1, 40, 5_000)
        ]
    );
    assert_eq!((marginal.reason, marginal.method.as_str()), (None, "how"));
}

fn plain(point: &Point) -> (u64, u32, u64) {
    (point.repeat, point.connections, point.bytes)
}

#[test]
fn the_slope_follows_from_the_points_that_are_told() {
    let one = points(&[(0, 1_000), (10, 2_010), (20, 2_990)]);
    let other = points(&[(0, 5_000), (10, 6_020), (30, 8_050)]);
    let marginal = Marginal::of(&[&one, &[], &other], 0, None, String::new());
    let of_repeat = |repeat: u64| {
        let told = marginal.points_detail.iter().map(plain);
        told.filter(|point| point.0 == repeat)
            .map(|(_, x, y)| (f64::from(x), y as f64))
            .collect::<Vec<_>>()
    };
    assert_eq!((of_repeat(2).len(), of_repeat(3).len()), (0, 3));
    let again = fit(&[&of_repeat(1), &of_repeat(3)]).unwrap();
    assert_eq!(marginal.value, Some(again.value));
}

#[test]
fn too_little_has_no_slope_and_says_why() {
    let cases = [
        (points(&[]), None, "three points"),
        (points(&[(0, 1), (10, 2)]), None, "three points"),
        (points(&[(5, 1), (5, 2), (5, 3)]), None, "different numbers"),
        (
            points(&[]),
            Some("no cgroup could be made"),
            "no cgroup could be made",
        ),
    ];
    for (points, unavailable, expected) in cases {
        let marginal = Marginal::of(&[&points], 2, unavailable, String::new());
        assert_eq!((marginal.value, marginal.confidence_95), (None, None));
        let reason = marginal.reason.unwrap();
        assert!(reason.contains(expected), "{reason}");
    }
}

/// What is reserved is a slope of its own beside what is touched, and its counter is exact.
#[test]
fn what_one_more_reserves_is_told_apart_from_what_it_touches() {
    for (model, reserves) in [(0, 3_200_000.0), (1, 2_101_248.0), (2, 0.0)] {
        let runs = vec![run(&MODELS[model], 1_000, 1), run(&MODELS[model], 1_000, 2)];
        let report = report::build(&recording("compare", runs)).unwrap();
        let memory = &report.targets[0].measures.kernel.memory;
        let reserved = memory.reserved_bytes_per_connection.as_ref().unwrap();
        close(reserved.value.unwrap(), reserves, 1e-6);
        let [lower, upper] = reserved.confidence_95.unwrap();
        assert!(upper - lower < 1e-3, "{lower}, {upper}");
        assert_eq!(
            (reserved.points, reserved.connections),
            (18, Some([0, 1_000]))
        );
        let touched = memory.marginal_bytes_per_connection.as_ref().unwrap();
        let bytes = MODELS[model].bytes_per_connection as f64;
        close(touched.value.unwrap(), bytes, bytes * 0.05);
        // Of a role there is neither.
        let role = &report.targets[0].roles[0].measures.memory;
        assert_eq!(role.reserved_bytes_per_connection, None);
    }
    let process = report::build(&attach()).unwrap();
    let memory = &process.targets[0].measures.kernel.memory;
    let reserved = memory.reserved_bytes_per_connection.as_ref().unwrap();
    assert_eq!(reserved.value, None);
    let reason = reserved.reason.as_deref().unwrap();
    assert!(reason.contains("of what runs already"), "{reason}");
    // The main process and its 40 children.
    let accounted = memory.accounted.as_ref().unwrap();
    assert_eq!(accounted.reserved_bytes, Some(41 * 3_200_000));
}

/// Points that a coarse counter lays on a line are not known to lie on it.
#[test]
fn the_interval_is_no_narrower_than_the_counter_allows() {
    let flat: Vec<_> = (1..=10)
        .map(|connections| MemoryPoint {
            connections,
            bytes: 1_310_720,
        })
        .collect();
    let marginal = Marginal::of(&[&flat], 2, None, String::new());
    assert_eq!(marginal.value, Some(0.0));
    let batches = 2.0 * 64.0 * 4096.0 / 9.0;
    assert_eq!(marginal.confidence_95, Some([-batches, batches]));
}

/// Through moments of a watch: with what reason there is none, and that there is one over a wide enough range.
#[test]
fn a_slope_through_moments_needs_a_range() {
    let at = |connections: u32| MemoryPoint {
        connections,
        bytes: 50_000 + 1_000 * u64::from(connections),
    };
    let of = |numbers: &[u32], unavailable| {
        let points: Vec<_> = numbers.iter().copied().map(at).collect();
        Marginal::of_moments(&[&points], unavailable, "how".to_owned())
    };
    for numbers in [&[0, 3, 5][..], &[90, 101, 95, 97], &[20, 60, 20]] {
        let marginal = of(numbers, None);
        close(marginal.value.unwrap(), 1_000.0, 1e-9);
        assert_eq!(marginal.reason, None);
    }
    let cases = [
        (&[][..], None, "there was no moment at which"),
        (
            &[20],
            None,
            "rested: 1, with 20 to 20 of them; a slope needs three moments, 5 connections",
        ),
        (&[0, 20], None, "rested: 2, with 0 to 20 of them"),
        (
            &[10, 12, 14],
            None,
            "with 10 to 14 of them; a slope needs three moments, 5 connections",
        ),
        (
            &[92, 101, 95],
            None,
            "with 92 to 101 of them; a slope needs three moments, 11 connections",
        ),
        (&[], Some("its budget is 0"), "its budget is 0"),
    ];
    for (numbers, unavailable, expected) in cases {
        let marginal = of(numbers, unavailable);
        assert_eq!((marginal.value, marginal.confidence_95), (None, None));
        assert_eq!(marginal.points, numbers.len() as u64);
        let reason = marginal.reason.unwrap();
        assert!(reason.contains(expected), "{reason}");
    }
}
