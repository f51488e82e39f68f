//! How each measure was taken, as its `method` field says it: the recording's words for what was
//! read, and ours for what was made of it.

use crate::snapshot::Recording;

const ACCOUNTED: &str = "living tasks at the end of the window, mean over repeats; anonymous pages, \
    page tables and kernel stacks are summed (an anonymous page still shared after fork counts in \
    each process), file and shared pages are those of the address space with most of them; per \
    connection: (anonymous + page tables + kernel stacks) / connections, the server's own included";
const MARGINAL: &str = "memory of the target's own cgroup, kernel memory included, by least squares \
    over connections at rest, with an intercept for each repeat; 95 % interval by Student's t, no narrower than the counter's \
    batches of 64 pages a CPU allow";
const CLIENT: &str = "load generator, from the intended start to the answer; over repeats: sums, \
    and the median of the repeats' percentiles";
const CREATIONS: &str = "from the beginning of the watch to the end of the window";
const FIRST_RUN: &str = "by the role of the task created, from the beginning of the watch";
const CREATION_LATENCY: &str = "as the caller sees it; corrected: less what the probes add to an \
    empty function; memory of the caller is read at the call";

/// What was made of the figures that were read.
const MADE_OF_THEM: [(&str, &str); 6] = [
    ("memory_accounted", ACCOUNTED),
    ("marginal_bytes_per_connection", MARGINAL),
    ("client", CLIENT),
    ("creations", CREATIONS),
    ("first_run", FIRST_RUN),
    ("creation_latency", CREATION_LATENCY),
];

/// How a measure was taken; `measure` is its name in the recording.
#[must_use]
pub fn method(recording: &Recording, measure: &str) -> String {
    let read = recording
        .methods
        .iter()
        .filter(|method| method.measure == measure);
    let read = read.map(|method| method.method.as_str());
    let made = MADE_OF_THEM
        .iter()
        .filter(|(name, _)| *name == measure)
        .map(|(_, text)| *text);
    let words: Vec<_> = read.chain(made).collect();
    if words.is_empty() {
        "not recorded".to_owned()
    } else {
        words.join("; ")
    }
}
