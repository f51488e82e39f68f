//! What to know of the figures above: why some are missing, how sure the others are, what was not
//! seen, and what watching cost.

use super::connections;
use super::footnotes::{Footnotes, superscript};
use super::methods::methods;
use super::part::{Note, Part};
use super::switch_latency::windows;
use super::units;
use crate::report::client::Client;
use crate::report::observer::{IN_WINDOWS, Observer};
use crate::report::{Report, Restart, Target};

/// The notes.
pub(super) fn parts(report: &Report, footnotes: &Footnotes) -> [Part; 2] {
    let mut notes: Vec<Note> = Vec::new();
    let numbered = (1..).zip(&footnotes.reasons);
    notes.extend(
        numbered.map(|(number, reason)| (format!("-{}", superscript(number)), reason.clone())),
    );
    notes.extend(incomplete(report));
    notes.extend(restarts(report));
    notes.extend(unshown(report, footnotes));
    notes.extend(connections::notes(report));
    notes.extend(bounds(report));
    notes.extend(fault_windows(report));
    notes.extend(generator(report));
    notes.extend(own(report));
    notes.extend(lost(report));
    notes.extend(accuracy(report));
    notes.extend(windows(report));
    notes.push(("observer".to_owned(), observer(report)));
    [
        Part::notes("Notes", notes),
        Part::notes("How it was measured", methods(report)),
    ]
}

/// `thread-per-connection at 100`.
fn name(target: &Target) -> String {
    match target.connections {
        Some(connections) if !target.kind.ran_already() => {
            format!("{} at {}", target.name, units::count(connections.into()))
        }
        _ => target.name.clone(),
    }
}

fn incomplete(report: &Report) -> Vec<Note> {
    let about = || "incomplete".to_owned();
    let of_target = |target: &Target| {
        let reason = target.incomplete.clone();
        let client = target
            .measures
            .client
            .as_ref()
            .filter(|client| !client.complete);
        let client = client.map(|c| {
            c.reason
                .clone()
                .unwrap_or_else(|| "the load ended early".into())
        });
        reason
            .or(client)
            .map(|reason| (about(), format!("{}: {reason}", name(target))))
    };
    report.targets.iter().filter_map(of_target).collect()
}

/// Targets that were there again after they had ended.
fn restarts(report: &Report) -> impl Iterator<Item = Note> {
    let of_target = |target: &Target| {
        let name = name(target);
        let note = move |restart: &Restart| {
            let after = units::time(restart.after_seconds);
            let note = format!(
                "{name}: seen again after {after}, as process {}",
                restart.pid
            );
            ("restarted".to_owned(), note)
        };
        target.restarts.iter().map(note).collect::<Vec<_>>()
    };
    report.targets.iter().flat_map(of_target)
}

/// Measures that could not be had and have no row of their own.
fn unshown(report: &Report, footnotes: &Footnotes) -> Vec<Note> {
    let shown = |reason: &String| footnotes.reasons.contains(reason);
    let rest = report
        .unavailable
        .iter()
        .filter(|unavailable| !shown(&unavailable.reason));
    let mut by_reason: Vec<(&str, Vec<&str>)> = Vec::new();
    for lacking in rest {
        match by_reason.iter_mut().find(|(r, _)| *r == lacking.reason) {
            Some((_, measures)) => measures.push(&lacking.measure),
            None => by_reason.push((&lacking.reason, vec![&lacking.measure])),
        }
    }
    let note = |(reason, measures): (&str, Vec<&str>)| {
        let note = format!("{}: {reason}", measures.join(", "));
        ("not measured".to_owned(), note)
    };
    by_reason.into_iter().map(note).collect()
}

/// Where requests were never answered, latencies were longer than what is shown.
fn bounds(report: &Report) -> Vec<Note> {
    let of_target = |target: &Target| {
        let latency = target.measures.client.as_ref()?.latency.as_ref()?;
        let note = format!(
            "{}: unanswered requests count with the time they had waited: latencies are at least \
             those shown",
            name(target)
        );
        latency.is_bound.then(|| ("latency ≥".to_owned(), note))
    };
    report.targets.iter().filter_map(of_target).collect()
}

