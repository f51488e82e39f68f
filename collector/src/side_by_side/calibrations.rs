//! What the basic operations cost on several hosts.

use super::hosts::{Difference, Side, difference, sides};
use super::{Sheet, merge};
use crate::report::SCHEMA;
use crate::report::calibration::{Calibration, Measured, Operation as Measurements};
use crate::report::ranking::{Contender, interval, places};
use crate::series::Missing;
use serde::Serialize;

/// Calibrations side by side, field by field as `docs/json.md` describes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibrations {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `report`.
    pub command: &'static str,
    /// `calibrate`.
    pub of: &'static str,
    /// The hosts, in the order their records were given. All that is by host is in this order.
    pub hosts: Vec<Side>,
    /// In what they were measured differently.
    pub differences: Vec<Difference>,
    /// One entry for each operation that one of them has.
    pub operations: Vec<Operation>,
    /// What each could not measure, and why.
    pub unavailable: Vec<Vec<Missing>>,
    /// The reports that it is made of.
    #[serde(skip)]
    pub reports: Vec<Calibration>,
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Operation {
    /// Its name.
    pub name: String,
    /// The heading it stands below.
    pub group: String,
    /// What it is, in a few words.
    pub title: String,
    /// What a figure is of one of.
    pub unit: String,
    /// How it was measured.
    pub method: String,
    /// Its variants; sizes depend on the host.
    pub variants: Vec<Variant>,
}

/// A variant of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Variant {
    /// Which.
    pub variant: String,
    /// What it costs on each host; none where it was not measured.
    pub results: Vec<Option<Measured>>,
    /// The hosts, cheapest first, where two have three records or more. Those of one place are tied: between two places
    /// no 95 % confidence intervals of the mean over a host's records overlap.
    pub places: Vec<Vec<String>>,
}

impl Calibrations {
    /// Lays them side by side.
    #[must_use]
    pub fn of(sheets: Vec<Sheet<Calibration>>) -> Self {
        let hosts = sides(&sheets, |report| report.incomplete.as_ref());
        let is_quick = |sheet: &Sheet<Calibration>| sheet.report.quick;
        let is_alike = sheets.iter().all(|it| is_quick(it) == is_quick(&sheets[0]));
        let mut names: Vec<&str> = Vec::new();
        for sheet in &sheets {
            merge(
                &mut names,
                sheet.report.operations.iter().map(|it| it.name.as_str()),
            );
        }
        let operation = |name: &&str| {
            let of = |sheet: &'_ Sheet<Calibration>| -> Option<usize> {
                sheet
                    .report
                    .operations
                    .iter()
                    .position(|it| it.name == **name)
            };
            let found = sheets
                .iter()
                .map(|sheet| Some(&sheet.report.operations[of(sheet)?]));
            Operation::of(&found.collect::<Vec<_>>(), &hosts, is_alike)
        };
        let operations = names.iter().filter_map(operation).collect();
        Self {
            schema: SCHEMA,
            command: "report",
            of: "calibrate",
            differences: differences(&sheets, &names),
            operations,
            unavailable: sheets
                .iter()
                .map(|it| it.report.unavailable.clone())
                .collect(),
            hosts,
            reports: sheets.into_iter().map(|sheet| sheet.report).collect(),
        }
    }
}

impl Operation {
    /// None where no host has it. There is an order only among what was measured alike.
    fn of(of_hosts: &[Option<&Measurements>], hosts: &[Side], is_alike: bool) -> Option<Self> {
        let first = of_hosts.iter().flatten().next()?;
        let is_alike = is_alike
            && of_hosts
                .iter()
                .flatten()
                .all(|it| it.method == first.method);
        let mut variants: Vec<&Measured> = Vec::new();
        for result in of_hosts.iter().flatten().flat_map(|it| &it.results) {
            put(&mut variants, result);
        }
        let variant = |like: &&Measured| {
            let result = |operation: &Option<&Measurements>| {
                let mut results = operation.as_ref()?.results.iter();
                results.find(|it| it.variant == like.variant).cloned()
            };
            let results: Vec<Option<Measured>> = of_hosts.iter().map(result).collect();
            Variant {
                variant: like.variant.clone(),
                places: match is_alike {
                    true => order(&results, hosts),
                    false => Vec::new(),
                },
                results,
            }
        };
        Some(Self {
            name: first.name.clone(),
            group: first.group.clone(),
            title: first.title.clone(),
            unit: first.unit.clone(),
            method: first.method.clone(),
            variants: variants.iter().map(variant).collect(),
        })
    }
}

/// Sizes are those of the host's caches and memory: one that others have not stands where it is in their order.
fn put<'a>(all: &mut Vec<&'a Measured>, new: &'a Measured) {
    if all.iter().any(|it| it.variant == new.variant) {
        return;
    }
    let alike = |it: &&Measured| it.parameters.keys().eq(new.parameters.keys());
    let larger = |it: &&Measured| it.parameters.values().gt(new.parameters.values());
    let before = all.iter().position(|it| alike(it) && larger(it));
    let behind = all.iter().rposition(alike).map(|place| place + 1);
    all.insert(before.or(behind).unwrap_or(all.len()), new);
}

/// Of hosts with three records at least, by their medians: the samples of one run are more alike than two runs are, so
/// they tell nothing of an order.
fn order(results: &[Option<Measured>], hosts: &[Side]) -> Vec<Vec<String>> {
    let mut machines: Vec<(&Side, Vec<f64>)> = Vec::new();
    for (side, result) in hosts.iter().zip(results) {
        let Some(result) = result else { continue };
        let median = result.cost.median_seconds;
        match machines
            .iter_mut()
            .find(|(known, _)| known.is_machine_of(side))
        {
            Some((_, medians)) => medians.push(median),
            None => machines.push((side, vec![median])),
        }
    }
    let contender = |(side, medians): (&Side, Vec<f64>)| {
        let (mean, confidence_95) = interval(medians)?;
        Some(Contender {
            name: side.machine_among(hosts),
            mean,
            confidence_95,
        })
    };
    // Of one that is left out it would not be known where it stands.
    let contenders: Option<Vec<Contender>> = machines.into_iter().map(contender).collect();
    let Some(contenders) = contenders.filter(|all| all.len() > 1) else {
        return Vec::new();
    };
    let places = places(contenders, false).into_iter();
    places
        .map(|place| place.into_iter().map(|it| it.name).collect())
        .collect()
}

fn differences(sheets: &[Sheet<Calibration>], names: &[&str]) -> Vec<Difference> {
    let samples = |sheet: &Sheet<Calibration>| match sheet.report.quick {
        true => "fewer and shorter ones (--quick)".to_owned(),
        false => "all".to_owned(),
    };
    let mut differences: Vec<Difference> = [
        difference("samples", sheets, samples),
        difference("connscope", sheets, |it| {
            it.origin.host.connscope_version.clone()
        }),
    ]
    .into_iter()
    .flatten()
    .collect();
    for name in names {
        let method = |sheet: &Sheet<Calibration>| {
            let mut operations = sheet.report.operations.iter();
            let found = operations.find(|it| it.name == *name);
            found.map(|it| it.method.clone())
        };
        // What a host lacks is no other method.
        let Some(first) = sheets.iter().find_map(method) else {
            continue;
        };
        let method = |sheet: &Sheet<Calibration>| method(sheet).unwrap_or_else(|| first.clone());
        differences.extend(difference(name, sheets, method));
    }
    differences
}
