//! Rules on forks that save data in the background, and on the TLB.

use super::thresholds::{EVENTS_MIN, WATCH_MIN_SECONDS};
use super::{Confidence, Facts, Measured, Seen, lacking, too_few};
use crate::report::Role;
use crate::report::faults::Class;
use crate::snapshot::TargetKind;
use crate::units;

const PAGE_BYTES: f64 = 4096.0;
/// An interval up to this part of the figure is narrow.
const NARROW: f64 = 0.25;

/// The server itself, if it is one that answers all by itself and forks to save.
fn main<'a>(facts: &Facts<'a>) -> Result<&'a Role, String> {
    if facts.target.kind != TargetKind::Redis {
        return Err("no server that forks to save".to_owned());
    }
    let main = facts.target.roles.iter().find(|role| role.role == "main");
    let main = main.ok_or("its main thread is not among the roles")?;
    let creations = main.measures.creations.as_ref();
    match creations.ok_or_else(|| lacking("creations"))?.process.count {
        0 => Err("no save was forked while it was watched".to_owned()),
        _ => Ok(main),
    }
}

pub(super) fn fork_stall(facts: &Facts<'_>) -> Seen {
    let creations = main(facts)?.measures.creations.as_ref();
    let latency = creations.and_then(|creations| creations.latency.as_ref());
    let fork = &latency.ok_or_else(|| lacking("latency of fork"))?.fork;
    let longest = fork.distribution.max_seconds;
    let longest = longest.ok_or("no call of fork was seen")?;
    let tables = fork.parent_page_table_bytes.map(units::bytes);
    let sentence = format!(
        "nobody was answered for up to {} while the server forked to save ({} forks{})",
        units::time(longest),
        units::count(fork.distribution.count as f64),
        tables.map_or_else(String::new, |it| format!(", page tables of {it}")),
    );
    let advice = "save on a replica, or less often; fork takes as long as there are page tables to copy, so smaller \
                  instances stall for less";
    Ok(Measured::sure(
        longest,
        sentence,
        advice,
        "each fork was timed",
    ))
}

pub(super) fn save_copies(facts: &Facts<'_>) -> Seen {
    let main = main(facts)?;
    let faults = facts.target.measures.kernel.faults.as_ref();
    let classes = faults.and_then(|faults| faults.by_class.as_ref());
    let copies = classes.and_then(|classes| classes.get("cow_copy"));
    let copies: &Class = copies.ok_or_else(|| lacking("classes of faults"))?;
    let seen = copies.user + copies.kernel;
    let total = copies.estimated_total.ok_or("no window showed a fault")?;
    if total > 0.0 && seen < EVENTS_MIN {
        return Err(too_few(
            "copies seen in windows",
            seen as f64,
            EVENTS_MIN as f64,
        ));
    }
    let accounted = main.measures.memory.accounted.as_ref();
    let memory = accounted.and_then(|accounted| accounted.anonymous_bytes);
    let memory = memory
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| lacking("memory"))? as f64;
    let share = |pages: f64| pages * PAGE_BYTES / memory;
    let [lower, upper] = copies.confidence_95;
    let sentence = format!(
        "{} pages were copied on write while saves ran ({}), {} of the {} that the server holds",
        units::count(total),
        units::bytes(total * PAGE_BYTES),
        units::percent(share(total)),
        units::bytes(memory),
    );
    let advice = "leave memory free for the copies, save when fewer keys are written, or on a replica; huge pages off \
                  (transparent_hugepage) copy less at a time";
    let narrow = upper - lower <= 2.0 * NARROW * total;
    let measured = Measured::sure(share(total), sentence, advice, "every fault was looked at");
    let measured = match narrow {
        _ if upper <= lower => measured,
        true => measured.but(
            Confidence::Medium,
            "estimated from windows, with a narrow interval",
        ),
        false => measured.but(
            Confidence::Low,
            "estimated from windows, with a wide interval",
        ),
    };
    let least = super::RULES.iter().find(|rule| rule.id == "save_copies");
    let least = least.map_or(0.0, |rule| rule.threshold);
    Ok(measured.unless(share(lower) < least, || {
        let lower = units::percent(share(lower));
        format!("its interval reaches down to {lower}; look longer (--fault-windows)")
    }))
}

pub(super) fn shootdowns(facts: &Facts<'_>) -> Seen {
    let target = facts.target;
    let flushes = target.measures.kernel.tlb_flushes.as_ref();
    let flushes = flushes.ok_or_else(|| lacking("TLB flushes"))?;
    let sent = flushes
        .by_reason
        .get("shootdown_sent")
        .map_or(0, |it| it.count);
    if target.window_seconds < WATCH_MIN_SECONDS {
        return Err(super::watching::too_short(target.window_seconds));
    }
    let rate = sent as f64 / target.window_seconds;
    let sentence = format!(
        "its tasks made other CPUs flush their TLB, {} ({} times)",
        units::rate(rate),
        units::count(sent as f64),
    );
    let advice = "memory is given back to the kernel and taken again: let the allocator keep it (jemalloc dirty_decay_ms, \
                  MALLOC_TRIM_THRESHOLD_), or use one with fewer munmap and madvise calls";
    let because = "every one was counted, those included that found no other CPU to ask";
    Ok(Measured::sure(rate, sentence, advice, because).but(Confidence::Medium, because))
}
