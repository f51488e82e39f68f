//! Timelines of tasks whose lives are known: what is drawn is what they did, and sums to what reports say.

mod lives;

use std::collections::BTreeMap;

use connscope::export::pftrace::Writer;
use connscope::report::timeline::{Summary, Timeline};
use connscope::snapshot::REASONS;
use connscope::snapshot::timeline::{Part, Switch};

use super::pftrace::{
    self, ASLEEP, DEAD, DESTROYED, NOT_RECORDED, RUNNABLE, RUNNING, Trace, UNINTERRUPTIBLE,
};
use super::records::{read, written};
use connscope::record::{Entry, Reader};
use lives::{Life, crowd, entries};

const FROM: u64 = 50_000_000_000;
const TO: u64 = 52_000_000_000;
const PTHREAD: u64 = 0x003d_0f00;

fn drawn(entries: &[Entry]) -> (Trace, Summary) {
    let mut timeline = Timeline::default();
    let mut writer = Writer::begin(Vec::new());
    // By way of a file, as it comes.
    for entry in Reader::begin(&written(entries)[..]).unwrap() {
        let marks = match entry.unwrap() {
            Entry::Watched(targets) => {
                timeline.targets(&targets);
                continue;
            }
            Entry::Snapshots(snapshots) => timeline.snapshots(&snapshots),
            Entry::Timeline(part) => timeline.part(&part),
            _ => continue,
        };
        writer.put(&marks).unwrap();
    }
    let (marks, summary) = timeline.end();
    writer.put(&marks).unwrap();
    (pftrace::read(&writer.finish().unwrap()), summary)
}

/// Of a thread: running, runnable, blocked, and blocked by reason.
fn expected(life: &Life) -> (u64, u64, [u64; REASONS.len()]) {
    let (before, after) = (life.at(FROM).0, life.at(TO).0);
    let mut blocked = after.blocked_ns;
    for (after, before) in blocked.iter_mut().zip(before.blocked_ns) {
        *after -= before;
    }
    (
        after.running_ns - before.running_ns,
        after.runnable_ns - before.runnable_ns,
        blocked,
    )
}

/// States of one moment are a nanosecond apart.
#[track_caller]
fn assert_near(what: &str, seen: u64, expected: u64, switches: usize) {
    assert!(
        seen.abs_diff(expected) <= 3 * switches as u64,
        "{what}: {seen}, not {expected}"
    );
}

#[track_caller]
fn assert_sums(trace: &Trace, life: &Life) {
    let tid = u64::from(life.tid);
    let states = trace.time_in_state(tid, TO);
    let of = |state: u64| states.get(&state).copied().unwrap_or(0);
    let (running, runnable, blocked) = expected(life);
    let turns = life.turns.len();
    assert_near(&format!("running of {tid}"), of(RUNNING), running, turns);
    assert_near(&format!("runnable of {tid}"), of(RUNNABLE), runnable, turns);
    let asleep = of(ASLEEP) + of(UNINTERRUPTIBLE);
    assert_near(
        &format!("asleep of {tid}"),
        asleep,
        blocked.iter().sum(),
        turns,
    );
    for (place, reason) in REASONS.iter().enumerate() {
        let seen = trace.time_of(tid, reason);
        assert_near(&format!("{reason} of {tid}"), seen, blocked[place], turns);
    }
}

#[test]
fn what_is_drawn_sums_to_what_the_snapshots_differ_by() {
    let lives = crowd();
    let (trace, summary) = drawn(&entries(&lives, |_| false));
    assert_eq!(trace.window(), (FROM, TO));
    for life in &lives {
        assert_sums(&trace, life);
    }
    assert_eq!(
        (summary.lost, summary.missing, summary.unexplained_ns),
        (0, 0, 0)
    );
    assert_eq!((summary.tasks, summary.early), (lives.len() as u64, None));
    let switched = lives.iter().flat_map(Life::switches);
    let within = switched
        .filter(|it| it.at_ns > FROM && it.at_ns <= TO)
        .count() as u64;
    assert_eq!(summary.switches, within);
    assert_eq!(trace.named("switch").len() as u64, summary.gaps);
    assert!(
        trace
            .named("switch")
            .iter()
            .all(|it| it.to_ns - it.from_ns == 600)
    );
    // The one that ended is gone for good, and its time with it.
    let ended = &trace.states[&8];
    let states: Vec<u64> = ended[ended.len() - 2..].iter().map(|it| it.state).collect();
    assert_eq!(states, [DEAD, DESTROYED]);
    assert_eq!(trace.processes[&100], "worker (a server, thread)");
}

