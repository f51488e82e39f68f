//! Which model does best by the figures that users compare by, as far as repeats can tell models
//! apart: whose intervals overlap are tied.

use serde::Serialize;

use super::spread::{Spread, Spreads};
use super::student::t_quantile;
use super::target::Target;
use crate::snapshot::TargetKind;

/// An interval from fewer repeats says nothing.
pub const REPEATS_MIN: usize = 3;
/// Whoever serves less of an open loop's schedule than this has not reached it.
const REACHED: f64 = 0.95;

/// The order of models at the largest number of connections.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranking {
    /// That number.
    pub connections: Option<u32>,
    /// Why nothing is ranked.
    pub reason: Option<String>,
    /// One entry for each headline figure that says something under this load.
    pub by: Vec<Ranked>,
}

/// The order by one figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranked {
    /// Its name, as in a target's spread.
    pub figure: &'static str,
    /// `lowest` or `highest`.
    pub best: &'static str,
    /// Best first. Those of one place are tied; any two of different places have intervals that do
    /// not overlap.
    pub places: Vec<Vec<Contender>>,
    /// Those left out, and why.
    pub not_ranked: Vec<NotRanked>,
}

/// A model with its figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contender {
    /// The model.
    pub name: String,
    /// The mean over its repeats; of memory the slope through the points of all.
    pub mean: f64,
    /// The 95 % confidence interval of it, lower and upper bound.
    pub confidence_95: [f64; 2],
}

/// A model without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotRanked {
    /// The model.
    pub name: String,
    /// Why not.
    pub reason: String,
}

/// A figure with its interval, or why there is none.
type Estimate = Result<(f64, [f64; 2]), &'static str>;

