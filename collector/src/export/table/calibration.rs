//! What the basic operations cost: a row for each variant, what was made of them below.

use super::super::Style;
use super::grid::{Grid, Row};
use super::part::{Note, Part};
use super::units::{self, Unit};
use crate::report::calibration::{Calibration, Measured};

/// Screens that have room for the less important columns too.
const WIDE: u16 = 100;

/// The report below its heading.
pub(super) fn parts(calibration: &Calibration, style: &Style) -> Vec<Part> {
    vec![
        Part::FurtherGrid(grid(calibration, style)),
        Part::notes("Notes", notes(calibration)),
        Part::notes("How it was measured", methods(calibration)),
    ]
}

/// Median, quartiles and samples always; the rest where there is any and room for it.
fn grid(calibration: &Calibration, style: &Style) -> Grid {
    let wide = style.width.is_none_or(|width| width >= WIDE);
    let results = || calibration.operations.iter().flat_map(|it| &it.results);
    let has_any = |column: &&Column| results().any(|it| !(column.cell)(it).is_empty());
    let columns = COLUMNS.iter().filter(|it| wide || !it.only_wide);
    let columns: Vec<_> = columns.filter(has_any).collect();
    let row = |label: String, result: Option<&Measured>| {
        let cell = |column: &&Column| result.map_or_else(String::new, column.cell);
        let cells = columns.iter().map(cell);
        Row::Figures(std::iter::once(label).chain(cells).collect())
    };
    let mut rows = Vec::new();
    let mut group = "";
    for operation in &calibration.operations {
        if operation.group != group {
            group = &operation.group;
            rows.push(Row::Heading(group.to_owned()));
        }
        let title = format!("  {}", operation.title);
        if let [only] = &operation.results[..] {
            rows.push(row(title, Some(only)));
            continue;
        }
        rows.push(row(title, None));
        let variants = operation.results.iter();
        rows.extend(variants.map(|it| row(format!("    {}", it.variant), Some(it))));
    }
    let names = columns.iter().map(|column| column.name.to_owned());
    Grid {
        header: std::iter::once(String::new()).chain(names).collect(),
        rows,
        words: Vec::new(),
    }
}

/// A column and what it shows of a result.
struct Column {
    name: &'static str,
    only_wide: bool,
    cell: fn(&Measured) -> String,
}

const COLUMNS: [Column; 6] = [
    Column {
        name: "median",
        only_wide: false,
        cell: |it| units::time(it.cost.median_seconds),
    },
    Column {
        name: "quartiles",
        only_wide: false,
        cell: |it| Unit::Time.show_range(it.cost.p25_seconds, it.cost.p75_seconds),
    },
    Column {
        name: "min",
        only_wide: true,
        cell: |it| units::time(it.cost.min_seconds),
    },
    Column {
        name: "indirect",
        only_wide: false,
        cell: |it| it.indirect_seconds.map_or_else(String::new, units::time),
    },
    Column {
        name: "raw",
        only_wide: true,
        cell: |it| match it.harness {
            Some(_) => units::time(it.raw.median_seconds),
            None => String::new(),
        },
    },
    Column {
        name: "samples",
        only_wide: false,
        cell: |it| units::count(it.samples as f64),
    },
];

/// What was made of the results together, and what could not be had.
fn notes(calibration: &Calibration) -> Vec<Note> {
    let mut notes: Vec<Note> = Vec::new();
    for operation in &calibration.operations {
        let about = operation.name.clone();
        if let Some(fit) = operation.fit {
            let note = format!(
                "{} + {} for each resident page of 4 KB (95 %: {} to {}), R² {:.4} over {} sizes",
                units::time(fit.intercept_seconds),
                units::time(fit.seconds_per_page),
                units::time(fit.confidence_95[0]),
                units::time(fit.confidence_95[1]),
                fit.r_squared,
                fit.points
            );
            notes.push((about.clone(), note));
        }
        if let Some(step) = operation.step {
            let note = format!(
                "from {} to {} address spaces a hop costs {} more: the TLB tags run out",
                step.from,
                step.to,
                units::time(step.rise_seconds)
            );
            notes.push((about, note));
        }
    }
    let missing = calibration.unavailable.iter().map(|missing| {
        let variant = missing.variant.iter().map(|variant| format!(", {variant}"));
        let about = format!("{}{}", missing.operation, variant.collect::<String>());
        (
            "not measured".to_owned(),
            format!("{about}: {}", missing.reason),
        )
    });
    notes.extend(missing);
    notes.extend(disturbed(calibration));
    notes
}

/// How much others used the CPUs meanwhile.
fn disturbed(calibration: &Calibration) -> Option<Note> {
    let results = || calibration.operations.iter().flat_map(|it| &it.results);
    let disturbed: u64 = results().map(|result| result.disturbed).sum();
    let samples: u64 = results().map(|result| result.samples).sum();
    let note = format!(
        "{} of {} samples were set aside, since other tasks had the CPU meanwhile",
        units::count(disturbed as f64),
        units::count((disturbed + samples) as f64)
    );
    (disturbed > 0).then(|| ("disturbed".to_owned(), note))
}

fn methods(calibration: &Calibration) -> Vec<Note> {
    let operations = calibration.operations.iter();
    operations
        .map(|operation| {
            let note = format!("{}; for each {}", operation.method, operation.unit);
            (operation.name.clone(), note)
        })
        .collect()
}
