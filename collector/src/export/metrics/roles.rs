//! What is shown of each role of a target.

use super::family::{Family, Labels, Series, Unit, Value, now};
use crate::report::creations::{Kind, kind};
use crate::report::totals_of;
use crate::snapshot::{FLUSH_REASONS, Histogram, REASONS, Role, State, Totals};

static TASKS: Family = Family::gauge(
    "tasks",
    "Living tasks (processes and threads), by what they were doing.",
);
static TASKS_ENDED: Family = Family::counter("tasks_ended", "Watched tasks that have ended.");
static SWITCHES: Family = Family::counter(
    "context_switches",
    "Context switches of the tasks, by whether they wanted to wait (voluntary) or had to leave (involuntary).",
)
.measures("context_switches");
static UNSEEN: Family = Family::counter(
    "context_switches_unseen",
    "Times that tasks were put on a CPU by the kernel's count, whose switch no tracepoint showed.",
)
.measures("context_switches");
static CPU: Family = Family::counter("cpu", "CPU time as the kernel charges it, user and system.")
    .in_unit(Unit::Seconds)
    .measures("cpu");
static TIME_IN_STATE: Family = Family::counter(
    "task_time",
    "Time of all tasks together: running on a CPU, runnable but waiting for one, or blocked.",
)
.in_unit(Unit::Seconds)
.measures("time_in_state");
static BLOCKED_TOTAL: Family = Family::counter(
    "blocked",
    "Time of all tasks together that they were blocked, by what they waited for.",
)
.in_unit(Unit::Seconds)
.measures("blocked");
static WAIT: Family = Family::times(
    "run_queue_wait",
    (10, 30),
    "How long tasks that could have run waited for a CPU, each time.",
)
.measures("run_queue_wait");
static SLICE: Family = Family::times(
    "on_cpu_slice",
    (12, 28),
    "How long tasks ran before they left the CPU, each time.",
)
.measures("on_cpu_slice");
static BLOCKED: Family = Family::times(
    "blocked_sleep",
    (12, 36),
    "How long tasks were blocked, each time, whatever on; without sleeps that have not ended.",
)
.measures("blocked");
static FAULTS: Family = Family::counter(
    "page_faults",
    "Page faults, by whether a disk had to be read (major) or not (minor).",
)
.measures("faults");
static SPACE_SWITCHES: Family = Family::counter(
    "address_space_switches",
    "Switches to a task of another address space, by whether its TLB entries were still valid (kept) or not.",
)
.measures("address_space_switches");
static FLUSHES: Family = Family::counter(
    "tlb_flushes",
    "Flushes of the TLB other than by a switch, by why.",
)
.measures("tlb_flushes");
static CREATED: Family = Family::counter(
    "tasks_created",
    "Tasks that the tasks created: processes, processes in their parent's address space (vfork), threads, io_uring workers.",
)
.measures("creations");
static MEMORY: Family = Family::gauge(
    "memory",
    "Memory that the kernel accounts to the tasks; anonymous, page tables, kernel stacks and reserved are sums over address spaces, file and shared are those of the one with most.",
)
.in_unit(Unit::Bytes)
.measures("memory_accounted");

/// The families of this file.
pub static FAMILIES: &[&Family] = &[
    &TASKS,
    &TASKS_ENDED,
    &SWITCHES,
    &UNSEEN,
    &CPU,
    &TIME_IN_STATE,
    &BLOCKED_TOTAL,
    &WAIT,
    &SLICE,
    &BLOCKED,
    &FAULTS,
    &SPACE_SWITCHES,
    &FLUSHES,
    &CREATED,
    &MEMORY,
];

/// What is shown of a role that has, or had, any task.
#[must_use]
pub fn series(target: &Labels, role: &Role) -> Vec<Series> {
    if role.tasks.is_empty() && role.ended_tasks == 0 {
        return Vec::new();
    }
    let mut labels = target.clone();
    labels.push(("role", role.name.clone().into()));
    let totals = totals_of(role);
    let mut series = tasks(&labels, role);
    series.extend(counts(&labels, &totals));
    series.extend(times(&labels, &totals));
    series.extend(samples(&labels, role));
    series.extend(address_spaces(&labels, role));
    series.extend(memory(&labels, role));
    series
}

