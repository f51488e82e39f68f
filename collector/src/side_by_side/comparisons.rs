//! The reference servers on several hosts: each model at each number of connections, by the figures that models are
//! ranked by.

use super::hosts::{Difference, Side, difference, sides};
use super::{Sheet, merge};
use crate::report::client::Client;
use crate::report::ranking::{HEADLINES, Headline, Named, Ranked};
use crate::report::spread::Spread;
use crate::report::{Report, SCHEMA, Target};
use crate::snapshot::TargetKind;
use crate::units;
use serde::Serialize;

/// Comparisons side by side, field by field as `docs/json.md` describes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparisons {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `report`.
    pub command: &'static str,
    /// `compare`.
    pub of: &'static str,
    /// The hosts, in the order their records were given. All that is by host is in this order.
    pub hosts: Vec<Side>,
    /// In what they were measured differently.
    pub differences: Vec<Difference>,
    /// One entry for each model at each number of connections that one of them has.
    pub blocks: Vec<Block>,
    /// The reports that it is made of.
    #[serde(skip)]
    pub reports: Vec<Report>,
}

/// A model at a number of connections.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Block {
    /// The model.
    pub name: String,
    /// Connections held.
    pub connections: Option<u32>,
    /// What clients did, where that is the same on all hosts.
    pub load: Option<String>,
    /// Why nothing is ranked in it.
    pub reason: Option<String>,
    /// Its figures.
    pub figures: Vec<Figure>,
    /// Where each host has it, among the targets of its report.
    #[serde(skip)]
    pub places: Vec<Option<usize>>,
}

/// A figure of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// Its name, as in a target's spread.
    pub figure: &'static str,
    /// What it is on each host; none where it was not measured.
    pub values: Vec<Option<Seen>>,
    /// The order of the hosts; none where it says nothing of this figure.
    pub ranking: Option<Ranked>,
}

/// A figure on a host.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Seen {
    /// The mean over repeats where there is an interval of it, else the median.
    pub value: f64,
    /// The 95 % confidence interval of the mean; none of fewer than three repeats.
    pub confidence_95: Option<[f64; 2]>,
    /// Each repeat.
    pub spread: Spread,
}

impl Comparisons {
    /// Lays them side by side.
    #[must_use]
    pub fn of(sheets: Vec<Sheet<Report>>) -> Self {
        let hosts = sides(&sheets, |report| report.incomplete.as_ref());
        let mut keys: Vec<Key<'_>> = Vec::new();
        for sheet in &sheets {
            merge(&mut keys, servers(&sheet.report).map(|(_, it)| key(it)));
        }
        // Fewest connections first; models in the order of the reports.
        keys.sort_by_key(|(connections, _)| *connections);
        let blocks = keys
            .iter()
            .map(|it| Block::of(*it, &sheets, &hosts))
            .collect();
        Self {
            schema: SCHEMA,
            command: "report",
            of: "compare",
            differences: differences(&sheets),
            blocks,
            hosts,
            reports: sheets.into_iter().map(|sheet| sheet.report).collect(),
        }
    }

    /// A host's server of a block, with its report.
    #[must_use]
    pub fn target(&self, block: &Block, host: usize) -> Option<(&Report, &Target)> {
        let report = &self.reports[host];
        Some((report, &report.targets[block.places[host]?]))
    }
}

/// What a block is of.
type Key<'a> = (Option<u32>, &'a str);

fn key(target: &Target) -> Key<'_> {
    (target.connections, &target.name)
}

fn servers(report: &Report) -> impl Iterator<Item = (usize, &Target)> {
    let targets = report.targets.iter().enumerate();
    targets.filter(|(_, target)| target.kind == TargetKind::Reference)
}

