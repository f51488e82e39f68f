//! Concurrency models side by side: one block for each number of connections.

use super::super::Style;
use super::column::Column;
use super::footnotes::Footnotes;
use super::grid::Grid;
use super::part::Part;
use super::rows::rows;
use super::units;
use crate::report::{Report, Target};
use crate::snapshot::TargetKind;

/// A block for each number of connections, fewest first.
pub(super) fn parts(report: &Report, style: &Style, footnotes: &mut Footnotes) -> Vec<Part> {
    let targets = || {
        report
            .targets
            .iter()
            .filter(|target| target.kind == TargetKind::Reference)
    };
    let mut connections: Vec<_> = targets().map(|target| target.connections).collect();
    connections.sort_unstable();
    connections.dedup();
    let mut parts = Vec::new();
    for connections in connections {
        let block: Vec<_> = targets()
            .filter(|target| target.connections == connections)
            .collect();
        let columns = |ranges| {
            block
                .iter()
                .map(|target| whole(report, target, ranges))
                .collect()
        };
        let (grid, ranges) = with_ranges_if_wide(style, |ranges| grid(columns(ranges), footnotes));
        parts.extend([
            Part::Title(connected(connections)),
            Part::Words(particulars(&block, ranges)),
            Part::Grid(grid),
        ]);
    }
    parts
}

/// `1,000 connections`.
pub(super) fn connected(connections: Option<u32>) -> String {
    match connections {
        Some(1) => "1 connection".to_owned(),
        Some(connections) => format!("{} connections", units::count(connections.into())),
        None => "unknown number of connections".to_owned(),
    }
}

/// What clients did, for how long.
fn particulars(block: &[&Target], ranges: bool) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(client) = block
        .iter()
        .find_map(|target| target.measures.client.as_ref())
    {
        words.extend([client.workload.clone(), client.mode.clone()]);
        if client.offered_per_second > 0.0 {
            words.push(format!(
                "{} offered",
                units::rate(client.offered_per_second)
            ));
        }
    }
    words.extend(
        block
            .iter()
            .max_by_key(|target| target.repeats)
            .map(|target| length(target, ranges)),
    );
    words
}

/// For how long a target was watched, and what is shown of several times.
pub(super) fn length(target: &Target, ranges: bool) -> String {
    let window = units::time(target.window_seconds / target.repeats.max(1) as f64);
    match (target.repeats, ranges) {
        (0 | 1, _) => window,
        (repeats, true) => format!("{repeats} repeats of {window}: median [min–max], else mean"),
        (repeats, false) => format!("{repeats} repeats of {window}: median, else mean"),
    }
}

/// The grid with the range of repeats where that fits the screen, else without; and which it is.
pub(super) fn with_ranges_if_wide(
    style: &Style,
    mut grid: impl FnMut(bool) -> Grid,
) -> (Grid, bool) {
    let wide = grid(true);
    if wide.fits(style) {
        (wide, true)
    } else {
        (grid(false), false)
    }
}

fn grid(columns: Vec<Column<'_>>, footnotes: &mut Footnotes) -> Grid {
    let name = |column: &Column<'_>| match column.target.incomplete {
        Some(_) => format!("{} (incomplete)", column.target.name),
        None => column.target.name.clone(),
    };
    Grid {
        header: std::iter::once(String::new())
            .chain(columns.iter().map(name))
            .collect(),
        rows: rows(&columns, footnotes),
        words: Vec::new(),
    }
}

/// The column of a whole target.
pub(super) fn whole<'a>(report: &'a Report, target: &'a Target, ranges: bool) -> Column<'a> {
    let kernel = &target.measures.kernel;
    Column {
        report,
        target,
        kernel,
        tasks: target.tasks,
        is_role: false,
        ranges,
    }
}
