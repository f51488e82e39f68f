//! The models side by side, by the figures that people compare by.

use super::text;
use crate::report::{Report, Target};
use crate::side_by_side::Comparisons;
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
    let servers = servers().filter(|target| target.connections == most);
    let servers: Vec<_> = servers.map(|it| (it.name.clone(), it)).collect();
    let cards = HEADLINES
        .iter()
        .map(|it| it.drawn(it.sorted(it.values(&servers))));
    all("cards", most, cards.collect())
}

/// The same of several hosts: those of a model next to each other, in the order of the hosts.
pub(super) fn bars_of_hosts(them: &Comparisons) -> String {
    let hosts_at = |connections| {
        let blocks = them
            .blocks
            .iter()
            .filter(|it| it.connections == connections);
        let blocks: Vec<_> = blocks.collect();
        let has = |host: &usize| blocks.iter().any(|it| them.target(it, *host).is_some());
        (0..them.hosts.len()).filter(has).count()
    };
    // The largest number that most of them, best all, were tried with.
    let numbers = them.blocks.iter().map(|block| block.connections);
    let Some(most) = numbers.max_by_key(|it| (hosts_at(*it), *it)) else {
        return String::new();
    };
    let blocks = || them.blocks.iter().filter(|block| block.connections == most);
    let named = blocks().flat_map(|block| {
        let hosts = them.hosts.iter().enumerate();
        hosts.filter_map(move |(host, side)| {
            let (_, target) = them.target(block, host)?;
            Some((format!("{}, {}", block.name, side.short), target))
        })
    });
    let named: Vec<(String, &Target)> = named.collect();
    let cards = HEADLINES.iter().map(|it| it.drawn(it.values(&named)));
    all("cards hosts", most, cards.collect())
}

fn all(class: &str, connections: Option<u32>, cards: String) -> String {
    let connections = units::count(connections.unwrap_or_default().into());
    format!(
        "<p class=\"soft\">With {connections} connections.</p>\n<div class=\"{class}\">\n{cards}</div>\n"
    )
}

impl Headline {
    fn values(&self, servers: &[(String, &Target)]) -> Vec<(String, f64)> {
        let value =
            |(name, target): &(String, &Target)| Some((name.clone(), (self.value)(target)?));
        servers.iter().filter_map(value).collect()
    }

    /// Best first.
    fn sorted(&self, mut values: Vec<(String, f64)>) -> Vec<(String, f64)> {
        values.sort_by(|(_, one), (_, other)| match self.highest_first {
            true => other.total_cmp(one),
            false => one.total_cmp(other),
        });
        values
    }

    fn drawn(&self, values: Vec<(String, f64)>) -> String {
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
