//! Rules on who gets a CPU, and when.

use super::clients::Clients;
use super::thresholds::{BUSY_MIN_SECONDS, PREEMPTIONS_MIN_PER_SECOND, SAMPLES_MIN};
use super::{Confidence, Facts, Measured, Seen, lacking, too_few};
use crate::snapshot::UNKNOWN_WAITS;
use crate::units;

/// A server that takes at least this part of the host's CPUs is short of them by its own work.
const OWN_WORK: f64 = 0.5;
/// Up to this part of the waits may be unknown without a word.
const FEW_UNKNOWN: f64 = 0.01;
/// So many samples leave nothing to chance.
const MANY: f64 = 10_000.0;

pub(super) fn run_queue_wait(facts: &Facts<'_>) -> Seen {
    let clients = Clients::of(facts);
    let times = clients.times().ok_or_else(|| lacking("time in state"))?;
    let waits = clients.switches(|switches| switches.arrivals);
    let waits = waits.ok_or_else(|| lacking("context switches"))?;
    if waits < SAMPLES_MIN as f64 {
        return Err(too_few("waits for a CPU", waits, SAMPLES_MIN as f64));
    }
    let wanted = times.running + times.waiting;
    if wanted < BUSY_MIN_SECONDS {
        return Err(too_little_cpu(wanted));
    }
    let share = times.waiting / wanted;
    let sentence = format!(
        "{} wait for a CPU for {} of the time in which they could run ({} of {}); {} of them at a time \
         want one of {} CPUs",
        clients.words,
        units::percent(share),
        units::time(times.waiting),
        units::time(wanted),
        units::number(wanted / facts.target.window_seconds),
        facts.host.cpus,
    );
    let busy = busy(facts);
    let own_work = busy.is_some_and(|busy| busy >= OWN_WORK);
    let advice = match (own_work, busy) {
        (true, _) => {
            "more work is active than the CPUs can do at once: let a pooler or the application run \
                      fewer at a time, or add CPUs"
                .to_owned()
        }
        (false, Some(busy)) => format!(
            "the server itself takes {} of the host's CPUs: see what else runs on them, whether a CPU quota or \
             affinity holds it back, and whether the hypervisor gives them away",
            units::percent(busy)
        ),
        (false, None) => "see what else runs on the CPUs".to_owned(),
    };
    let seen = Measured::sure(share, sentence, &advice, "every wait was counted");
    let of_probe = facts.target.lost.get("sched");
    let unknown = of_probe.and_then(|lost| lost.get(UNKNOWN_WAITS));
    if unknown.is_some_and(|&unknown| unknown as f64 > FEW_UNKNOWN * waits) {
        let because = "waits that the kernel took for sleep are not in it: it is more";
        return Ok(seen.but(Confidence::Medium, because));
    }
    Ok(match (waits < MANY, own_work) {
        (true, _) => seen.but(Confidence::Medium, "few waits, though each was counted"),
        (_, false) => seen.but(
            Confidence::Medium,
            "every wait was counted, but who took the CPUs was not",
        ),
        _ => seen,
    })
}

/// What the target took of the host's CPUs.
fn busy(facts: &Facts<'_>) -> Option<f64> {
    let cpu = facts.target.measures.kernel.cpu.as_ref()?;
    Some(cpu.seconds / facts.target.window_seconds / f64::from(facts.host.cpus.max(1)))
}

pub(super) fn too_little_cpu(seconds: f64) -> String {
    let (seconds, needed) = (units::time(seconds), units::time(BUSY_MIN_SECONDS));
    format!("too little to do: busy for {seconds}, needs {needed}")
}

pub(super) fn involuntary(facts: &Facts<'_>) -> Seen {
    let clients = Clients::of(facts);
    let taken = clients.switches(|switches| switches.involuntary);
    let given = clients.switches(|switches| switches.voluntary);
    let (taken, given) = taken
        .zip(given)
        .ok_or_else(|| lacking("context switches"))?;
    let all = taken + given;
    if all < SAMPLES_MIN as f64 {
        return Err(too_few("switches", all, SAMPLES_MIN as f64));
    }
    let rate = taken / facts.target.window_seconds;
    let sentence = format!(
        "{} of the switches of {} took the CPU from them ({})",
        units::percent(taken / all),
        clients.words,
        units::rate(rate),
    );
    let needed = PREEMPTIONS_MIN_PER_SECOND * f64::from(facts.host.cpus.max(1));
    let seen = Measured::sure(
        taken / all,
        sentence,
        "long work on CPUs competes with other work: let fewer run at a time, or move what is long (reports, \
         vacuum, backups) to other hours or another machine",
        "the kernel counts every switch",
    );
    Ok(seen.unless(rate < needed, || {
        let (rate, needed) = (units::rate(rate), units::rate(needed));
        format!("too rare to cost anything: {rate}, below {needed}")
    }))
}
