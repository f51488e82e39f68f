//! How waits, slices and sleeps are spread: each sample is in it, and not percentiles alone.

use super::chart::{Scale, WIDE_LEFT as LEFT, WIDE_RIGHT as RIGHT, color, wide, x_axis};
use super::text;
use crate::report::Report;
use crate::report::client::Latency;
use crate::report::distribution::Distribution;
use crate::report::histogram::bucket_edges;
use crate::report::measures::KernelMeasures;
use crate::snapshot::TargetKind;
use crate::units;

/// Of one row; the shape in it is a little lower.
const ROW: f64 = 44.0;
const SHAPE: f64 = 36.0;

type Of = fn(&KernelMeasures) -> Option<&Distribution>;

const MEASURES: [(&str, &str, Of); 5] = [
    ("Run-queue wait", "runnable, waiting for a CPU", |it| {
        it.run_queue_wait.as_ref()
    }),
    ("On-CPU slice", "on a CPU at a stretch", |it| {
        it.on_cpu_slice.as_ref()
    }),
    ("Blocked", "neither running nor runnable", |it| {
        Some(&it.blocked.as_ref()?.all)
    }),
    (
        "First run",
        "from creation to the first time on a CPU",
        |it| it.creations.as_ref()?.first_run.as_ref(),
    ),
    ("TLB shootdown", "how long it held its sender up", |it| {
        it.shootdown_latency.as_ref()
    }),
];

/// A row of a figure: which one of the report it is, for its colour, its name, its samples.
type Row<'a> = (usize, &'a str, &'a Distribution);

/// A figure for each measure, with a row for each server at the most connections, or each role.
pub(super) fn distributions(report: &Report) -> String {
    let who = who(report);
    let figures = MEASURES.iter().map(|(title, note, of)| {
        let rows = who.iter().enumerate();
        let rows = rows.filter_map(|(number, (name, it))| Some((number, name.as_str(), of(it)?)));
        let rows: Vec<Row<'_>> = rows.filter(|(.., it)| it.count > 0).collect();
        figure(title, note, &rows)
    });
    clients(report) + &figures.collect::<String>()
}

/// Whose distributions are shown.
fn who(report: &Report) -> Vec<(String, &KernelMeasures)> {
    let most = report
        .targets
        .iter()
        .filter(|it| it.kind == TargetKind::Reference);
    let most = most.map(|it| it.connections).max().flatten();
    let several = report.targets.len() > 1;
    let mut who = Vec::new();
    for target in &report.targets {
        match target.kind {
            TargetKind::Reference if target.connections == most => {
                who.push((target.name.clone(), &target.measures.kernel));
            }
            TargetKind::Reference => {}
            _ => who.extend(
                target
                    .roles
                    .iter()
                    .filter(|role| role.tasks > 0)
                    .map(|role| {
                        let whose = if several {
                            format!("{}, ", target.name)
                        } else {
                            String::new()
                        };
                        (whose + &role.role, &role.measures)
                    }),
            ),
        }
    }
    who
}

fn figure(title: &str, note: &str, rows: &[Row<'_>]) -> String {
    let edges: Vec<(f64, f64)> = rows
        .iter()
        .flat_map(|(.., it)| steps(it))
        .filter(|(.., count)| *count > 0)
        .map(|(from, to, _)| (from, to))
        .collect();
    let least = edges
        .iter()
        .map(|edge| edge.0)
        .fold(f64::INFINITY, f64::min);
    let most = edges.iter().map(|edge| edge.1).fold(0.0, f64::max);
    if most <= 0.0 {
        return String::new();
    }
    let bottom = rows.len() as f64 * ROW;
    let x = Scale::logarithmic(least, most, (LEFT, RIGHT));
    let names: Vec<_> = rows.iter().map(|(_, name, _)| *name).collect();
    let mut inside = x_axis(&x, 0.0, bottom, units::time);
    for (place, row) in rows.iter().enumerate() {
        inside += &drawn(row, (place as f64 + 1.0) * ROW, &x);
    }
    let note = format!("{note}; the height is the share of samples, each row by itself");
    let label = format!("Distribution of {title}: {}", names.join(", "));
    wide(title, &note, &label, bottom + 24.0, &inside)
}

fn drawn(&(number, name, it): &Row<'_>, base: f64, x: &Scale) -> String {
    let (color, _) = color(number);
    let quantile =
        |value: Option<f64>| {
            value.filter(|value| *value > 0.0).map_or(String::new(), |value| {
            let x = x.place(value);
            format!(
                "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{base}\"/>",
                base - 10.0
            )
        })
        };
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), units::time);
    let none = it.samples.counts.first().copied().unwrap_or(0) as f64 / it.count as f64;
    // On the logarithmic scale there is no place for nothing.
    let none = match none {
        0.0 => String::new(),
        share => format!(" · {} none", units::percent(share)),
    };
    format!(
        "<path class=\"area\" fill=\"{color}\" stroke=\"{color}\" d=\"{}\"/>\n{}{}\
         <line class=\"axis\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{base}\" y2=\"{base}\"/>\
         <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
         <text class=\"soft\" x=\"{:.0}\" y=\"{:.1}\">p50 {} · p99 {}{none}</text>\n",
        shape(it, x, base),
        quantile(it.p50_seconds),
        quantile(it.p99_seconds),
        LEFT - 10.0,
        base - 6.0,
        text(name),
        RIGHT + 12.0,
        base - 6.0,
        text(&shown(it.p50_seconds)),
        text(&shown(it.p99_seconds)),
    )
}

