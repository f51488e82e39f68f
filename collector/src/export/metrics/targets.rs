//! What is shown of a target as a whole.

use super::family::{Family, Kind, Labels, Series, Unit, Value};
use super::roles::{self, sum};
use crate::snapshot::{Calls, Histogram, Role, Snapshot, SwitchKind, SwitchSamples, Unavailable};
use std::collections::BTreeMap;

static DEPTH: Family = Family {
    name: "run_queue_depth",
    help: "Runnable tasks on the CPU, the running one included, each time a task left it; the last samples may be deeper.",
    unit: Unit::None,
    kind: Kind::Histogram(0, 6),
    measure: Some("run_queue_depth"),
};
static FIRST_RUN: Family = Family::times(
    "first_run",
    (12, 30),
    "From the creation of a task to its first time on a CPU.",
)
.measures("first_run");
static SPACE_SWITCH: Family = Family::times(
    "address_space_switch",
    (6, 14),
    "From a switch away from the target's tasks to the other address space being in place, by whether its TLB entries were still valid (kept) or not.",
)
.measures("address_space_switches");
static PAGES: Family = Family::counter("tlb_flushed_pages", "Pages that flushes of the TLB named.")
    .measures("tlb_flushes");
static WHOLE: Family = Family::counter(
    "tlb_flushes_whole",
    "Flushes of all TLB entries of an address space.",
)
.measures("tlb_flushes");
static SWITCH: Family = Family::times(
    "switch_latency",
    (7, 17),
    "From the scheduler's decision until the next task ran, of the switches that windows showed, by between whom.",
)
.measures("switch_latency");
static FAULT: Family = Family::times(
    "fault_latency",
    (8, 24),
    "From the exception to the end of handling, of the page faults that windows showed, by class.",
)
.measures("fault_classes");
static SPLITS: Family = Family::counter(
    "huge_page_splits",
    "Huge pages that page faults in windows had to split first.",
)
.measures("fault_classes");
static CREATION: Family = Family::times(
    "creation_latency",
    (13, 28),
    "How long calls that create tasks took, as their callers see it, with what the probes add.",
)
.measures("creation_latency");
static CREATION_FAILED: Family =
    Family::counter("creation_failures", "Calls that created no task.")
        .measures("creation_latency");
static CREATION_IN_KERNEL: Family = Family::times(
    "creation_in_kernel",
    (13, 28),
    "How long system calls that create tasks took in the kernel, with what the probes add.",
)
.measures("creation_latency_in_kernel");
static COPY: Family = Family::times(
    "page_table_copy",
    (13, 28),
    "The part of forks that copies the address space.",
)
.measures("page_table_copy");
static SHOOTDOWN: Family = Family::times(
    "shootdown_latency",
    (8, 22),
    "How long shootdowns of TLB entries held their senders up.",
)
.measures("shootdown_latency");

/// The families of this file.
pub static FAMILIES: &[&Family] = &[
    &DEPTH,
    &FIRST_RUN,
    &SPACE_SWITCH,
    &PAGES,
    &WHOLE,
    &SWITCH,
    &FAULT,
    &SPLITS,
    &CREATION,
    &CREATION_FAILED,
    &CREATION_IN_KERNEL,
    &COPY,
    &SHOOTDOWN,
];

/// The measures that may be left out, by name.
#[must_use]
pub fn measures() -> Vec<&'static str> {
    let families = roles::FAMILIES.iter().chain(FAMILIES);
    let mut measures: Vec<_> = families.filter_map(|family| family.measure).collect();
    measures.sort_unstable();
    measures.dedup();
    measures
}

/// All that is shown of a target, without what cannot be measured here: a figure that nobody has is no zero.
#[must_use]
pub fn series(target: &Labels, snapshot: &Snapshot, unavailable: &[Unavailable]) -> Vec<Series> {
    let roles = &snapshot.roles;
    let mut series: Vec<_> = roles
        .iter()
        .flat_map(|role| roles::series(target, role))
        .collect();
    series.extend(scheduler(target, roles));
    series.extend(address_spaces(target, roles));
    series.extend(switches(target, roles));
    series.extend(faults(target, roles));
    series.extend(creations(target, roles));
    series.extend(in_kernel(target, roles));
    let lacks = |measure| unavailable.iter().any(|it| it.measure == measure);
    let by_windows = ["switch_latency", "fault_classes"];
    series.retain(|one| match one.family.measure {
        // Of one target calls may be unavailable, and of others not: what was seen is shown.
        Some(measure) if !measure.starts_with("creation_latency") => {
            // What a probe had shown before it failed stands still.
            !lacks(measure) || by_windows.contains(&measure) && has_samples(one)
        }
        _ => true,
    });
    series
}

fn has_samples(series: &Series) -> bool {
    match &series.value {
        Value::Samples(samples) => samples.counts.iter().any(|count| *count > 0),
        Value::Total(total) => *total > 0,
        Value::Now(_) => true,
    }
}