/// What servers are ranked by.
pub(crate) struct Headline {
    /// Its name, as in a target's spread.
    pub(crate) figure: &'static str,
    highest_is_best: bool,
    /// One value for each repeat.
    pub(crate) spread: fn(&Spreads) -> Option<&Spread>,
    estimate: fn(&Target) -> Estimate,
    /// Whether the order by it says something of these.
    tells: fn(&[Named<'_>]) -> bool,
}

/// A server, and what it is called among those that it is ranked with.
pub(crate) type Named<'a> = (&'a str, &'a Target);

/// All of them, in the order they are shown.
pub(crate) const HEADLINES: [Headline; 6] = [
    Headline {
        figure: "throughput_per_second",
        highest_is_best: true,
        spread: |it| it.throughput_per_second.as_ref(),
        estimate: throughput,
        // Where all serve what was offered, they were offered the same.
        tells: |servers| servers.iter().any(|(_, target)| !on_schedule(target)),
    },
    Headline {
        figure: "latency_p99_seconds",
        highest_is_best: false,
        spread: |it| it.latency_p99_seconds.as_ref(),
        estimate: latency,
        // A closed loop asks the slower server less.
        tells: |servers| servers.iter().all(|(_, target)| !is_closed_loop(target)),
    },
    Headline {
        figure: "run_queue_wait_p99_seconds",
        highest_is_best: false,
        spread: |it| it.run_queue_wait_p99_seconds.as_ref(),
        estimate: run_queue_wait,
        tells: |_| true,
    },
    Headline {
        figure: "context_switches_per_request",
        highest_is_best: false,
        spread: |it| it.context_switches_per_request.as_ref(),
        estimate: |target| of_repeats(target.spread.context_switches_per_request.as_ref(), 0.0),
        tells: |_| true,
    },
    Headline {
        figure: "cpu_per_request_seconds",
        highest_is_best: false,
        spread: |it| it.cpu_per_request_seconds.as_ref(),
        estimate: |target| of_repeats(target.spread.cpu_per_request_seconds.as_ref(), 0.0),
        tells: |_| true,
    },
    Headline {
        figure: "marginal_bytes_per_connection",
        highest_is_best: false,
        spread: |it| it.marginal_bytes_per_connection.as_ref(),
        estimate: memory,
        tells: |_| true,
    },
];

impl Ranking {
    /// Of the reference servers among these; none of fewer than two, which need no order.
    pub(super) fn of(targets: &[Target]) -> Option<Self> {
        let servers = || targets.iter().filter(|t| t.kind == TargetKind::Reference);
        let connections = servers().map(|target| target.connections).max()?;
        let (servers, fewer): (Vec<&Target>, Vec<_>) =
            servers().partition(|target| target.connections == connections);
        let is_there = |name: &str| servers.iter().any(|server| server.name == name);
        let mut missing: Vec<&str> = fewer.iter().map(|target| target.name.as_str()).collect();
        missing.retain(|name| !is_there(name));
        missing.dedup();
        if servers.len() + missing.len() < 2 {
            return None;
        }
        let repeated = servers
            .iter()
            .any(|target| target.repeats >= REPEATS_MIN as u64);
        let reason = (!repeated).then(|| {
            format!(
                "nothing is ranked from fewer than {REPEATS_MIN} repeats: --repeat {REPEATS_MIN}"
            )
        });
        let servers: Vec<Named<'_>> = servers.iter().map(|it| (it.name.as_str(), *it)).collect();
        let repeats = servers.iter().map(|(_, server)| server.repeats).max();
        let telling = HEADLINES.iter().filter(|h| repeated && (h.tells)(&servers));
        Some(Self {
            connections,
            reason,
            by: telling
                .map(|headline| headline.rank(&servers, &missing, repeats))
                .collect(),
        })
    }
}

impl Headline {
    /// The order of the same server on several hosts; none where it says nothing. How often each was measured may
    /// differ: its interval knows.
    pub(crate) fn rank_hosts(&self, hosts: &[Named<'_>]) -> Option<Ranked> {
        (self.tells)(hosts).then(|| self.rank(hosts, &[], None))
    }

    /// The mean and its 95 % confidence interval; none of fewer than [`REPEATS_MIN`] repeats.
    pub(crate) fn interval(&self, server: &Target) -> Option<(f64, [f64; 2])> {
        (self.estimate)(server).ok()
    }

    /// `repeats`: how often each was to be measured, where that is the same.
    fn rank(&self, servers: &[Named<'_>], missing: &[&str], repeats: Option<u64>) -> Ranked {
        let mut contenders = Vec::new();
        let mut not_ranked: Vec<_> = missing
            .iter()
            .map(|name| NotRanked {
                name: (*name).to_owned(),
                reason: "it was not measured with so many connections".to_owned(),
            })
            .collect();
        for (name, server) in servers {
            let name = (*name).to_owned();
            let estimate = match server.incomplete {
                Some(_) => Err("it was not measured to the end"),
                None if Some(server.repeats) < repeats => Err("not all its repeats were measured"),
                None => (self.estimate)(server),
            };
            match estimate {
                Ok((mean, confidence_95)) => contenders.push(Contender {
                    name,
                    mean,
                    confidence_95,
                }),
                Err(reason) => not_ranked.push(NotRanked {
                    name,
                    reason: reason.to_owned(),
                }),
            }
        }
        Ranked {
            figure: self.figure,
            best: if self.highest_is_best {
                "highest"
            } else {
                "lowest"
            },
            places: places(contenders, self.highest_is_best),
            not_ranked,
        }
    }
}

/// Best first. A place ends where no interval reaches on to the next: overlap is not transitive, so
/// two of one place may have disjoint intervals and yet be tied by a third that overlaps both. Intervals
/// that touch overlap.
#[must_use]
pub fn places(mut contenders: Vec<Contender>, highest_is_best: bool) -> Vec<Vec<Contender>> {
    let lower = |contender: &Contender| contender.confidence_95[0];
    contenders.sort_by(|one, other| lower(one).total_cmp(&lower(other)));
    let mut places: Vec<Vec<Contender>> = Vec::new();
    let mut reach = f64::NEG_INFINITY;
    for contender in contenders {
        let upper = contender.confidence_95[1];
        match places.last_mut() {
            Some(place) if lower(&contender) <= reach => place.push(contender),
            _ => places.push(vec![contender]),
        }
        reach = reach.max(upper);
    }
    for place in &mut places {
        place.sort_by(|one, other| one.mean.total_cmp(&other.mean));
    }
    if highest_is_best {
        places.reverse();
        places.iter_mut().for_each(|place| place.reverse());
    }
    places
}

/// The mean of these values and its 95 % confidence interval; none of fewer than [`REPEATS_MIN`].
pub(crate) fn interval(values: Vec<f64>) -> Option<(f64, [f64; 2])> {
    of_repeats(Spread::of(values).as_ref(), 0.0).ok()
}

/// The mean over repeats and its 95 % confidence interval by Student's t, no narrower than
/// `relative_error` of it, by which each of the values may be off.
fn of_repeats(spread: Option<&Spread>, relative_error: f64) -> Estimate {
    let values = spread.map_or(&[][..], |spread| &spread.values);
    let [_, _, _, ..] = values else {
        return Err("fewer than three repeats have it");
    };
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let degrees = values.len() as u32 - 1;
    let margin = t_quantile(degrees, 0.95) * (squares / f64::from(degrees) / count).sqrt();
    let margin = margin.max(relative_error * mean);
    Ok((mean, [mean - margin, mean + margin]))
}

fn throughput(target: &Target) -> Estimate {
    let client = target.measures.client.as_ref();
    match client.is_some_and(|client| client.generator_was_bottleneck) {
        true => Err("the load generator was the bottleneck"),
        false => of_repeats(target.spread.throughput_per_second.as_ref(), 0.0),
    }
}

fn latency(target: &Target) -> Estimate {
    let client = target.measures.client.as_ref();
    let latency = client.and_then(|client| client.latency.as_ref());
    if client.is_some_and(|client| client.latency_in_doubt) {
        return Err("its latency may be the load generator's");
    }
    if latency.is_some_and(|latency| latency.is_bound) {
        return Err("requests were never answered");
    }
    let error = latency.and_then(|latency| latency.relative_error);
    of_repeats(
        target.spread.latency_p99_seconds.as_ref(),
        error.unwrap_or(0.0),
    )
}

fn run_queue_wait(target: &Target) -> Estimate {
    let wait = target.measures.kernel.run_queue_wait.as_ref();
    let error = wait.and_then(|wait| wait.relative_error);
    of_repeats(
        target.spread.run_queue_wait_p99_seconds.as_ref(),
        error.unwrap_or(0.0),
    )
}

/// The slope through the points of all repeats, whose interval knows how coarse the counter is.
fn memory(target: &Target) -> Estimate {
    of_repeats(target.spread.marginal_bytes_per_connection.as_ref(), 0.0)?;
    let memory = &target.measures.kernel.memory;
    let marginal = memory.marginal_bytes_per_connection.as_ref();
    marginal
        .and_then(|marginal| marginal.value.zip(marginal.confidence_95))
        .ok_or("fewer than three repeats have it")
}

fn is_closed_loop(target: &Target) -> bool {
    let client = target.measures.client.as_ref();
    client.is_some_and(|client| client.mode == "closed-loop")
}

/// Whether it served what an open loop offered.
fn on_schedule(target: &Target) -> bool {
    let Some(client) = &target.measures.client else {
        return false;
    };
    client.mode == "open-loop"
        && client.throughput_per_second >= REACHED * client.offered_per_second
}