#[test]
fn who_was_created_begins_where_the_arrow_ends() {
    let (trace, summary) = drawn(&entries(&crowd(), |_| false));
    let (created, first) = (trace.named("thread"), trace.named("first run"));
    let ([created], [first]) = (&created[..], &first[..]) else {
        panic!("{created:?}, {first:?}");
    };
    assert_eq!((summary.creations, created.flows.len()), (1, 1));
    assert_eq!(created.flows, first.ending_flows);
    assert_eq!(trace.tid_of(created.track), Some(1));
    assert_eq!(trace.tid_of(first.track), Some(10));
    assert!(created.from_ns < first.from_ns && first.from_ns < first.to_ns);
    let runs = trace.states[&10].iter().find(|it| it.state == RUNNING);
    assert_eq!(runs.unwrap().at_ns, first.from_ns);
    let sent = trace.named("TLB shootdown sent");
    assert_eq!((sent.len(), sent[0].notes["pages"]), (1, 3));
}

/// What is not recorded is shown as such, counted, and in nobody's time.
#[test]
fn switches_that_are_lost_leave_a_gap_and_nothing_wrong() {
    let lives = crowd();
    let lost =
        |it: &Switch| it.task == 3 && (FROM + 500_000_000..FROM + 600_000_000).contains(&it.at_ns);
    let all = lives[2].switches();
    let dropped: Vec<&Switch> = all.iter().filter(|it| lost(it)).collect();
    let after = all
        .iter()
        .find(|it| it.at_ns > dropped[dropped.len() - 1].at_ns);
    let before = all.iter().rfind(|it| it.at_ns < dropped[0].at_ns);
    let (trace, summary) = drawn(&entries(&lives, lost));
    let many = dropped.len() as u64;
    assert!(many > 5, "{many}");
    assert_eq!((summary.missing, summary.lost), (many, many));
    let gap = trace.named("not recorded");
    assert_eq!(gap.len(), 1);
    assert_eq!(gap[0].notes["switches not recorded"], many);
    let (from, to) = (before.unwrap().at_ns, after.unwrap().at_ns);
    assert_eq!((gap[0].from_ns, gap[0].to_ns), (from, to));
    let states = trace.time_in_state(3, TO);
    assert_near("not told apart", states[&NOT_RECORDED], to - from, 2);
    assert_eq!(states.values().sum::<u64>(), TO - trace.states[&3][0].at_ns);
    for life in lives.iter().filter(|life| life.tid != 3) {
        assert_sums(&trace, life);
    }
    assert_eq!(
        trace.named("timeline ends")[0].notes["switches missing"],
        many
    );
}

/// Who wrote it was killed: it is drawn as far as it goes.
#[test]
fn a_timeline_that_is_cut_off_is_drawn_as_far_as_it_goes() {
    let mut entries = entries(&crowd(), |_| false);
    let closing = entries
        .iter()
        .position(|it| matches!(it, Entry::Timeline(Part::Closing)));
    entries.truncate(closing.unwrap());
    let (trace, summary) = drawn(&entries);
    assert_eq!(summary.early.as_deref(), Some("the record ends early"));
    assert!(summary.switches > 1_000, "{}", summary.switches);
    let ends = trace.named("timeline ends")[0].notes["ended early"];
    assert_eq!(ends, u64::MAX, "in words");
    let expected: BTreeMap<u64, usize> = crowd().iter().map(|it| (it.tid.into(), 1)).collect();
    assert!(trace.states.len() + 1 >= expected.len());
}

#[test]
fn records_hold_timelines_and_reports_do_not_mind() {
    let mut with = entries(&crowd(), |_| false);
    let record = read(&written(&with)).unwrap();
    with.retain(|it| !matches!(it, Entry::Timeline(_)));
    let without = read(&written(&with)).unwrap();
    let runs = |record: connscope::record::Record| match record.content {
        connscope::record::Content::Recording(it) => format!("{:?}", it.runs),
        other => panic!("{other:?}"),
    };
    assert_eq!(runs(record), runs(without));
}
