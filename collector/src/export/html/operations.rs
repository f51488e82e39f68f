//! What the basic operations cost, against what they were made with: address spaces, working sets, resident memory.

use super::chart::{Lines, Series};
use crate::report::calibration::{Calibration, Operation};
use crate::units;
use std::collections::BTreeMap;

/// A curve: the parameter it is over, its title, how the parameter is written.
struct Curve {
    parameter: &'static str,
    title: &'static str,
    note: &'static str,
    logarithmic: bool,
    show: fn(f64) -> String,
}

const CURVES: [Curve; 3] = [
    Curve {
        parameter: "address_spaces",
        title: "The TLB curve",
        note: "median cost of a hop, against address spaces on one CPU",
        logarithmic: false,
        show: units::count,
    },
    Curve {
        parameter: "working_set_bytes",
        title: "Switches over working sets",
        note: "median cost of a switch, against what each task works on",
        logarithmic: true,
        show: units::bytes,
    },
    Curve {
        parameter: "resident_bytes",
        title: "Against resident memory",
        note: "median cost of a call, against what its caller holds",
        logarithmic: true,
        show: units::bytes,
    },
];

/// A chart for each.
pub(super) fn curves(calibration: &Calibration) -> String {
    let charts: String = CURVES
        .iter()
        .map(|curve| curve.chart(calibration))
        .collect();
    match charts.is_empty() {
        true => charts,
        false => format!("<div class=\"charts\">\n{charts}</div>\n"),
    }
}

impl Curve {
    fn chart(&self, calibration: &Calibration) -> String {
        let series = calibration.operations.iter().flat_map(|it| self.points(it));
        let series = series.filter(|(_, points)| points.len() > 1).enumerate();
        let lines = Lines {
            title: self.title,
            note: self.note.to_owned(),
            series: series
                .map(|(number, (name, points))| Series {
                    name,
                    number,
                    points,
                })
                .collect(),
            logarithmic_x: self.logarithmic,
            logarithmic_y: self.logarithmic,
            show_x: self.show,
            show_y: units::time,
        };
        lines.figure()
    }

    /// Of variants that differ in nothing else, with a name for each.
    fn points(&self, operation: &Operation) -> BTreeMap<String, Vec<(f64, f64)>> {
        let mut series = BTreeMap::<String, Vec<(f64, f64)>>::new();
        for result in &operation.results {
            let Some(value) = result
                .parameters
                .get(self.parameter)
                .filter(|it| **it > 0.0)
            else {
                continue;
            };
            let others = result.parameters.iter();
            let others = others.filter(|(name, _)| *name != self.parameter);
            let name = others.fold(operation.title.clone(), |name, (parameter, value)| {
                name + ", " + &named(parameter, *value)
            });
            // A difference below nothing, of a busy host, has no place on a logarithmic scale.
            let cost = result.cost.median_seconds;
            if cost > 0.0 {
                series.entry(name).or_default().push((*value, cost));
            }
        }
        for points in series.values_mut() {
            points.sort_by(|one, other| one.0.total_cmp(&other.0));
        }
        series
    }
}

/// `stride 64 B`.
fn named(parameter: &str, value: f64) -> String {
    match parameter.strip_suffix("_bytes") {
        Some(name) => format!("{} {}", name.replace('_', " "), units::bytes(value)),
        None => format!("{} {}", parameter.replace('_', " "), units::number(value)),
    }
}
