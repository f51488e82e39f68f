//! `connscope compare`: the main job.

use super::{
    Usage,
    keeping::Keeping,
    output::{Sink, conclude},
    report,
};
use crate::{
    attach::{cgroup::Hierarchy, launched::TargetBinary},
    cli::Compare,
    host,
    interrupt::Interrupt,
    limits::{SPARE_DESCRIPTORS, raise_open_files, too_few_files},
    load::Plan,
    measure::{Bench, measure, ramp_steps},
    own::{self, OwnSampler},
    progress::Progress,
    record::{End, Entry},
    sample::Sampler,
    snapshot::{Method, Unavailable},
    user_space,
};
use anyhow::{Context, Result, bail};
use std::{fmt::Display, process::ExitCode, time::Duration};

/// What each cell takes besides warm-up and window: start, connecting, memory, the end.
const OVERHEAD: Duration = Duration::from_millis(1_000);

/// A server that does not serve again by then after a crash does not do so by itself.
const RECOVERY: Duration = Duration::from_secs(2);

/// One model at one number of connections, once.
struct Cell<'a> {
    model: &'a str,
    connections: u32,
    repeat: u32,
}

/// Measures every model at every number of connections and reports them side by side.
///
/// # Errors
/// Before any measurement, if the arguments or the host do not allow it; after, if the report
/// cannot be written.
pub fn run(args: &Compare, quiet: bool) -> Result<ExitCode> {
    let interrupt = Interrupt::install().context("cannot handle signals")?;
    let binary = TargetBinary::find(args.servers.target_binary.as_deref())?;
    let models = chosen_models(args, &binary)?;
    check_load(args, &binary)?;
    check_descriptors(args)?;
    let options = args.extent.windows.options();
    let trial = Sampler::load(&[&crate::roles::OF_ANY], &options)?;
    let hierarchy = Hierarchy::find();
    let methods = methods(&trial, hierarchy.as_ref().ok());
    let mut unavailable = trial.unavailable();
    unavailable.extend(without_cgroup(&hierarchy));
    drop(trial);
    let sink = Sink::open(&args.output)?;
    let mut keeping = Keeping::open(args.recorded.record.as_deref())?;
    let bench = Bench {
        binary: &binary,
        hierarchy: hierarchy.as_ref().ok(),
        interrupt: &interrupt,
        options,
        counters: args.extent.counters,
        own: Some((OwnSampler::load(), args.extent.windows.own_memory_budget)),
    };

    let cgroup = bench.hierarchy.map(|hierarchy| hierarchy.version.name());
    keeping.begin(
        "compare",
        host::describe(cgroup),
        methods.clone(),
        unavailable.clone(),
    );
    let cells = cells(args, &models);
    let (failed, failures) = measure_all(&bench, args, &cells, quiet, &mut keeping);
    if !keeping.has_runs() {
        let first = failures
            .first()
            .map_or("nothing to measure", String::as_str);
        bail!("nothing was measured: {first}");
    }
    for measure in failed {
        if !unavailable
            .iter()
            .any(|known| known.measure == measure.measure)
        {
            unavailable.push(measure);
        }
    }
    let kept = keeping.end(End {
        methods,
        unavailable,
        incomplete: (!failures.is_empty()).then(|| failures.join("; ")),
    })?;
    report::write(&kept.record, false, sink, &args.output)?;
    Ok(kept.conclude(conclude(&failures)))
}

/// How each measure is taken.
fn methods(trial: &Sampler, hierarchy: Option<&Hierarchy>) -> Vec<Method> {
    let methods = trial.methods().into_iter().chain(of_memory(hierarchy));
    methods
        .chain([own::method(), user_space::method()])
        .collect()
}

/// All cells; models next to each other in time, so that a slow minute of the host hits all alike.
fn cells<'a>(args: &Compare, models: &'a [String]) -> Vec<Cell<'a>> {
    let mut cells = Vec::new();
    for repeat in 1..=args.repeat {
        for &connections in &args.connections {
            cells.extend(models.iter().map(|model| Cell {
                model,
                connections,
                repeat,
            }));
        }
    }
    cells
}