/// Classes of faults are of windows: how long those were.
fn fault_windows(report: &Report) -> Vec<Note> {
    let of_target = |target: &Target| {
        let faults = target.measures.kernel.faults.as_ref()?;
        let (seconds, windows) = (faults.window_seconds?, faults.windows?);
        let note = format!(
            "{}: looked at one by one in {} window{}, {} in all ({} of the time); {} unfinished",
            name(target),
            units::count(windows as f64),
            if windows == 1 { "" } else { "s" },
            units::time(seconds),
            units::percent(seconds / target.window_seconds),
            units::count(faults.unfinished? as f64),
        );
        Some(("faults".to_owned(), note))
    };
    report.targets.iter().filter_map(of_target).collect()
}

/// Where the load generator itself was late or had no more to give, the clients' figures are in doubt.
fn generator(report: &Report) -> Vec<Note> {
    let clients = report
        .targets
        .iter()
        .filter_map(|t| Some((t, t.measures.client.as_ref()?)));
    let clients: Vec<(&Target, &Client)> = clients.collect();
    if clients.is_empty() {
        return Vec::new();
    }
    let doubtful = clients
        .iter()
        .filter(|(_, c)| c.late_sends > 0 || c.latency_in_doubt || c.generator_was_bottleneck);
    let mut notes: Vec<Note> = doubtful
        .map(|(target, client)| ("late sends".to_owned(), late(target, client)))
        .collect();
    if notes.is_empty() {
        notes.push(("late sends".to_owned(), "none".to_owned()));
    }
    notes
}

fn late(target: &Target, client: &Client) -> String {
    let share = match client.arrivals() {
        Some(all) if all > 0 => format!(
            " of {} arrivals ({})",
            units::count(all as f64),
            units::percent(client.late_sends as f64 / all as f64)
        ),
        _ => " arrivals".to_owned(),
    };
    let bottleneck = match client.generator_was_bottleneck {
        true => format!(
            "; the load generator used {} of a CPU: it was the bottleneck",
            units::percent(client.cpu_seconds / client.duration_seconds)
        ),
        false => String::new(),
    };
    let doubt = match client.latency_in_doubt {
        true => "; latency is in doubt",
        false => "",
    };
    format!(
        "{}: {}{share} more than 1 ms late, the latest {}{bottleneck}{doubt}",
        name(target),
        units::count(client.late_sends as f64),
        units::time(client.late_send_max_seconds),
    )
}

/// How many processes were sampled for their own memory, and what that took.
fn own(report: &Report) -> Vec<Note> {
    let of_target = |target: &Target| {
        let own = target.measures.kernel.memory.own_bytes.as_ref()?;
        let skipped = [
            (own.skipped.threaded, "threaded"),
            (own.skipped.gone, "gone"),
            (own.skipped.out_of_budget, "out of budget"),
        ];
        let skipped: Vec<_> = skipped
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, why)| format!("{} {why}", units::count(*count as f64)))
            .collect();
        let note = format!(
            "{}: {} of {} processes sampled in {}{}{}",
            name(target),
            units::count(own.sampled as f64),
            units::count(own.of as f64),
            units::time(own.seconds),
            if skipped.is_empty() {
                ""
            } else {
                "; skipped: "
            },
            skipped.join(", ")
        );
        Some(("own memory".to_owned(), note))
    };
    report.targets.iter().filter_map(of_target).collect()
}

fn lost(report: &Report) -> Vec<Note> {
    let each = || {
        report
            .lost
            .iter()
            .flat_map(|(probe, lost)| lost.iter().map(move |l| (probe, l)))
    };
    let mut notes: Vec<Note> = each()
        .filter(|(_, (_, count))| **count > 0)
        .map(|(probe, (what, count))| format!("{} {what} ({probe})", units::count(*count as f64)))
        .map(|note| ("lost".to_owned(), note))
        .collect();
    if notes.is_empty() && !report.lost.is_empty() {
        let kinds = each().count();
        let note = format!(
            "none, of {kinds} kind{} watched for",
            if kinds == 1 { "" } else { "s" }
        );
        notes.push(("lost".to_owned(), note));
    }
    notes
}