impl Block {
    fn of(of: Key<'_>, sheets: &[Sheet<Report>], hosts: &[Side]) -> Self {
        let place = |sheet: &Sheet<Report>| {
            let mut servers = servers(&sheet.report);
            servers
                .find(|(_, it)| key(it) == of)
                .map(|(place, _)| place)
        };
        let places: Vec<Option<usize>> = sheets.iter().map(place).collect();
        let found = sheets.iter().zip(&places);
        let targets: Vec<Option<&Target>> = found
            .map(|(sheet, place)| place.map(|place| &sheet.report.targets[place]))
            .collect();
        let named = hosts.iter().zip(&targets);
        let named: Vec<Named<'_>> = named
            .filter_map(|(host, target)| Some((host.label.as_str(), (*target)?)))
            .collect();
        let loads: Vec<String> = named.iter().map(|(_, target)| load(target)).collect();
        let reason = why_no_order(&loads);
        let figure = |headline: &Headline| Figure {
            figure: headline.figure,
            values: targets.iter().map(|it| seen(headline, (*it)?)).collect(),
            ranking: headline.rank_hosts(&named).filter(|_| reason.is_none()),
        };
        Self {
            name: of.1.to_owned(),
            connections: of.0,
            figures: HEADLINES.iter().map(figure).collect(),
            load: loads
                .first()
                .filter(|first| loads.iter().all(|it| it == *first))
                .cloned(),
            reason,
            places,
        }
    }
}

fn seen(headline: &Headline, target: &Target) -> Option<Seen> {
    let spread = (headline.spread)(&target.spread)?.clone();
    let interval = headline.interval(target);
    Some(Seen {
        value: interval.map_or(spread.median, |(mean, _)| mean),
        confidence_95: interval.map(|(_, interval)| interval),
        spread,
    })
}

/// Under another load a server has other figures.
fn why_no_order(loads: &[String]) -> Option<String> {
    let [first, others @ ..] = loads else {
        return None;
    };
    if others.is_empty() {
        return Some("one host alone has it".to_owned());
    }
    let other = others.iter().find(|load| *load != first)?;
    Some(format!("the load differs: {first}, and {other}"))
}

/// What clients did: `get-set, open-loop, 5.00 k/s offered`.
fn load(target: &Target) -> String {
    let Some(client) = &target.measures.client else {
        return "unknown".to_owned();
    };
    let Client {
        workload,
        mode,
        offered_per_second,
        ..
    } = client;
    match *offered_per_second > 0.0 {
        true => format!(
            "{workload}, {mode}, {} offered",
            units::rate(*offered_per_second)
        ),
        false => format!("{workload}, {mode}"),
    }
}

/// What was asked for, as far as the reports tell; the rest is in the command lines.
fn differences(sheets: &[Sheet<Report>]) -> Vec<Difference> {
    let each = |sheet: &Sheet<Report>, of: fn(&Target) -> String| {
        let mut values: Vec<String> = Vec::new();
        for (_, target) in servers(&sheet.report) {
            let value = of(target);
            if !values.contains(&value) {
                values.push(value);
            }
        }
        values.join("; ")
    };
    let cgroup = |sheet: &Sheet<Report>| sheet.report.host.memory_cgroup.clone();
    [
        difference("load", sheets, |it| each(it, load)),
        difference("repeats", sheets, |it| {
            each(it, |target| target.repeats.to_string())
        }),
        difference("memory cgroup", sheets, |it| {
            cgroup(it).unwrap_or("none".to_owned())
        }),
        difference("options", sheets, |it| options(&it.origin.command_line)),
        difference("connscope", sheets, |it| {
            it.origin.host.connscope_version.clone()
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The arguments, without those that say where the result goes; of a report in JSON nobody knows them.
fn options(command_line: &[String]) -> String {
    if command_line.is_empty() {
        return "unknown".to_owned();
    }
    const ELSEWHERE: [&str; 4] = ["--record", "--out", "--format", "--target-binary"];
    let mut options: Vec<&str> = Vec::new();
    let mut words = command_line.iter().skip(1).map(String::as_str);
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or(word);
        match (ELSEWHERE.contains(&name), word.contains('=')) {
            (true, false) => drop(words.next()),
            (true, true) => {}
            _ if ["compare", "--quiet", "-q"].contains(&word) => {}
            _ => options.push(word),
        }
    }
    match options.is_empty() {
        true => "none".to_owned(),
        false => options.join(" "),
    }
}