/// Keeps the runs that have something to show; returns which measures they lack, and what went wrong.
fn measure_all(
    bench: &Bench<'_>,
    args: &Compare,
    cells: &[Cell<'_>],
    quiet: bool,
    keeping: &mut Keeping,
) -> (Vec<Unavailable>, Vec<String>) {
    let each = args.duration + args.warm_up + OVERHEAD + trials(args);
    let progress = Progress::new(each * cells.len() as u32, quiet);
    let (mut failed, mut failures) = (Vec::new(), Vec::new());
    for (number, cell) in (0u32..).zip(cells) {
        if let Some(signal) = bench.interrupt.signal() {
            failures.push(not_made(signal, number, cells));
            break;
        }
        let name = format!("{} at {}", cell.model, connections(cell.connections));
        progress.begin(name.clone(), each * number, each);
        let trouble = match measure(
            bench,
            cell.model,
            cell.repeat,
            &plan(args, cell.connections),
        ) {
            Ok((run, lacking)) => {
                failed.extend(lacking);
                let trouble = run.incomplete.clone();
                keeping.take(Entry::Run(Box::new(run)));
                trouble
            }
            // What breaks off before there is anything to show counts as not made.
            Err(_) if bench.interrupt.signal().is_some() => {
                let signal = bench.interrupt.signal().unwrap_or_default();
                failures.push(not_made(signal, number, cells));
                break;
            }
            Err(error) => Some(format!("{error:#}")),
        };
        if let Some(trouble) = trouble {
            progress.remark(&format!("{name}: {trouble}"));
            failures.push(format!("{name}: {trouble}"));
        }
    }
    (failed, failures)
}

/// What trying takes besides: for the longest, until it is given up that a server serves again.
fn trials(args: &Compare) -> Duration {
    let seconds = |tried: bool, seconds| if tried { seconds } else { 0 };
    Duration::from_secs(seconds(args.stall, 1) + seconds(args.crash, 3))
}

fn not_made(signal: &str, made: u32, cells: &[Cell<'_>]) -> String {
    let left = cells.len() - made as usize;
    format!(
        "interrupted by {signal}, {left} of {} measurements not made",
        cells.len()
    )
}

fn connections(number: u32) -> String {
    if number == 1 {
        "1 connection".into()
    } else {
        format!("{number} connections")
    }
}

fn plan(args: &Compare, connections: u32) -> Plan {
    Plan {
        workload: args.workload.clone(),
        booking: args.booking.clone(),
        rate: args.rate,
        connections,
        ramp_steps: ramp_steps(connections),
        warm_up: args.warm_up,
        duration: args.duration,
        touch: args.touch.clone(),
        stall: args.stall,
        crash: args.crash,
        recovery: RECOVERY,
    }
}

fn chosen_models(args: &Compare, binary: &TargetBinary) -> Result<Vec<String>> {
    let known = binary.models()?;
    each_once("--models", &args.models)?;
    if let Some(unknown) = args.models.iter().find(|model| !known.contains(model)) {
        let why = match binary.lacks(unknown) {
            true => format!("the model {unknown} was not built; build it by: cargo xtask build"),
            false => format!("unknown model {unknown:?}; known are {}", known.join(", ")),
        };
        return Err(Usage(why).into());
    }
    Ok(if args.models.is_empty() {
        known
    } else {
        args.models.clone()
    })
}

fn each_once<T: PartialEq + Display>(option: &str, given: &[T]) -> Result<(), Usage> {
    let twice = given
        .iter()
        .enumerate()
        .find(|(place, value)| given[..*place].contains(value));
    match twice {
        Some((_, value)) => Err(Usage(format!(
            "{value} is given twice in {option}; to measure it again, use --repeat"
        ))),
        None => Ok(()),
    }
}

/// What the load generator would refuse later, it refuses now.
fn check_load(args: &Compare, binary: &TargetBinary) -> Result<()> {
    each_once("--connections", &args.connections)?;
    if args.workload == "churn" && (args.stall || args.crash) {
        let why = "--workload churn holds no connections to try --stall or --crash on";
        return Err(Usage(why.into()).into());
    }
    let most = args.connections.iter().copied().max().unwrap_or(1);
    match plan(args, most).complaint(binary)? {
        Some(complaint) => Err(Usage(complaint).into()),
        None => Ok(()),
    }
}

/// One process must hold all connections, on either side.
fn check_descriptors(args: &Compare) -> Result<(), Usage> {
    let most = args.connections.iter().copied().max().unwrap_or(0);
    let (limit, needed) = (raise_open_files(), u64::from(most) + SPARE_DESCRIPTORS);
    if needed <= limit {
        return Ok(());
    }
    let advice = match limit.saturating_sub(SPARE_DESCRIPTORS) {
        0 => String::new(),
        fewer => format!(", or ask for at most {fewer}"),
    };
    let why = too_few_files(&format!("hold {}", connections(most)), limit, needed);
    Err(Usage(why + &advice))
}

/// How the memory that one more connection adds is measured.
pub(super) fn of_memory(hierarchy: Option<&Hierarchy>) -> Option<Method> {
    hierarchy.map(|hierarchy| {
        let version = hierarchy.version;
        let method = format!(
            "{} of its own cgroup ({})",
            version.usage_file(),
            version.name()
        );
        Method {
            measure: "marginal_bytes_per_connection".into(),
            method,
        }
    })
}

fn without_cgroup(hierarchy: &Result<Hierarchy>) -> Vec<Unavailable> {
    let reason = hierarchy.as_ref().err().map(|error| format!("{error:#}"));
    let unavailable = |reason| Unavailable {
        measure: "marginal_bytes_per_connection".into(),
        reason,
    };
    reason.into_iter().map(unavailable).collect()
}