/// The buckets of times above nothing: from, to, and how many.
fn steps(it: &Distribution) -> impl Iterator<Item = (f64, f64, u64)> + '_ {
    let buckets = it.samples.counts.iter().enumerate().skip(1);
    buckets.map(|(bucket, &count)| {
        let (lower, upper) = bucket_edges(it.samples.sub_bits, bucket);
        (
            lower as f64 / 1e9,
            upper.saturating_add(1) as f64 / 1e9,
            count,
        )
    })
}

/// Samples by the width of their bucket, as steps: those of a bucket are spread evenly over its decade.
fn shape(it: &Distribution, x: &Scale, base: f64) -> String {
    let density = |(from, to, count): (f64, f64, u64)| (from, to, count as f64 / (to / from).ln());
    let steps: Vec<(f64, f64, f64)> = steps(it).map(density).collect();
    let most = steps
        .iter()
        .map(|step| step.2)
        .fold(f64::MIN_POSITIVE, f64::max);
    let mut path = String::new();
    let mut down = true;
    for (from, to, density) in steps {
        if density <= 0.0 {
            if !down {
                path += &format!("V{base}Z");
                down = true;
            }
            continue;
        }
        let (from, to) = (x.place(from), x.place(to));
        if down {
            path += &format!("M{from:.1},{base}");
            down = false;
        }
        path += &format!("V{:.1}H{to:.1}", base - density / most * SHAPE);
    }
    if !down {
        path += &format!("V{base}Z");
    }
    path
}

/// Of what clients saw there are percentiles, from the load generator's own histogram.
fn clients(report: &Report) -> String {
    let most = report
        .targets
        .iter()
        .map(|it| it.connections)
        .max()
        .flatten();
    let servers = report.targets.iter().filter(|it| it.connections == most);
    let latency = |it: &'_ crate::report::Target| {
        let latency = it.measures.client.as_ref()?.latency.clone()?;
        Some((it.name.clone(), latency))
    };
    let rows: Vec<(String, Latency)> = servers.filter_map(latency).collect();
    let points = || rows.iter().flat_map(|(_, it)| quantiles(it));
    let least = points()
        .map(|(_, value)| value)
        .fold(f64::INFINITY, f64::min);
    let largest = points().map(|(_, value)| value).fold(0.0, f64::max);
    if largest <= 0.0 {
        return String::new();
    }
    let bottom = rows.len() as f64 * 26.0 + 6.0;
    let x = Scale::logarithmic(least, largest, (LEFT, RIGHT));
    let mut inside = x_axis(&x, 0.0, bottom, units::time);
    for (number, (name, latency)) in rows.iter().enumerate() {
        inside += &quantiles_drawn(number, name, latency, &x);
    }
    let note = "as clients saw it: from the shortest over p50, p90, p99 and p99.9 to the longest";
    let names: Vec<_> = rows.iter().map(|(name, _)| name.as_str()).collect();
    let label = format!("Latency as clients saw it: {}", names.join(", "));
    wide("Latency", note, &label, bottom + 24.0, &inside)
}

fn quantiles_drawn(number: usize, name: &str, latency: &Latency, x: &Scale) -> String {
    let y = number as f64 * 26.0 + 18.0;
    let (color, _) = color(number);
    let all = quantiles(latency);
    let places: Vec<f64> = all.iter().map(|(_, value)| x.place(*value)).collect();
    let first = places.first().copied().unwrap_or(LEFT);
    let last = places.last().copied().unwrap_or(LEFT);
    let dots: String = places
        .iter()
        .map(|x| format!("<circle cx=\"{x:.1}\" cy=\"{y}\" r=\"4\" fill=\"{color}\"/>"))
        .collect();
    let shown = all.iter().filter(|(name, _)| ["p50", "p99"].contains(name));
    let shown: Vec<_> = shown
        .map(|(name, value)| format!("{name} {}", units::time(*value)))
        .collect();
    format!(
        "<line x1=\"{first:.1}\" x2=\"{last:.1}\" y1=\"{y}\" y2=\"{y}\" stroke=\"{color}\" stroke-width=\"2\"/>{dots}\
         <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
         <text class=\"soft\" x=\"{:.0}\" y=\"{:.1}\">{}</text>\n",
        LEFT - 10.0,
        y + 4.0,
        text(name),
        RIGHT + 12.0,
        y + 4.0,
        text(&shown.join(" · "))
    )
}

fn quantiles(it: &Latency) -> Vec<(&'static str, f64)> {
    let all = [
        ("min", it.min_seconds),
        ("p50", it.p50_seconds),
        ("p90", it.p90_seconds),
        ("p99", it.p99_seconds),
        ("p99.9", it.p99_9_seconds),
        ("max", it.max_seconds),
    ];
    let known = all
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    known.filter(|(_, value)| *value > 0.0).collect()
}
