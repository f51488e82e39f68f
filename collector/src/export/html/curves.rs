//! What becomes of figures as connections are added.

use super::chart::{Lines, Series, ShowX};
use crate::report::{Report, Target};
use crate::snapshot::TargetKind;
use crate::units;

/// A chart for each figure that servers were measured at several numbers of connections by.
pub(super) fn curves(report: &Report) -> String {
    let charts = [
        memory(report),
        Lines {
            title: "Throughput".to_owned(),
            note: "answers a second, against connections".to_owned(),
            series: over_connections(report, |it| {
                Some(it.measures.client.as_ref()?.throughput_per_second)
            }),
            logarithmic_x: true,
            logarithmic_y: false,
            show_x: ShowX::Round(units::count),
            show_y: units::rate,
        },
        Lines {
            title: "Latency p99".to_owned(),
            note: "as clients saw it, against connections".to_owned(),
            series: over_connections(report, |it| {
                it.measures.client.as_ref()?.latency.as_ref()?.p99_seconds
            }),
            logarithmic_x: true,
            logarithmic_y: true,
            show_x: ShowX::Round(units::count),
            show_y: units::time,
        },
        Lines {
            title: "Context switches".to_owned(),
            note: "for each request, against connections".to_owned(),
            series: over_connections(report, |it| {
                it.measures.kernel.context_switches.as_ref()?.per_request
            }),
            logarithmic_x: true,
            logarithmic_y: false,
            show_x: ShowX::Round(units::count),
            show_y: units::number,
        },
    ];
    let charts: String = charts.iter().map(Lines::figure).collect();
    match charts.is_empty() {
        true => charts,
        false => format!("<div class=\"charts\">\n{charts}</div>\n"),
    }
}

/// What each server held while connections were added, in the first repeat with most of them.
fn memory(report: &Report) -> Lines {
    let series = names(report).into_iter().enumerate().map(|(number, name)| {
        let servers = report.targets.iter().filter(|it| it.name == name);
        let most = servers.max_by_key(|it| it.connections);
        let memory = most.map(|it| &it.measures.kernel.memory);
        let slope = memory.and_then(|it| it.marginal_bytes_per_connection.as_ref());
        let points = slope.iter().flat_map(|slope| &slope.points_detail);
        let points = points.filter(|point| point.repeat == 1 && point.connections > 0);
        Series {
            points: points
                .map(|it| (f64::from(it.connections), it.bytes as f64))
                .collect(),
            name,
            number,
        }
    });
    Lines {
        title: "Memory".to_owned(),
        note: "of the server's cgroup, against connections".to_owned(),
        series: series.filter(|series| !series.points.is_empty()).collect(),
        logarithmic_x: true,
        logarithmic_y: true,
        show_x: ShowX::Round(units::count),
        show_y: units::bytes,
    }
}

/// A figure of each server at each number of connections.
fn over_connections(report: &Report, value: fn(&Target) -> Option<f64>) -> Vec<Series> {
    let series = names(report).into_iter().enumerate().map(|(number, name)| {
        let servers = report.targets.iter().filter(|it| it.name == name);
        let point = |it: &Target| Some((f64::from(it.connections?), value(it)?));
        let mut points: Vec<_> = servers.filter_map(point).collect();
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        Series {
            name,
            number,
            points,
        }
    });
    series.filter(|series| !series.points.is_empty()).collect()
}

/// The servers, in the order they were first measured.
fn names(report: &Report) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for target in report
        .targets
        .iter()
        .filter(|it| it.kind == TargetKind::Reference)
    {
        if !names.contains(&target.name) {
            names.push(target.name.clone());
        }
    }
    names
}
