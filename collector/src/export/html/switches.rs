//! How long a CPU takes from one task to the next, by whether the address space changes.

use super::chart::{Scale, WIDE_LEFT as LEFT, WIDE_RIGHT as RIGHT, wide, x_axis};
use super::text;
use crate::report::Report;
use crate::report::switch_latency::{Figures, SwitchLatency};
use crate::snapshot::TargetKind;
use crate::units;

const LINE: f64 = 20.0;

type Of = fn(&SwitchLatency) -> &Figures;

const KINDS: [(&str, &str, Of); 4] = [
    ("same address space", "var(--s1)", |it| {
        &it.same_address_space.all
    }),
    ("another address space", "var(--s2)", |it| {
        &it.different_address_space.all
    }),
    ("to or from idle", "var(--s8)", |it| &it.idle.all),
    ("to or from a kernel thread", "var(--s4)", |it| {
        &it.kernel_thread.all
    }),
];

/// A line.
struct Row {
    whose: String,
    color: &'static str,
    p50: f64,
    interval: [f64; 2],
    p99: f64,
}

/// Medians with their intervals, and up to p99, without what the instrument adds.
pub(super) fn switches(report: &Report) -> String {
    let servers = report
        .targets
        .iter()
        .filter(|it| it.kind == TargetKind::Reference);
    let most = servers.map(|it| it.connections).max().flatten();
    let mut rows = Vec::new();
    for target in &report.targets {
        let Some(latency) = &target.measures.kernel.switch_latency else {
            continue;
        };
        if target.kind == TargetKind::Reference && target.connections != most {
            continue;
        }
        rows.extend(KINDS.iter().filter_map(|(_, color, of)| {
            let corrected = of(latency).corrected?;
            Some(Row {
                whose: target.name.clone(),
                color,
                p50: corrected.p50_seconds,
                interval: corrected.p50_confidence_95_seconds,
                p99: corrected.p99_seconds,
            })
        }));
    }
    if rows.is_empty() {
        return String::new();
    }
    let least = rows
        .iter()
        .map(|row| row.interval[0].max(1e-9))
        .fold(f64::INFINITY, f64::min);
    let most = rows
        .iter()
        .map(|row| row.p99.max(row.p50))
        .fold(0.0, f64::max);
    let bottom = rows.len() as f64 * LINE + 6.0;
    let x = Scale::logarithmic(least * 0.8, most * 1.1, (LEFT, RIGHT));
    let key = KINDS
        .map(|(name, color, _)| format!("<li><i style=\"background:{color}\"></i>{name}</li>"));
    let mut inside = x_axis(&x, 0.0, bottom, units::time);
    let mut last = "";
    for (number, row) in rows.iter().enumerate() {
        let name = if row.whose == last {
            ""
        } else {
            row.whose.as_str()
        };
        last = &row.whose;
        inside += &row.line(number as f64 * LINE + LINE - 4.0, name, &x);
    }
    let title = "Direct latency of context switches";
    let note =
        "median with its 95 % interval, and the line to p99; what the instrument adds is taken off";
    let figure = wide(title, note, title, bottom + 24.0, &inside);
    format!("<ul class=\"key\">{}</ul>\n{figure}", key.concat())
}

impl Row {
    fn line(&self, y: f64, name: &str, x: &Scale) -> String {
        let place = |value: f64| x.place(value);
        format!(
            "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y}\" y2=\"{y}\" stroke=\"{color}\"/>\
             <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y}\" y2=\"{y}\" stroke=\"{color}\" stroke-width=\"6\" stroke-opacity=\".5\"/>\
             <circle cx=\"{:.1}\" cy=\"{y}\" r=\"4\" fill=\"{color}\"/>\
             <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <text class=\"soft\" x=\"{:.0}\" y=\"{:.1}\">p50 {} · p99 {}</text>\n",
            place(self.p50),
            place(self.p99),
            place(self.interval[0]),
            place(self.interval[1]),
            place(self.p50),
            LEFT - 10.0,
            y + 4.0,
            text(name),
            RIGHT + 12.0,
            y + 4.0,
            text(&units::time(self.p50)),
            text(&units::time(self.p99)),
            color = self.color,
        )
    }
}
