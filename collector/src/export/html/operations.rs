//! What the basic operations cost, against what they were made with: address spaces, working sets, resident memory.

use super::chart::{Lines, Series, ShowX};
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

/// The charts: of one host, whose label is empty, a line for each operation; of several a chart for each operation with
/// a line for each host.
pub(super) fn curves(hosts: &[(&str, &Calibration)]) -> String {
    let charts = CURVES.iter().map(|curve| match hosts {
        [(_, only)] => curve.chart(curve.note.to_owned(), curve.series(only)),
        several => curve.of_hosts(several),
    });
    let charts: String = charts.collect();
    match charts.is_empty() {
        true => charts,
        false => format!("<div class=\"charts\">\n{charts}</div>\n"),
    }
}

/// A line, and what it is called.
type Line = (String, Vec<(f64, f64)>);

impl Curve {
    fn of_hosts(&self, hosts: &[(&str, &Calibration)]) -> String {
        let lines: Vec<(&str, Vec<Line>)> = hosts
            .iter()
            .map(|(label, calibration)| (*label, self.series(calibration)))
            .collect();
        let mut names: Vec<&String> = Vec::new();
        for (name, _) in lines.iter().flat_map(|(_, lines)| lines) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let chart = |name: &&String| {
            let series = lines.iter().map(|(label, lines)| {
                let line = lines.iter().find(|(known, _)| known == *name);
                let points = line.map_or_else(Vec::new, |(_, points)| points.clone());
                ((*label).to_owned(), points)
            });
            self.chart(format!("{name}: {}", self.note), series.collect())
        };
        names.iter().map(chart).collect()
    }

    fn chart(&self, note: String, lines: Vec<Line>) -> String {
        let series = lines.into_iter().enumerate();
        let series = series.map(|(number, (name, points))| Series {
            name,
            number,
            points,
        });
        let lines = Lines {
            title: self.title.to_owned(),
            note,
            // What a host has not measured has no line, and the others keep their colours.
            series: series.filter(|series| !series.points.is_empty()).collect(),
            logarithmic_x: self.logarithmic,
            logarithmic_y: self.logarithmic,
            show_x: ShowX::Round(self.show),
            show_y: units::time,
        };
        lines.figure()
    }

    /// A line for each operation that has several points.
    fn series(&self, calibration: &Calibration) -> Vec<Line> {
        let series = calibration.operations.iter().flat_map(|it| self.points(it));
        series.filter(|(_, points)| points.len() > 1).collect()
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
