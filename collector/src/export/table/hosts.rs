//! Reports of several hosts: what the hosts are, what each says, whose figure is best, and what was measured
//! differently.

use super::column::Column;
use super::compare::{connected, whole};
use super::figures::Figure;
use super::footnotes::{Footnotes, superscript};
use super::grid::{Grid, Row};
use super::methods::methods;
use super::part::{Note, Part};
use super::ranking::named;
use super::rows::rows;
use super::units::{self, Unit};
use crate::report::calibration::Measured;
use crate::report::ranking::Ranked;
use crate::side_by_side::{
    self, Block, Calibrations, Comparisons, Difference, Seen, Side, Variant,
};

/// What the hosts are called by, and what it is of one.
type Fact = (&'static str, fn(&Side) -> String);

const FACTS: [Fact; 9] = [
    ("system", |it| {
        it.operating_system.clone().unwrap_or_default()
    }),
    ("kernel", |it| it.host.kernel.clone()),
    ("CPU", |it| it.host.cpu_model.clone()),
    ("CPUs", |it| it.host.cpus.to_string()),
    ("memory", |it| units::bytes(it.host.memory_bytes as f64)),
    ("runs on", |it| {
        it.host.virtualization.clone().unwrap_or_default()
    }),
    ("measured", |it| units::date(it.host.started_unix_seconds)),
    ("connscope", |it| it.host.connscope_version.clone()),
    ("file", |it| it.file.clone()),
];

/// The hosts, a column for each.
pub(super) fn hosts(sides: &[Side]) -> Vec<Part> {
    let row = |(name, fact): &Fact| {
        let cells: Vec<String> = sides.iter().map(fact).collect();
        let known = cells.iter().any(|cell| !cell.trim().is_empty());
        let label = std::iter::once(format!("  {name}"));
        known.then(|| Row::Figures(label.chain(cells).collect()))
    };
    let shortened = sides.iter().any(|side| side.short != side.label);
    let in_charts: Fact = ("in charts", |it| it.short.clone());
    let facts = FACTS.iter().chain(shortened.then_some(&in_charts));
    let grid = Grid {
        header: header("", sides).collect(),
        rows: facts.filter_map(row).collect(),
        words: (1..=sides.len()).collect(),
    };
    vec![Part::Title("Hosts".to_owned()), Part::Grid(grid)]
}

fn header(first: &str, sides: &[Side]) -> impl Iterator<Item = String> {
    let labels = sides.iter().map(|side| side.label.clone());
    std::iter::once(first.to_owned()).chain(labels)
}

/// What the basic operations cost on each.
pub(super) fn operations(them: &Calibrations) -> Vec<Part> {
    let mut rows = Vec::new();
    let mut group = "";
    for operation in &them.operations {
        if operation.group != group {
            group = &operation.group;
            rows.push(Row::Heading(group.to_owned()));
        }
        let title = format!("  {}", operation.title);
        if let [only] = &operation.variants[..] {
            rows.push(variant(title, only));
            continue;
        }
        let blank = vec![String::new(); them.hosts.len() + 1];
        rows.push(Row::Figures(std::iter::once(title).chain(blank).collect()));
        let variants = operation.variants.iter();
        rows.extend(variants.map(|it| variant(format!("    {}", it.variant), it)));
    }
    let mut grid = Grid {
        header: header("", &them.hosts)
            .chain(["lowest".to_owned()])
            .collect(),
        rows,
        words: vec![them.hosts.len() + 1],
    };
    if !is_ranked(them) {
        grid = grid.part(1..them.hosts.len() + 1);
    }
    vec![
        Part::Title("What the basic operations cost".to_owned()),
        Part::Words(vec!["median [quartiles] of the samples".to_owned()]),
        Part::Grid(grid),
    ]
}

fn variant(label: String, variant: &Variant) -> Row {
    let cell = |result: &Option<Measured>| match result {
        Some(Measured { cost, .. }) => {
            Unit::Time.show_spread(cost.p25_seconds, cost.median_seconds, cost.p75_seconds)
        }
        None => "-".to_owned(),
    };
    let cells = variant.results.iter().map(cell);
    let names = variant.places.iter();
    let places: Vec<Vec<&str>> = names
        .map(|place| place.iter().map(String::as_str).collect())
        .collect();
    let all = std::iter::once(label).chain(cells);
    Row::Figures(all.chain([best(&places)]).collect())
}

fn is_ranked(them: &Calibrations) -> bool {
    let mut variants = them.operations.iter().flat_map(|it| &it.variants);
    variants.any(|variant| !variant.places.is_empty())
}

/// Whoever is alone in the first place, or those that share it; `=` where all do, and nothing of one alone.
fn best(places: &[Vec<&str>]) -> String {
    match places {
        [] => String::new(),
        [all] if all.len() > 1 => "=".to_owned(),
        [_] => String::new(),
        [first, ..] => first.join(" = "),
    }
}

/// What to know of them.
pub(super) fn of_operations(them: &Calibrations) -> Vec<Part> {
    let lowest = match is_ranked(them) {
        true => (
            "lowest",
            "the host whose mean over its records has a 95 % confidence interval below those of all others; = where \
             intervals overlap, of those next to each other or of all between two: no order is known",
        ),
        false => (
            "not ranked",
            "one run of a host differs from the next by more than its samples do: lay three records or more of each \
             host side by side",
        ),
    };
    let mut notes = vec![(lowest.0.to_owned(), lowest.1.to_owned())];
    notes.extend(incomplete(&them.hosts));
    for (side, missing) in them.hosts.iter().zip(&them.unavailable) {
        notes.extend(missing.iter().map(|it| {
            let variant = it.variant.iter().map(|variant| format!(", {variant}"));
            let about = format!("{}{}", it.operation, variant.collect::<String>());
            let note = format!("{}: {about}: {}", side.label, it.reason);
            ("not measured".to_owned(), note)
        }));
    }
    let method = |it: &side_by_side::Operation| {
        (
            it.name.clone(),
            format!("{}; for each {}", it.method, it.unit),
        )
    };
    vec![
        Part::notes(
            "Measured differently",
            differences(&them.differences, &them.hosts),
        ),
        Part::notes("Notes", notes),
        Part::notes(
            "How it was measured",
            them.operations.iter().map(method).collect(),
        ),
    ]
}

fn differences(differences: &[Difference], sides: &[Side]) -> Vec<Note> {
    let note = |it: &Difference| {
        let values = it.values.iter().zip(sides);
        let values = values.map(|(value, side)| format!("{}: {value}", side.label));
        (it.what.clone(), values.collect::<Vec<_>>().join(" · "))
    };
    differences.iter().map(note).collect()
}

fn incomplete(sides: &[Side]) -> impl Iterator<Item = Note> {
    sides.iter().filter_map(|side| {
        let note = format!("{}: {}", side.label, side.incomplete.as_ref()?);
        Some(("incomplete".to_owned(), note))
    })
}

/// The models on each host, by the figures that they are ranked by: a table for each number of connections.
pub(super) fn models(them: &Comparisons, footnotes: &mut Footnotes) -> Vec<Part> {
    let mut parts = Vec::new();
    for blocks in them
        .blocks
        .chunk_by(|one, other| one.connections == other.connections)
    {
        let mut rows = Vec::new();
        for block in blocks {
            rows.push(Row::Heading(block.name.clone()));
            rows.extend(block.figures.iter().filter_map(|figure| {
                let (label, unit) = named(figure.figure);
                figure.values.iter().any(Option::is_some).then_some(())?;
                let values = figure.values.iter().zip(&them.hosts);
                let mut cells = vec![format!("  {label}")];
                cells.extend(values.map(|(seen, side)| footnotes.cell(value(seen, unit, side))));
                cells.push(footnotes.cell(whose(figure.ranking.as_ref(), block)));
                Some(Row::Figures(cells))
            }));
        }
        let last = std::iter::once("best".to_owned());
        let loads = blocks.iter().flat_map(|block| &block.load);
        let mut loads: Vec<String> = loads.cloned().collect();
        loads.dedup();
        let grid = Grid {
            header: header("", &them.hosts).chain(last).collect(),
            rows,
            words: vec![them.hosts.len() + 1],
        };
        parts.extend([
            Part::Title(connected(blocks[0].connections)),
            Part::Words(loads),
            Part::Grid(grid),
        ]);
    }
    parts
}

fn value(seen: &Option<Seen>, unit: Unit, side: &Side) -> Figure {
    let show = |seen: &Seen| match (seen.confidence_95, &seen.spread.values[..]) {
        (Some([from, to]), _) => unit.show_spread(from, seen.value, to),
        (None, [_, _, ..]) => unit.show_spread(seen.spread.min, seen.value, seen.spread.max),
        (None, _) => unit.show(seen.value),
    };
    Figure::of(seen.as_ref().map(show), || {
        format!("not measured there; see connscope report {}", side.file)
    })
}

/// Nothing where the order says nothing of this figure.
fn whose(ranking: Option<&Ranked>, block: &Block) -> Figure {
    if let Some(reason) = &block.reason {
        return Figure::Missing(reason.clone());
    }
    let Some(ranked) = ranking else {
        return Figure::Absent;
    };
    let names = ranked.places.iter();
    let places: Vec<Vec<&str>> = names
        .map(|place| place.iter().map(|it| it.name.as_str()).collect())
        .collect();
    match ranked.not_ranked.first() {
        Some(first) => Figure::Missing(format!("no order is known: {}", first.reason)),
        None => Figure::Value(best(&places)),
    }
}

/// What to know of them.
pub(super) fn of_models(them: &Comparisons, footnotes: &Footnotes) -> Vec<Part> {
    let numbered = (1..).zip(&footnotes.reasons);
    let mut notes: Vec<Note> = numbered
        .map(|(number, reason)| (format!("-{}", superscript(number)), reason.clone()))
        .collect();
    let interval = "the 95 % confidence interval of the mean over repeats; of two repeats both";
    let best = "the host whose interval is better than those of all others; = where intervals overlap, of those next \
                to each other or of all between two: no order is known. Repeats are of one run: from one day to another \
                a host may differ by more";
    notes.push(("[ ]".to_owned(), interval.to_owned()));
    notes.push(("best".to_owned(), best.to_owned()));
    notes.extend(incomplete(&them.hosts));
    vec![
        Part::notes(
            "Measured differently",
            differences(&them.differences, &them.hosts),
        ),
        Part::notes("Notes", notes),
        Part::notes("How it was measured", all_methods(them)),
    ]
}

/// Each method once, with the hosts that it is of where not all have it.
fn all_methods(them: &Comparisons) -> Vec<Note> {
    let mut all: Vec<(Note, Vec<&str>)> = Vec::new();
    for (report, side) in them.reports.iter().zip(&them.hosts) {
        for method in methods(report) {
            match all.iter_mut().find(|(known, _)| *known == method) {
                Some((_, hosts)) => hosts.push(&side.label),
                None => all.push((method, vec![&side.label])),
            }
        }
    }
    let note = |((about, method), hosts): (Note, Vec<&str>)| match hosts.len() == them.hosts.len() {
        true => (about, method),
        false => (about, format!("{}: {method}", hosts.join(", "))),
    };
    all.into_iter().map(note).collect()
}

/// Every figure of every model on each host that has it: for a page.
pub(super) fn every_figure(them: &Comparisons) -> Vec<Part> {
    let mut footnotes = Footnotes::default();
    let mut parts = Vec::new();
    for block in &them.blocks {
        let found = (0..them.hosts.len()).filter_map(|host| {
            let (report, target) = them.target(block, host)?;
            Some((&them.hosts[host], whole(report, target, true)))
        });
        let (sides, columns): (Vec<&Side>, Vec<Column<'_>>) = found.unzip();
        let labels = sides.iter().map(|side| side.label.clone());
        let grid = Grid {
            header: std::iter::once(String::new()).chain(labels).collect(),
            rows: rows(&columns, &mut footnotes),
            words: Vec::new(),
        };
        let title = format!("{}, {}", block.name, connected(block.connections));
        parts.extend([Part::Title(title), Part::Grid(grid)]);
    }
    let numbered = (1..).zip(&footnotes.reasons);
    let reasons =
        numbered.map(|(number, reason)| (format!("-{}", superscript(number)), reason.clone()));
    parts.push(Part::notes("Why figures are missing", reasons.collect()));
    parts
}
