//! The operations of `connscope calibrate`, each a figure over its variants, and what follows from them.

use super::{
    Measurement, Spec, instructions,
    round::{NotHere, Round},
};
use crate::{
    calibrate::{OPERATIONS, Operation, supervisor},
    figures::{Described, Unit},
    report::line::line,
    series::{Finding, Sample, Series},
};
use anyhow::{Result, bail};

/// What is measured as long as `connscope calibrate` does without --quick, unless the claims have it: the largest parents
/// decide whether the line through all is straight. Of the others many samples of each round say less than the
/// rounds among themselves.
const IN_FULL: &str = "fork";
const PAGE_BYTES: f64 = 4096.0;

/// What else an operation tells.
struct Derived {
    operation: &'static str,
    figures: &'static [Spec],
    tell: fn(&[Series], &mut Round<'_>),
}

const DERIVED: [Derived; 4] = [
    Derived {
        operation: "thread_switch",
        figures: &[Spec {
            name: "switch_instructions",
            unit: Unit::Count,
            axis: "instructions done",
            method: "counted by the CPU where it has a PMU, in user and kernel mode; else thread_switch without a \
                     working set, times the instructions a second of a loop of additions that wait for each other, \
                     and of one that does four at a time, which no kernel code reaches",
        }],
        tell: instructions,
    },
    Derived {
        operation: "fork",
        figures: &[
            Spec {
                name: "fork_r_squared",
                unit: Unit::RSquared,
                axis: "",
                method: "of the line through the medians of fork over the parent's resident pages: the \
                         share of the variance that it explains",
            },
            Spec {
                name: "fork_per_page",
                unit: Unit::Seconds,
                axis: "",
                method: "slope of that line: what one more resident page of 4 KB adds to a fork",
            },
        ],
        tell: fork_line,
    },
    Derived {
        operation: "process_switch",
        figures: &[Spec {
            name: "switch_waste",
            unit: Unit::Share,
            axis: "working set",
            method: "process_switch times 1,000 a second: the share of a CPU that is lost where it goes on \
                     to another process every millisecond, however many of them wait",
        }],
        tell: waste,
    },
    Derived {
        operation: "address_spaces",
        figures: &[Spec {
            name: "tlb_flushed",
            unit: Unit::Share,
            axis: "address spaces",
            method: "tp_btf/tlb_flush while the ring of address_spaces goes round: hops to another \
                     address space that found the TLB flushed, of all of them",
        }],
        tell: flushed,
    },
];

/// One for each operation.
pub(super) fn measurements() -> Vec<Measurement> {
    OPERATIONS.iter().map(of_operation).collect()
}

fn of_operation(operation: &'static Operation) -> Measurement {
    let derived = || DERIVED.iter().filter(|it| it.operation == operation.name);
    let own = Described {
        name: operation.name.into(),
        unit: Unit::Seconds,
        axis: Some(axis(operation.name).into()),
        method: format!(
            "connscope calibrate: {}; for each {}",
            operation.method, operation.unit
        ),
    };
    let others = derived().flat_map(|it| it.figures).map(Spec::described);
    Measurement {
        name: operation.title,
        figures: std::iter::once(own).chain(others).collect(),
        takes_ms: [false, true].map(|claims| {
            let takes = operation.takes(is_quick(operation, claims));
            takes.as_millis() as u64
        }),
        database: None,
        take: Box::new(move |round| {
            let series = measure(operation, round)?;
            for series in &series {
                let samples = series.samples.iter().map(|it| it.net_ns() / 1e9).collect();
                round.tell_at(operation.name, &series.variant, x(series), samples);
            }
            for derived in derived() {
                (derived.tell)(&series, round);
            }
            Ok(())
        }),
    }
}

/// Whether it is measured in short, where the claims are or are not.
fn is_quick(operation: &Operation, claims: bool) -> bool {
    claims || operation.name != IN_FULL
}

/// What the variants of an operation differ in.
fn axis(operation: &str) -> &'static str {
    match operation {
        "fork" | "vfork" | "posix_spawn" => "memory of the parent",
        "thread_switch" | "process_switch" => "working set",
        "address_spaces" => "address spaces",
        "tlb_shootdown" => "other threads",
        _ => "variant",
    }
}

/// The place of a variant on that axis.
fn x(series: &Series) -> Option<f64> {
    const AXES: [&str; 4] = [
        "resident_bytes",
        "working_set_bytes",
        "address_spaces",
        "other_threads",
    ];
    AXES.iter()
        .find_map(|axis| series.parameters.get(*axis).copied())
}

fn measure(operation: &'static Operation, round: &mut Round<'_>) -> Result<Vec<Series>> {
    let quick = is_quick(operation, round.setting.quick);
    let found =
        supervisor::measure(operation, quick, round.setting.interrupt).unwrap_or_else(|it| it);
    let mut all = Vec::new();
    for finding in found {
        match finding {
            Finding::Series(series) => all.push(series),
            Finding::Missing(missing) if missing.variant.is_some() => {
                round.lacks(operation.name, missing.variant.as_deref(), missing.reason);
            }
            Finding::Missing(missing) if missing.reason.starts_with("without CAP_") => {
                return Err(NotHere(missing.reason).into());
            }
            Finding::Missing(missing) => bail!(missing.reason),
        }
    }
    Ok(all)
}

fn median_ns(series: &Series) -> Option<f64> {
    let mut samples: Vec<f64> = series.samples.iter().map(Sample::net_ns).collect();
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied()
}

/// Rewritten in between it is no point of the line.
fn fork_line(all: &[Series], round: &mut Round<'_>) {
    let alike = all.iter().filter(|series| series.parameters.len() == 1);
    let point = |series: &Series| Some((x(series)? / PAGE_BYTES, median_ns(series)? / 1e9));
    let points: Vec<_> = alike.filter_map(point).collect();
    if let Some(line) = line(&points) {
        round.tell("fork_r_squared", vec![line.r_squared]);
        round.tell("fork_per_page", vec![line.slope.value]);
    }
}

fn instructions(all: &[Series], round: &mut Round<'_>) {
    let direct = all.iter().find(|series| x(series) == Some(0.0));
    let counted = direct.and_then(|it| it.observed.get("instructions_per_operation"));
    if let Some(counted) = counted {
        return round.tell_at(
            "switch_instructions",
            "counted by the CPU",
            None,
            vec![*counted],
        );
    }
    for (name, work) in instructions::LOOPS {
        let per_second = instructions::per_second(work);
        if let Some(series) = direct {
            let count = |sample: &Sample| sample.net_ns() / 1e9 * per_second;
            let samples = series.samples.iter().map(count).collect();
            round.tell_at("switch_instructions", name, None, samples);
        }
    }
}

fn waste(all: &[Series], round: &mut Round<'_>) {
    for series in all {
        let share = |sample: &Sample| (sample.net_ns() / 1e9 * 1_000.0).min(1.0);
        let samples = series.samples.iter().map(share).collect();
        round.tell_at("switch_waste", &series.variant, x(series), samples);
    }
}

fn flushed(all: &[Series], round: &mut Round<'_>) {
    for series in all {
        let Some(share) = series.observed.get("tlb_flushed_share") else {
            let reason = "no TLB flush could be seen: needs CAP_BPF and CAP_PERFMON; run with sudo";
            return round.lacks("tlb_flushed", None, reason.into());
        };
        let spaces = x(series).unwrap_or_default();
        round.tell_number("tlb_flushed", spaces as u32, vec![*share]);
    }
}
