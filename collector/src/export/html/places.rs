//! Figures of claims at several places of an axis of numbers, with the bounds that they are judged by.

use super::super::table::claims::words;
use super::chart::{Lines, Series, ShowX};
use crate::figures::Unit;
use crate::report::claims::{Claims, Judged, Measured, Tested};

/// From so many places on it is a curve.
const LEAST_PLACES: usize = 3;
/// A largest value of so many times the least has a logarithmic scale.
const WIDE: f64 = 50.0;
/// Of [`color`](super::chart::color): measured, and said.
const MEASURED: usize = 0;
const SAID: usize = 7;

/// A chart for each figure that has such places.
pub(super) fn curves(claims: &Claims) -> String {
    let tests = claims.claims.iter();
    let tests = tests.flat_map(|claim| claim.tests.iter().map(move |test| (claim, test)));
    let charts: String = tests.map(|(claim, test)| chart(claim, test)).collect();
    match charts.is_empty() {
        true => charts,
        false => format!("<div class=\"charts\">\n{charts}</div>\n"),
    }
}

fn chart(claim: &Judged, test: &Tested) -> String {
    let place = |result: &Measured| Some((result.x?, result.estimate.median, result.at.clone()));
    let mut places: Vec<_> = test.results.iter().filter_map(place).collect();
    if places.len() < LEAST_PLACES {
        return String::new();
    }
    places.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (least, most) = (places[0].0, places[places.len() - 1].0);
    let bound = |bound: Option<f64>, sign: &str| {
        let bound = bound?;
        Some(Series {
            name: format!("said: {sign} {}", words::value(test.unit, bound)),
            number: SAID,
            points: vec![(least, bound), (most, bound)],
        })
    };
    let bounds = [bound(test.at_least, "≥"), bound(test.at_most, "≤")];
    let measured = Series {
        name: "measured".to_owned(),
        number: MEASURED,
        points: places.iter().map(|(x, median, _)| (*x, *median)).collect(),
    };
    let series: Vec<Series> = std::iter::once(measured)
        .chain(bounds.into_iter().flatten())
        .collect();
    let medians = || series.iter().flat_map(|it| &it.points).map(|point| point.1);
    let lines = Lines {
        title: claim.id.clone(),
        note: format!(
            "{}, medians by {}",
            test.label,
            test.axis.as_deref().unwrap_or("place")
        ),
        logarithmic_x: is_wide([least, most].into_iter()),
        // Of shares it matters how much is left to all of it.
        logarithmic_y: test.unit != Unit::Share && is_wide(medians()),
        show_x: ShowX::Places(places.into_iter().map(|(x, _, at)| (x, at)).collect()),
        show_y: words::in_unit(test.unit),
        series,
    };
    lines.figure()
}

/// Whether values are above 0 and far apart.
fn is_wide(values: impl Iterator<Item = f64>) -> bool {
    let (least, most) = values.fold((f64::INFINITY, 0.0_f64), |(least, most), value| {
        (least.min(value), most.max(value))
    });
    least > 0.0 && most / least > WIDE
}
