//! What the basic operations cost, against what they were made with: address spaces, working sets, resident memory.

use super::chart::{Lines, Series};
use crate::report::calibration::{Calibration, Operation};
use crate::units;

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
        let series = calibration.operations.iter().map(|it| self.points(it));
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

    /// Of variants that differ in nothing else.
    fn points(&self, operation: &Operation) -> (String, Vec<(f64, f64)>) {
        let alone = operation
            .results
            .iter()
            .filter(|it| it.parameters.len() == 1);
        let points = alone.filter_map(|it| {
            let value = *it.parameters.get(self.parameter)?;
            Some((value, it.cost.median_seconds))
        });
        let mut points: Vec<(f64, f64)> = points.filter(|point| point.0 > 0.0).collect();
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        (operation.title.clone(), points)
    }
}