/// How far off percentiles may be.
fn accuracy(report: &Report) -> Vec<Note> {
    let kernel = report.targets.iter().flat_map(|target| {
        let kernel = &target.measures.kernel;
        let first_run = kernel
            .creations
            .as_ref()
            .and_then(|creations| creations.first_run.as_ref());
        let all = [&kernel.run_queue_wait, &kernel.on_cpu_slice];
        let faults = kernel.faults.iter().flat_map(|faults| &faults.by_class);
        let faults = faults.flat_map(|classes| classes.values().map(|class| &class.latency));
        all.into_iter()
            .flatten()
            .chain(first_run)
            .chain(faults)
            .chain(kernel.blocked.as_ref().map(|blocked| &blocked.all))
            .filter_map(|d| d.relative_error)
    });
    let clients = report.targets.iter().filter_map(|target| {
        target
            .measures
            .client
            .as_ref()?
            .latency
            .as_ref()?
            .relative_error
    });
    let bounds: Vec<_> = [
        (kernel.reduce(f64::max), "what the kernel measured"),
        (clients.reduce(f64::max), "what clients saw"),
    ]
    .into_iter()
    .filter_map(|(bound, whose)| {
        bound.map(|bound| format!("{} for {whose}", units::percent(rounded_up(bound))))
    })
    .collect();
    if bounds.is_empty() {
        return Vec::new();
    }
    vec![(
        "percentiles".to_owned(),
        format!(
            "p50, p90, p99 are off by at most {}",
            bounds.join(", by at most ")
        ),
    )]
}

/// A bound to a tenth of a per cent, never smaller than it is.
fn rounded_up(bound: f64) -> f64 {
    (bound * 1e3).ceil() / 1e3
}

fn observer(report: &Report) -> String {
    let observer = &report.observer;
    format!(
        "connscope itself used {} of CPU and {} of memory; {}; {}",
        units::time(observer.cpu_seconds),
        units::bytes(observer.rss_bytes as f64),
        cost_of_programs(observer),
        memory_of_maps(observer),
    )
}

/// `BPF maps 83.5 kB`, and those that are not in it by name.
fn memory_of_maps(observer: &Observer) -> String {
    let known: Vec<u64> = observer.maps.iter().filter_map(|map| map.bytes).collect();
    if known.is_empty() {
        return "memory of the BPF maps not known".to_owned();
    }
    let bytes = units::bytes(known.iter().sum::<u64>() as f64);
    let unknown = observer.maps.iter().filter(|map| map.bytes.is_none());
    let unknown: Vec<&str> = unknown.map(|map| map.name.as_str()).collect();
    match unknown.is_empty() {
        true => format!("BPF maps {bytes}"),
        false => format!("BPF maps {bytes} (not known: {})", unknown.join(", ")),
    }
}

/// `BPF programs 0.4 % of a core (estimated from 200 ms of 5 s)`.
fn cost_of_programs(observer: &Observer) -> String {
    let Some(share) = observer.estimated_share_of_a_core else {
        return "cost of the BPF programs not known".to_owned();
    };
    let share = units::percent(share);
    let windows = cost_of_windows(observer);
    match observer.samples {
        0 => format!("BPF programs {share} of a core{windows}"),
        _ => format!(
            "BPF programs {share} of a core{windows} (estimated from {} of {})",
            units::time(observer.sampled_seconds),
            units::time(observer.watched_seconds)
        ),
    }
}

/// `, of these 0.02 % in windows for faults, 0.01 % in windows for switches`: what runs in windows alone.
fn cost_of_windows(observer: &Observer) -> String {
    let told = IN_WINDOWS.iter().filter_map(|(probe, what)| {
        let percent = units::number(observer.share_of_probe(probe)? * 100.0);
        Some(format!("{percent} % in windows for {what}"))
    });
    let told: Vec<String> = told.collect();
    match told.is_empty() {
        true => String::new(),
        false => format!(", of these {}", told.join(", ")),
    }
}
