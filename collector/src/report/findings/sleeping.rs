//! Rules on what clients sleep on while they have something to do.

use super::clients::{Clients, Times, WHOLE};
use super::scheduling::too_little_cpu;
use super::thresholds::{BUSY_MIN_SECONDS, EVENTS_MIN, WATCH_MIN_SECONDS};
use super::{Confidence, Facts, Measured, Seen, lacking, too_few};
use crate::snapshot::TargetKind;
use crate::units;

const LOCKS: [&str; 2] = ["lock", "semaphore"];
const DISK: [&str; 2] = ["disk", "io_uring"];

/// Time in which clients have something to do: all but what they sleep on while they wait for their
/// next request, and for what is not told apart from that.
fn busy(facts: &Facts<'_>, times: &Times) -> f64 {
    let locks = match tells_locks(facts.target.kind) {
        true => times.slept(&LOCKS),
        false => 0.0,
    };
    times.running + times.waiting + times.slept(&DISK) + times.slept(&["page_fault"]) + locks
}

/// Where processes serve one client each, nobody sleeps on a futex for something to do.
fn tells_locks(kind: TargetKind) -> bool {
    kind == TargetKind::Postgresql
}

/// Sleeps of one sort, in the time in which clients have something to do.
struct Sleeps {
    who: &'static str,
    count: f64,
    seconds: f64,
    busy_seconds: f64,
}

impl Sleeps {
    fn of(facts: &Facts<'_>, reasons: &[&str]) -> Result<Self, String> {
        let clients = Clients::of(facts);
        let times = clients.times().ok_or_else(|| lacking("time in state"))?;
        let busy = busy(facts, &times);
        if busy < BUSY_MIN_SECONDS {
            return Err(too_little_cpu(busy));
        }
        let count = clients.sleeps(reasons);
        Ok(Self {
            who: clients.words,
            count: count.ok_or_else(|| lacking("blocked time"))?,
            seconds: times.slept(reasons),
            busy_seconds: busy,
        })
    }

    fn share(&self) -> f64 {
        self.seconds / self.busy_seconds
    }

    /// `23 % of the time in which they have something to do (1.20 s of 5.21 s)`.
    fn words(&self) -> String {
        format!(
            "{} of the time in which they have something to do ({} of {})",
            units::percent(self.share()),
            units::time(self.seconds),
            units::time(self.busy_seconds),
        )
    }

    fn measured(&self, sentence: String, advice: &str) -> Measured {
        let seen = Measured::sure(self.share(), sentence, advice, "every sleep was timed");
        let seen = match self.who == WHOLE {
            true => seen.but(
                Confidence::Medium,
                "every sleep was timed, of tasks that serve nobody too",
            ),
            false => seen,
        };
        seen.unless(self.count < EVENTS_MIN as f64, || {
            too_few("sleeps", self.count, EVENTS_MIN as f64)
        })
    }
}

pub(super) fn locks(facts: &Facts<'_>) -> Seen {
    if !tells_locks(facts.target.kind) {
        let reason =
            "a thread with nothing to do sleeps on a futex just as one that waits for a lock";
        return Err(reason.to_owned());
    }
    let sleeps = Sleeps::of(facts, &LOCKS)?;
    let sentence = format!(
        "clients sleep on locks within the server for {}",
        sleeps.words()
    );
    let advice = "look for the lock in pg_stat_activity (wait_event_type LWLock); fewer active connections \
                  hold each other up less. Locks on rows and tables are not in it: who waits for those sleeps as an \
                  idle one does";
    Ok(sleeps.measured(sentence, advice))
}

pub(super) fn disk(facts: &Facts<'_>) -> Seen {
    let sleeps = Sleeps::of(facts, &DISK)?;
    let sentence = format!("{} sleep on the disk for {}", sleeps.who, sleeps.words());
    let advice = "storage holds them up: more memory for caches, faster disks, or fewer flushes (group commit, larger \
                  checkpoints)";
    Ok(sleeps.measured(sentence, advice))
}

pub(super) fn major_faults(facts: &Facts<'_>) -> Seen {
    let target = facts.target;
    let faults = target.measures.kernel.faults.as_ref();
    let major = faults.ok_or_else(|| lacking("page faults"))?.major;
    if target.window_seconds < WATCH_MIN_SECONDS {
        return Err(super::watching::too_short(target.window_seconds));
    }
    let rate = major as f64 / target.window_seconds;
    let sentence = format!(
        "{} page faults had to wait for a disk ({})",
        units::count(major as f64),
        units::rate(rate),
    );
    let advice = "memory is short, or what is mapped from files was not in it yet: look at swap and at what else takes \
                  the host's memory";
    let seen = Measured::sure(rate, sentence, advice, "the kernel counts every fault");
    let because = "a server that has just started reads its program and libraries so, too";
    let seen = seen.but(Confidence::Medium, because);
    Ok(seen.unless(major < EVENTS_MIN, || {
        too_few("major faults", major as f64, EVENTS_MIN as f64)
    }))
}