fn scheduler(target: &Labels, roles: &[Role]) -> Vec<Series> {
    let mut depths = Histogram {
        // So many that each depth is a bucket.
        sub_bits: 16,
        ..Histogram::default()
    };
    for role in roles {
        let places = depths.counts.len().max(role.run_queue_depth.len());
        depths.counts.resize(places, 0);
        for (depth, count) in role.run_queue_depth.iter().enumerate() {
            depths.counts[depth] += count;
            depths.sum_ns += depth as u64 * count;
        }
    }
    let first_run = sum(roles.iter().map(|role| &role.first_run));
    vec![
        DEPTH.series(target, Value::Samples(depths)),
        FIRST_RUN.series(target, Value::Samples(first_run)),
    ]
}

fn address_spaces(target: &Labels, roles: &[Role]) -> Vec<Series> {
    let kept = sum(roles.iter().map(|role| &role.tlb.kept_time));
    let flushed = sum(roles.iter().map(|role| &role.tlb.flushed_time));
    let flushes = || roles.iter().flat_map(|role| &role.tlb.flushes);
    let pages = flushes().map(|it| it.pages).sum();
    let whole = flushes().map(|it| it.whole).sum();
    vec![
        SPACE_SWITCH.labelled(target, "tlb", "kept", Value::Samples(kept)),
        SPACE_SWITCH.labelled(target, "tlb", "flushed", Value::Samples(flushed)),
        PAGES.series(target, Value::Total(pages)),
        WHOLE.series(target, Value::Total(whole)),
    ]
}

/// Of switches that several events recorded, those that fewest did: they are longest by least.
fn switches(target: &Labels, roles: &[Role]) -> Vec<Series> {
    let kinds = [
        ("same_address_space", SwitchKind::SameAddressSpace),
        ("different_address_space", SwitchKind::DifferentAddressSpace),
        ("idle", SwitchKind::Idle),
        ("kernel_thread", SwitchKind::KernelThread),
    ];
    let of_kind = |(name, kind)| {
        let samples = || {
            let all = roles.iter().flat_map(|role| &role.switch_latency.samples);
            all.filter(move |samples: &&SwitchSamples| samples.kind == kind)
        };
        let fewest = samples().map(|samples| samples.recording_events).min();
        let least = samples().filter(|samples| Some(samples.recording_events) == fewest);
        let sum = sum(least.map(|samples| &samples.histogram));
        SWITCH.labelled(target, "kind", name, Value::Samples(sum))
    };
    kinds.map(of_kind).into()
}

fn faults(target: &Labels, roles: &[Role]) -> Vec<Series> {
    let mut classes: BTreeMap<&str, Vec<&Histogram>> = BTreeMap::new();
    for class in roles.iter().flat_map(|role| &role.faults.classes) {
        classes.entry(&class.name).or_default().push(&class.latency);
    }
    let latency = classes.into_iter().map(|(name, latency)| {
        let sum = sum(latency);
        FAULT.labelled(target, "class", name.to_owned(), Value::Samples(sum))
    });
    let splits = roles.iter().map(|role| role.faults.huge_page_splits).sum();
    let splits = SPLITS.series(target, Value::Total(splits));
    latency.chain([splits]).collect()
}

fn creations(target: &Labels, roles: &[Role]) -> Vec<Series> {
    let called = by_kind(roles.iter().filter_map(|role| role.calls.as_deref()));
    let mut series = Vec::new();
    for (kind, (latency, failed)) in called {
        let label = || kind.to_owned();
        series.push(CREATION.labelled(target, "kind", label(), Value::Samples(latency)));
        series.push(CREATION_FAILED.labelled(target, "kind", label(), Value::Total(failed)));
    }
    let in_kernel = by_kind(roles.iter().filter_map(|role| role.kernel_calls.as_deref()));
    for (kind, (latency, _)) in in_kernel {
        let samples = Value::Samples(latency);
        series.push(CREATION_IN_KERNEL.labelled(target, "kind", kind.to_owned(), samples));
    }
    series
}

/// Latency and failures by kind of call.
fn by_kind<'a>(calls: impl Iterator<Item = &'a [Calls]>) -> BTreeMap<&'a str, (Histogram, u64)> {
    let mut kinds: BTreeMap<&str, (Histogram, u64)> = BTreeMap::new();
    for calls in calls.flatten() {
        let (latency, failed) = kinds.entry(&calls.kind).or_default();
        *latency = sum([&*latency, &calls.latency]);
        *failed += calls.failed;
    }
    kinds
}

fn in_kernel(target: &Labels, roles: &[Role]) -> Vec<Series> {
    let shown = |family: &'static Family, of: fn(&Role) -> Option<&Histogram>| {
        let seen: Vec<_> = roles.iter().filter_map(of).collect();
        (!seen.is_empty()).then(|| family.series(target, Value::Samples(sum(seen))))
    };
    let copies = shown(&COPY, |role| role.page_table_copy.as_ref());
    let shootdowns = shown(&SHOOTDOWN, |role| role.shootdown_latency.as_ref());
    copies.into_iter().chain(shootdowns).collect()
}
