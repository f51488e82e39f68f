//! The models side by side, by the figures that people compare by.

use super::text;
use crate::report::{Report, Target};
use crate::snapshot::TargetKind;
use crate::units;

/// A figure: its title, what to know of it, its value and how that is written.
struct Headline {
    title: &'static str,
    note: &'static str,
    highest_first: bool,
    value: fn(&Target) -> Option<f64>,
    show: fn(f64) -> String,
}

const HEADLINES: [Headline; 6] = [
    Headline {
        title: "Throughput",
        note: "answers a second; more is better",
        highest_first: true,
        value: |it| Some(it.measures.client.as_ref()?.throughput_per_second),
        show: units::rate,
    },
    Headline {
        title: "Latency p99",
        note: "as clients saw it, from the intended start",
        highest_first: false,
        value: |it| it.measures.client.as_ref()?.latency.as_ref()?.p99_seconds,
        show: units::time,
    },
    Headline {
        title: "Context switches",
        note: "for each request",
        highest_first: false,
        value: |it| it.measures.kernel.context_switches.as_ref()?.per_request,
        show: units::number,
    },
    Headline {
        title: "Run-queue wait p99",
        note: "runnable, waiting for a CPU",
        highest_first: false,
        value: |it| it.measures.kernel.run_queue_wait.as_ref()?.p99_seconds,
        show: units::time,
    },
    Headline {
        title: "CPU time",
        note: "for each request",
        highest_first: false,
        value: |it| it.measures.kernel.cpu.as_ref()?.per_request_seconds,
        show: units::time,
    },
    Headline {
        title: "Memory",
        note: "of one more connection",
        highest_first: false,
        value: |it| {
            let memory = &it.measures.kernel.memory;
            memory.marginal_bytes_per_connection.as_ref()?.value
        },
        show: units::bytes,
    },
];

/// A card for each figure, of the servers at the largest number of connections.
pub(super) fn bars(report: &Report) -> String {
    let servers = || {
        let targets = report.targets.iter();
        targets.filter(|target| target.kind == TargetKind::Reference)
    };
    let Some(most) = servers().map(|target| target.connections).max() else {
        return String::new();
    };
    let servers: Vec<_> = servers()
        .filter(|target| target.connections == most)
        .collect();
    let cards: String = HEADLINES.iter().map(|it| it.card(&servers)).collect();
    let connections = units::count(most.unwrap_or_default().into());
    format!(
        "<p class=\"soft\">With {connections} connections.</p>\n<div class=\"cards\">\n{cards}</div>\n"
    )
}

impl Headline {
    fn card(&self, servers: &[&Target]) -> String {
        let value = |target: &&Target| Some((target.name.clone(), (self.value)(target)?));
        let mut values: Vec<(String, f64)> = servers.iter().filter_map(value).collect();
        values.sort_by(|(_, one), (_, other)| match self.highest_first {
            true => other.total_cmp(one),
            false => one.total_cmp(other),
        });
        let most = values.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        if values.is_empty() {
            return String::new();
        }
        let row = |(name, value): &(String, f64)| {
            let share = if most > 0.0 {
                value.max(0.0) / most * 100.0
            } else {
                0.0
            };
            format!(
                "<tr><th scope=\"row\">{}</th><td class=\"value\">{}</td><td><span class=\"bar\" style=\"width:{share:.1}%\"></span></td></tr>\n",
                text(name),
                (self.show)(*value)
            )
        };
        let rows: String = values.iter().map(row).collect();
        format!(
            "<figure><figcaption>{} <span>{}</span></figcaption>\n<table class=\"bars\"><tbody>\n{rows}</tbody></table></figure>\n",
            self.title, self.note
        )
    }
}
