//! Rules on the host, and on connscope itself.

use super::thresholds::{SAMPLES_MIN, WATCH_MIN_SECONDS};
use super::{Measured, Seen, Watch, lacking, too_few};
use crate::report::observer::IN_WINDOWS;
use crate::units;

pub(super) fn too_short(seconds: f64) -> String {
    let (seconds, least) = (units::time(seconds), units::time(WATCH_MIN_SECONDS));
    format!("watched too shortly: {seconds}, needs {least}")
}

/// All targets of a watch have the same host and nearly the same window: that of the first that ran
/// already.
pub(super) fn stolen(watch: &Watch<'_>) -> Seen {
    let target = watch
        .targets
        .iter()
        .find(|target| target.kind.ran_already());
    let target = target.ok_or_else(|| lacking("stolen time"))?;
    let cpu = target.measures.kernel.cpu.as_ref();
    let stolen = cpu.and_then(|cpu| cpu.host_stolen_seconds);
    let stolen = stolen.ok_or_else(|| lacking("stolen time"))?;
    if target.window_seconds < WATCH_MIN_SECONDS {
        return Err(too_short(target.window_seconds));
    }
    let share = stolen / target.window_seconds / f64::from(watch.host.cpus.max(1));
    let sentence = format!(
        "the hypervisor took {} of the time of all CPUs ({} in {})",
        units::percent(share),
        units::time(stolen),
        units::time(target.window_seconds),
    );
    let advice = "the machine shares its CPUs with others: times here, slices above all, are longer than the server's own; \
                  measure again when it is quiet, or ask for CPUs of its own";
    Ok(Measured::sure(
        share,
        sentence,
        advice,
        "the hypervisor's own account",
    ))
}

pub(super) fn lost(watch: &Watch<'_>) -> Seen {
    let arrivals = |target: &super::Target| {
        let switches = target.measures.kernel.context_switches.as_ref()?;
        Some(switches.arrivals)
    };
    let arrivals: Option<u64> = watch.targets.iter().map(arrivals).sum();
    let arrivals = arrivals.ok_or_else(|| lacking("context switches"))? as f64;
    if arrivals < SAMPLES_MIN as f64 {
        return Err(too_few("arrivals on a CPU", arrivals, SAMPLES_MIN as f64));
    }
    let lost = watch.lost.iter();
    let lost = lost.filter(|(probe, _)| !IN_WINDOWS.iter().any(|(name, _)| name == probe));
    let lost: u64 = lost.flat_map(|(_, by_what)| by_what.values()).sum();
    let share = lost as f64 / arrivals;
    let sentence = format!(
        "connscope lost {} events, {} of the {} times a task was put on a CPU",
        units::count(lost as f64),
        units::percent(share),
        units::count(arrivals),
    );
    let advice = "switches and CPU time above are the kernel's own and lack nothing; percentiles may be off, and waits \
                  that the kernel took for sleep are in blocked time; the notes say what was lost";
    Ok(Measured::sure(
        share,
        sentence,
        advice,
        "losses are counted",
    ))
}

pub(super) fn own_cost(watch: &Watch<'_>) -> Seen {
    let observer = watch.observer;
    let seconds = observer.watched_seconds;
    if seconds < WATCH_MIN_SECONDS {
        return Err(too_short(seconds));
    }
    let programs = observer.estimated_share_of_a_core;
    let programs = programs.ok_or_else(|| lacking("cost of the BPF programs"))?;
    let collector = observer.cpu_seconds / seconds;
    let share = (programs + collector) / f64::from(watch.host.cpus.max(1));
    let sentence = format!(
        "watching took {} of all CPUs: BPF programs {} of a core, connscope itself {} of CPU in {}",
        units::percent(share),
        units::percent(programs),
        units::time(observer.cpu_seconds),
        units::time(seconds),
    );
    let advice = "watch less: --fault-windows 0 --switch-windows 0, without --counters, or fewer targets at a time";
    Ok(Measured::sure(
        share,
        sentence,
        advice,
        "by the kernel's run-time statistics",
    ))
}
