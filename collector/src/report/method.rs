//! How each measure was taken, as its `method` field says it: the recording's words for what was
//! read, and ours for what was made of it.

use crate::snapshot::Recording;

const ACCOUNTED: &str = "living tasks at the end of the window, mean over repeats; anonymous pages, \
    page tables, kernel stacks and what is reserved are summed (an anonymous page still shared after fork counts in \
    each process), file and shared pages are those of the address space with most of them; per \
    connection: (anonymous + page tables + kernel stacks) / connections, the server's own included";
const MARGINAL: &str = "memory of the target's own cgroup, kernel memory included, by least squares \
    over connections at rest, with an intercept for each repeat; 95 % interval by Student's t, no narrower than the counter's \
    batches of 64 pages a CPU allow";
const MOMENTS: &str = "anonymous pages, page tables, kernel stacks and buffers of sockets of the whole target: the \
    kernel's account of all of its processes, less what those that were looked at (in random order, as for own_bytes) \
    share on average; at moments of the watch at which the number of connections rested; by least squares over \
    connections; 95 % interval by Student's t; what connections came to hold meanwhile by their work is in it";
const RESERVED: &str = "private writable mappings, touched or not, summed over the target's address \
    spaces; by least squares over connections at rest, with an intercept for each repeat; 95 % interval by \
    Student's t";
const CLIENT: &str = "load generator, from the intended start to the answer; over repeats: sums, \
    and the median of the repeats' percentiles";
const CREATIONS: &str = "from the beginning of the watch to the end of the window";
const SWITCH_LATENCY: &str = "what recording adds is taken off: the line through the medians with 1, \
    2 and 3 recording events, by least squares, is read at none; p90 and p99 have as much taken off as \
    the median, and so are upper bounds";
/// The same where switches are timed by stamps, which the recording says.
const SWITCH_STAMPS: (&str, &str) = (
    "time from tp_btf/sched_switch",
    "corrected: each switch less the time of its own stamps",
);
const FIRST_RUN: &str = "by the role of the task created, from the beginning of the watch";
const CREATION_LATENCY: &str = "from call to return, as the caller sees it; what our probes add, \
    measured on an empty function, is taken off; memory of the caller is read at the call";

const CREATION_LATENCY_IN_KERNEL: &str = "the system call's part, whoever calls; corrected: less what \
    the programs add to a call that the kernel refuses at once; memory of the caller is read at the call";
const FAULT_CLASSES: &str = "totals: the share of each class in the windows, of all faults the kernel \
    counted, with a 95 % interval from how much windows differ";

const SOFTWARE_COUNTERS: &str = "perf software events on each task of the target, inherited by what it \
    creates; difference of two readings";
const HARDWARE_COUNTERS: &str = "perf events of the CPU on each task of the target, inherited by what it \
    creates, user and kernel mode; divided by the share of the time in which they counted";

const USER_SPACE: &str = "all threads together; one switch in so many is timed, from where a task stops \
    until the next goes on, if the thread had nothing to wait for in between; mean of those in the \
    window, less what taking the time adds; tasks from the beginning of the watch";

const OBSERVER: &str = "BPF programs by the kernel's run-time statistics, switched on for short periods unless the \
    host keeps them; maps by memlock in their fdinfo; the collector by CLOCK_PROCESS_CPUTIME_ID and /proc/self/statm";

/// What was made of the figures that were read.
const MADE_OF_THEM: &[(&str, &str)] = &[
    ("memory_accounted", ACCOUNTED),
    ("marginal_bytes_per_connection", MARGINAL),
    ("own_memory_at_moments", MOMENTS),
    ("reserved_bytes_per_connection", RESERVED),
    ("client", CLIENT),
    ("creations", CREATIONS),
    ("first_run", FIRST_RUN),
    ("switch_latency", SWITCH_LATENCY),
    ("fault_classes", FAULT_CLASSES),
    ("software_counters", SOFTWARE_COUNTERS),
    ("hardware_counters", HARDWARE_COUNTERS),
    ("user_space_switches", USER_SPACE),
    ("creation_latency", CREATION_LATENCY),
    ("creation_latency_in_kernel", CREATION_LATENCY_IN_KERNEL),
    ("observer", OBSERVER),
];

/// How a measure is taken that no probe takes; `measure` is its name in the report.
#[must_use]
pub fn without_probe(measure: &str) -> Option<&'static str> {
    let of_measure = MADE_OF_THEM.iter().find(|(name, _)| *name == measure);
    of_measure.map(|(_, method)| *method)
}

/// How a measure was taken; `measure` is its name in the recording.
#[must_use]
pub fn method(recording: &Recording, measure: &str) -> String {
    let read = recording
        .methods
        .iter()
        .filter(|method| method.measure == measure);
    let read = read.map(|method| method.method.as_str());
    let stamped = read
        .clone()
        .any(|method| measure == "switch_latency" && method.starts_with(SWITCH_STAMPS.0));
    let made = without_probe(measure).map(|text| if stamped { SWITCH_STAMPS.1 } else { text });
    let words: Vec<_> = read.chain(made).collect();
    if words.is_empty() {
        "not recorded".to_owned()
    } else {
        words.join("; ")
    }
}