fn tasks(labels: &Labels, role: &Role) -> Vec<Series> {
    let states = [
        ("running", State::Running),
        ("runnable", State::Runnable),
        ("blocked", State::Blocked),
    ];
    let in_state = |(name, state)| {
        let tasks = role.tasks.iter().filter(|task| task.state == state);
        TASKS.labelled(labels, "state", name, now(tasks.count() as u64))
    };
    let created = [
        ("process", Kind::Process),
        ("vfork", Kind::Vfork),
        ("thread", Kind::Thread),
        ("io_worker", Kind::IoWorker),
    ]
    .map(|(name, wanted)| {
        let creations = role.creations.iter();
        let of_kind = creations.filter(|it| kind(it.clone_flags, it.io_worker) == wanted);
        let count = of_kind.map(|it| it.count).sum();
        CREATED.labelled(labels, "kind", name, Value::Total(count))
    });
    let ended = TASKS_ENDED.series(labels, Value::Total(role.ended_tasks));
    let shown = states.map(in_state).into_iter().chain([ended]);
    shown.chain(created).collect()
}

fn counts(labels: &Labels, totals: &Totals) -> Vec<Series> {
    let count = |family: &'static Family, kind, count| {
        family.labelled(labels, "kind", kind, Value::Total(count))
    };
    vec![
        count(&SWITCHES, "voluntary", totals.voluntary),
        count(&SWITCHES, "involuntary", totals.involuntary),
        count(&FAULTS, "minor", totals.minor_faults),
        count(&FAULTS, "major", totals.major_faults),
        UNSEEN.series(labels, Value::Total(totals.unseen)),
    ]
}

fn times(labels: &Labels, totals: &Totals) -> Vec<Series> {
    let blocked_ns = totals.blocked_ns.iter().sum();
    let states = [
        ("running", totals.running_ns),
        ("runnable", totals.runnable_ns),
        ("blocked", blocked_ns),
    ];
    let in_state =
        states.map(|(name, ns)| TIME_IN_STATE.labelled(labels, "state", name, Value::Total(ns)));
    let reasons = REASONS.into_iter().zip(totals.blocked_ns);
    let blocked = reasons
        .map(|(reason, ns)| BLOCKED_TOTAL.labelled(labels, "reason", reason, Value::Total(ns)));
    let cpu = CPU.series(labels, Value::Total(totals.cpu_ns));
    blocked.chain(in_state).chain([cpu]).collect()
}

fn samples(labels: &Labels, role: &Role) -> Vec<Series> {
    [
        (&WAIT, role.run_queue_wait.clone()),
        (&SLICE, role.on_cpu_slice.clone()),
        (&BLOCKED, sum(&role.blocked)),
    ]
    .map(|(family, samples)| family.series(labels, Value::Samples(samples)))
    .into()
}

fn address_spaces(labels: &Labels, role: &Role) -> Vec<Series> {
    let switches = [("kept", role.tlb.kept), ("flushed", role.tlb.flushed)]
        .map(|(name, count)| SPACE_SWITCHES.labelled(labels, "tlb", name, Value::Total(count)));
    let flushes = FLUSH_REASONS.into_iter().zip(&role.tlb.flushes);
    let flushes = flushes.map(|(reason, flushes)| {
        FLUSHES.labelled(labels, "reason", reason, Value::Total(flushes.count))
    });
    switches.into_iter().chain(flushes).collect()
}

fn memory(labels: &Labels, role: &Role) -> Vec<Series> {
    let of_spaces: Vec<_> = role.tasks.iter().filter_map(|task| task.memory).collect();
    let kernel_stacks = role.tasks.iter().map(|task| task.kernel_stack_bytes).sum();
    let spaces = || of_spaces.iter();
    let mut kinds = vec![("kernel_stack", kernel_stacks)];
    // Of an address space that several roles share, the account is with one of them.
    if !of_spaces.is_empty() {
        kinds.extend([
            ("anonymous", spaces().map(|it| it.anonymous_bytes).sum()),
            ("page_table", spaces().map(|it| it.page_table_bytes).sum()),
            ("reserved", spaces().map(|it| it.reserved_bytes).sum()),
            ("file", spaces().map(|it| it.file_bytes).max().unwrap_or(0)),
            (
                "shared",
                spaces().map(|it| it.shared_bytes).max().unwrap_or(0),
            ),
        ]);
    }
    let shown = kinds.into_iter();
    shown
        .map(|(name, bytes)| MEMORY.labelled(labels, "kind", name, now(bytes)))
        .collect()
}

/// All of these samples together; they have the same buckets.
pub(super) fn sum<'a>(histograms: impl IntoIterator<Item = &'a Histogram>) -> Histogram {
    let mut sum = Histogram::default();
    for other in histograms {
        if other.counts.is_empty() {
            continue;
        }
        sum.sub_bits = other.sub_bits;
        sum.sum_ns += other.sum_ns;
        sum.max_ns = sum.max_ns.max(other.max_ns);
        let places = sum.counts.len().max(other.counts.len());
        sum.counts.resize(places, 0);
        for (sum, other) in sum.counts.iter_mut().zip(&other.counts) {
            *sum += other;
        }
    }
    sum
}
